"""Plots of effective receptive fields and local attribution maps: arrays and an ``ax`` in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray

LRBox = tuple[float, float, float, float]
"""(top, left, height, width) in LR pixels, which may be fractions."""


def log_scale(peak: float = 1.0, decades: int = 4) -> LogNorm:
    """A logarithmic colour scale of some powers of ten up to ``peak``: one for all maps that are to be compared.

    What is weaker, zero too, has the colour of the lower end.
    """
    return LogNorm(peak * 10.0**-decades, peak, clip=True)


def plot_field(
    field: NDArray[np.floating], pixel: tuple[int, int], ax: Axes, norm: LogNorm, radii: Mapping[str, float]
) -> Any:
    """An effective receptive field (H, W), with circles of up to two ``radii`` (LR pixels, by label) around the LR ``pixel``.

    NaN, where the network was not given the image, is grey. Returns what a colour bar needs.
    """
    drawn = ax.imshow(field, norm=norm, cmap="viridis", interpolation="nearest")
    for (label, radius), style in zip(radii.items(), ("-", (0, (4, 3))), strict=False):
        # Half a pixel more: a radius goes from middle to middle.
        ax.add_patch(Circle(pixel[::-1], radius + 0.5, fill=False, edgecolor="white", lw=1, ls=style))
        ax.plot([], [], color="0.4", lw=1, ls=style, label=label)
    _frame(ax)
    return drawn


def plot_local_attribution(
    image: NDArray[np.uint8], attribution: NDArray[np.floating], box: LRBox, ax: Axes, norm: LogNorm
) -> Any:
    """|Attribution| (H, W) relative to its largest, over its LR image in light grey; the box of the detail in red.

    The stronger, the more opaque, from nothing at the lower end of ``norm``, which ends at 1. NaN, where the network was not given the
    image, is grey. Returns what a colour bar needs.
    """
    given = ~np.isnan(attribution)
    strength = np.abs(np.where(given, attribution, 0))
    strength /= strength.max()
    # Light: the lower end of the colours is dark.
    ax.imshow(np.where(given, image.mean(axis=2), np.nan), cmap="gray", vmin=-255, vmax=255, interpolation="nearest")
    drawn = ax.imshow(strength, norm=norm, cmap="viridis", alpha=np.sqrt(norm(strength)), interpolation="nearest")
    _outline(box, ax)
    _frame(ax)
    return drawn


def plot_place(
    image: NDArray[np.uint8], ax: Axes, *, pixel: tuple[int, int] | None = None, box: LRBox | None = None
) -> None:
    """The LR image with a cross at a pixel, or a box (top, left, height, width in LR pixels), in red."""
    ax.imshow(image, interpolation="nearest")
    if pixel:
        ax.plot(pixel[1], pixel[0], marker="x", color="red", ms=6, mew=1.5)
    if box:
        _outline(box, ax)
    _frame(ax)


def _outline(box: LRBox, ax: Axes) -> None:
    top, left, height, width = box
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor="red", lw=1.2))


def _frame(ax: Axes) -> None:
    """No grid and no ticks, but the edge of the image; grey where nothing is drawn."""
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[], facecolor="0.6")
    # A circle may reach beyond the image: it is cut, and does not make the axes larger.
    height, width = ax.images[0].get_array().shape[:2]  # type: ignore[union-attr]
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
