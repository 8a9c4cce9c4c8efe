"""Plots of attention: they take arrays and draw on the ``ax`` they are given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

_QUERY: dict[str, Any] = {"marker": "x", "color": "#d62728", "ms": 7, "mew": 1.8, "zorder": 5}


def plot_attention(
    image: NDArray[np.uint8],
    relative: NDArray[np.float32],
    window: NDArray[np.bool_],
    pixel: tuple[int, int],
    ax: Axes,
    title: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """What a pixel attends to, over its LR image.

    ``relative`` (H, W) is attention as a multiple of what each pixel would get if it were uniform (:meth:`Attention.relative`),
    ``window`` (H, W) where it is; ``limits`` are those of the colours, by default its own; a cross marks the query. Where the window
    is a neighbourhood, only its surroundings are shown; a grid is spread over the whole image, and its squares are drawn larger
    than the pixels they stand for.
    """
    rows, columns = window.nonzero()
    height, width = image.shape[:2]
    low, high = limits or (relative[window].min(), relative[window].max())
    colours: dict[str, Any] = {"cmap": "viridis", "norm": Normalize(low, high)}
    ax.imshow(
        image.mean(axis=2), cmap="gray", vmin=-120, vmax=300, interpolation="nearest"
    )  # pale: the colours are what is read
    drawn: ScalarMappable
    if _is_grid(window):
        side = 0.62 * min(_step(rows), _step(columns))
        squares = [Rectangle((x - side / 2, y - side / 2), side, side) for y, x in zip(rows, columns, strict=True)]
        drawn = PatchCollection(squares, edgecolor="white", lw=0.4, array=relative[window], **colours)
        ax.add_collection(drawn)
        view = (-0.5, width - 0.5, height - 0.5, -0.5)
    else:
        drawn = ax.imshow(np.ma.masked_array(relative, ~window), interpolation="nearest", **colours)
        ax.add_patch(_outline(rows, columns))
        around = 6
        view = (columns.min() - around, columns.max() + around, rows.max() + around, rows.min() - around)
    ax.plot(pixel[1], pixel[0], ls="none", **_QUERY)
    ax.set(xlim=view[:2], ylim=view[2:], title=title)
    ax.set_axis_off()
    if ax.figure is not None:
        ax.figure.colorbar(drawn, ax=ax, shrink=0.75, label="attention (uniform: 1)")


def plot_query(
    image: NDArray[np.uint8], windows: Sequence[NDArray[np.bool_]], pixel: tuple[int, int], ax: Axes, title: str
) -> None:
    """The LR image with the query and the windows it is in: a neighbourhood as a frame, a grid as dots."""
    ax.imshow(image, interpolation="nearest")
    for window in windows:
        rows, columns = window.nonzero()
        if _is_grid(window):
            ax.plot(columns, rows, ls="none", marker="s", ms=2.2, color="white", mec="0.1", mew=0.4)
        else:
            ax.add_patch(_outline(rows, columns))
    ax.plot(pixel[1], pixel[0], ls="none", **_QUERY)
    ax.set(title=title)
    ax.set_axis_off()


def _is_grid(window: NDArray[np.bool_]) -> bool:
    """Whether there are pixels between those of the window."""
    rows, columns = window.nonzero()
    return len(rows) < int(np.ptp(rows) + 1) * int(np.ptp(columns) + 1)


def _step(places: NDArray[np.int64]) -> float:
    """Distance of neighbours in a grid; 8 where there is only one."""
    steps = np.diff(np.unique(places))
    return float(steps.min()) if steps.size else 8.0


def _outline(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Rectangle:
    corner = (columns.min() - 0.5, rows.min() - 0.5)
    return Rectangle(
        corner, float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1, fill=False, edgecolor="#d62728", lw=1.3, zorder=4
    )


def plot_channels(attention: NDArray[np.float32], ax: Axes, title: str) -> None:
    """A map between channels (C, C), rows are queries."""
    drawn = ax.imshow(attention, cmap="viridis", vmin=0, interpolation="nearest")
    ax.set(xlabel="channel attended to", ylabel="channel", title=title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(visible=False)
    if ax.figure is not None:
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="attention (rows sum to 1)")


def plot_similarity(similarity: NDArray[np.float64], ax: Axes, title: str) -> None:
    """How alike the maps of the groups are, (G, G), with the numbers; colours from 0 (or the lowest, where that is negative) to 1."""
    ax.imshow(similarity, cmap="viridis", vmin=min(0.0, float(similarity.min())), vmax=1)
    for (row, column), value in np.ndenumerate(similarity):
        ax.text(
            column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white", fontsize=8
        )
    names = [str(group + 1) for group in range(len(similarity))]
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="group", ylabel="group", title=title)
    ax.grid(visible=False)


def plot_by_layer(
    values: NDArray[np.float64], groups: list[int], labels: list[str], ax: Axes, label: str, palette: list[Any]
) -> None:
    """A number for each layer in the order of the network: a dot a group, side by side.

    ``values`` is (len(groups), S, L); ``labels`` name the S·L layers; ``palette`` has a colour for each group of the network.
    """
    for position, (group, rows) in enumerate(zip(groups, values, strict=True)):
        places = np.arange(rows.size) + 0.14 * (position - (len(groups) - 1) / 2)
        ax.plot(places, rows.ravel(), ls="none", marker="o", ms=4.5, color=palette[group], label=f"group {group + 1}")
    ax.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    ax.set(ylabel=label)
    ax.grid(axis="x", visible=False)
