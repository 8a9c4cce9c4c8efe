"""Plots of local attribution maps."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from asid.plots.lr_image import LRBox, frame_image, outline_box


def plot_local_attribution(
    image: NDArray[np.uint8], attribution: NDArray[np.floating], box: LRBox, ax: Axes, norm: LogNorm
) -> AxesImage:
    """Plot |attribution|, relative to its maximum, over a light grey LR image.

    Args:
        image: LR image, uint8 (H, W, 3).
        attribution: (H, W); NaN, which is drawn in grey, for pixels that were not given to the network.
        box: The box of the attributed detail, drawn in red.
        ax: Where to draw.
        norm: Colour scale that ends at 1. Opacity increases with it, from transparent at its lower end.

    Returns:
        The image of the attributions, for a colour bar.
    """
    given = ~np.isnan(attribution)
    strength = np.where(given, relative_strength(attribution), 0)
    # Light, because the lower end of the colour scale is dark.
    ax.imshow(np.where(given, image.mean(axis=2), np.nan), cmap="gray", vmin=-255, vmax=255, interpolation="nearest")
    overlay = ax.imshow(strength, norm=norm, cmap="viridis", alpha=np.sqrt(norm(strength)), interpolation="nearest")
    outline_box(box, ax)
    frame_image(ax)
    return overlay


def relative_strength(attribution: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return |attribution| relative to its maximum; NaN stays."""
    strength = np.abs(attribution)
    return strength / np.nanmax(strength)
