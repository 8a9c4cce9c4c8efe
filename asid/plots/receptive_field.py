"""Plots of effective receptive fields."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from matplotlib.patches import Circle
from numpy.typing import NDArray

from asid.plots.lr_image import frame_image


def plot_receptive_field(
    field: NDArray[np.floating], pixel: tuple[int, int], ax: Axes, norm: LogNorm, radii: Mapping[str, float]
) -> AxesImage:
    """Plot an effective receptive field with circles around its pixel.

    Args:
        field: (H, W); NaN, which is drawn in grey, for pixels that were not given to the network.
        pixel: Row and column of the LR pixel at the centre of the circles.
        ax: Where to draw.
        norm: Colour scale.
        radii: Up to two radii in LR pixels, by label.

    Returns:
        The image, for a colour bar.
    """
    image = ax.imshow(field, norm=norm, cmap="viridis", interpolation="nearest")
    for (label, radius), style in zip(radii.items(), ("-", (0, (4, 3))), strict=False):
        # Radii are distances between pixel centres: half a pixel more includes the outermost pixels.
        ax.add_patch(Circle(pixel[::-1], radius + 0.5, fill=False, edgecolor="white", lw=1, ls=style))
        ax.plot([], [], color="0.4", lw=1, ls=style, label=label)
    frame_image(ax)
    return image
