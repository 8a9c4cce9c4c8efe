"""Shared parts of plots over an LR image: the image with a marked pixel or box, a colour scale, a frame."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

LRBox = tuple[float, float, float, float]
"""(top, left, height, width) in LR pixels, not necessarily integers."""


def plot_location(
    image: NDArray[np.uint8], ax: Axes, *, pixel: tuple[int, int] | None = None, box: LRBox | None = None
) -> None:
    """Show an LR image (H, W, 3) with a red cross at ``pixel`` (row, column), or a red box."""
    ax.imshow(image, interpolation="nearest")
    if pixel:
        ax.plot(pixel[1], pixel[0], marker="x", color="red", ms=6, mew=1.5)
    if box:
        outline_box(box, ax)
    frame_image(ax)


def outline_box(box: LRBox, ax: Axes, colour: str = "red") -> None:
    """Draw the outline of a box."""
    top, left, height, width = box
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=colour, lw=1.2, zorder=4))


def frame_image(ax: Axes) -> None:
    """Remove grid and ticks but keep the frame, fitted to the first image of ``ax``; grey where nothing is drawn."""
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[], facecolor="0.6")
    # A circle that extends beyond the image is clipped instead of enlarging the axes.
    height, width = ax.images[0].get_array().shape[:2]  # type: ignore[union-attr]
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def log_norm(peak: float = 1.0, decades: int = 4) -> LogNorm:
    """Return a logarithmic colour scale that ends at ``peak`` and spans ``decades`` powers of ten.

    Use one scale for all maps that are compared. Smaller values, including zero, get the colour of its lower end.
    """
    return LogNorm(peak * 10.0**-decades, peak, clip=True)


def signed_norm(limit: float) -> SymLogNorm:
    """Return a colour scale from ``-limit`` to ``limit``, linear up to a thousandth of it and logarithmic beyond."""
    return SymLogNorm(limit * 1e-3, vmin=-limit, vmax=limit)


def signed_opacity(norm: SymLogNorm, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the opacity of values on a signed scale: 0 for none, 1 at both ends."""
    return np.abs(2 * np.asarray(norm(values)) - 1)
