"""Plots of causal effect maps."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from asid.plots.lr_image import LRBox, frame_image, outline_box, signed_norm, signed_opacity


def plot_causal_effect(
    image: NDArray[np.uint8], effect: NDArray[np.floating], box: LRBox, ax: Axes, limit: float
) -> AxesImage:
    """Plot the effect on a box over a light grey LR image: blue where pixels help, red where they harm.

    Args:
        image: LR image, uint8 (H, W, 3).
        effect: In dB, (H, W); NaN, which is drawn in grey, for pixels that were not given to the network.
        box: The box whose PSNR is explained, drawn in black.
        ax: Where to draw.
        limit: The colour scale goes from ``-limit`` to ``limit``. It is linear up to a thousandth of it and logarithmic
            beyond, and so is the opacity: effects from afar are small.

    Returns:
        The image of the effects, for a colour bar.
    """
    given = ~np.isnan(effect)
    values = np.where(given, effect, 0)
    ax.imshow(np.where(given, image.mean(axis=2), np.nan), cmap="gray", vmin=-255, vmax=255, interpolation="nearest")
    norm = signed_norm(limit)
    overlay = ax.imshow(values, cmap="RdBu", norm=norm, alpha=signed_opacity(norm, values), interpolation="nearest")
    outline_box(box, ax, "black")
    frame_image(ax)
    return overlay
