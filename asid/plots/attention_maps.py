"""Plots of attention maps."""

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

from asid.plots.lr_image import outline_box

_RED = "#d62728"
_QUERY: dict[str, Any] = {"marker": "x", "color": _RED, "ms": 7, "mew": 1.8, "zorder": 5}


def plot_attention_map(
    image: NDArray[np.uint8],
    relative: NDArray[np.float32],
    window: NDArray[np.bool_],
    pixel: tuple[int, int],
    ax: Axes,
    title: str,
    limits: tuple[float, float] | None = None,
    *,
    differences: bool = False,
) -> None:
    """Plot the attention of a pixel over its LR image, with a cross at the pixel.

    A window of neighbouring pixels is shown enlarged. A grid covers the whole image, so its pixels are drawn as larger
    squares.

    Args:
        image: LR image, uint8 (H, W, 3).
        relative: Attention as a multiple of uniform attention, (H, W).
        window: Which pixels share a window with the pixel, (H, W).
        pixel: Row and column of the query.
        ax: Where to draw.
        title: Title of the plot.
        limits: Limits of the colour scale, by default the minimum and maximum in the window.
        differences: Whether ``relative`` is the difference of two maps.
    """
    rows, columns = window.nonzero()
    height, width = image.shape[:2]
    low, high = limits or (relative[window].min(), relative[window].max())
    colours: dict[str, Any] = {"cmap": "RdBu_r" if differences else "viridis", "norm": Normalize(low, high)}
    # Pale, so that the colours stand out.
    ax.imshow(image.mean(axis=2), cmap="gray", vmin=-120, vmax=300, interpolation="nearest")
    attention: ScalarMappable
    if _is_grid(window):
        side = 0.62 * min(_spacing(rows), _spacing(columns))
        squares = [Rectangle((x - side / 2, y - side / 2), side, side) for y, x in zip(rows, columns, strict=True)]
        attention = PatchCollection(squares, edgecolor="white", lw=0.4, array=relative[window], **colours)
        ax.add_collection(attention)
        view = (-0.5, width - 0.5, height - 0.5, -0.5)
    else:
        attention = ax.imshow(np.ma.masked_array(relative, ~window), interpolation="nearest", **colours)
        _outline_window(rows, columns, ax)
        margin = 6
        view = (columns.min() - margin, columns.max() + margin, rows.max() + margin, rows.min() - margin)
    ax.plot(pixel[1], pixel[0], ls="none", **_QUERY)
    ax.set(xlim=view[:2], ylim=view[2:], title=title)
    ax.set_axis_off()
    if ax.figure is not None:
        label = "difference (uniform attention: 1)" if differences else "attention (uniform: 1)"
        ax.figure.colorbar(attention, ax=ax, shrink=0.75, label=label)


def plot_windows(
    image: NDArray[np.uint8], windows: Sequence[NDArray[np.bool_]], pixel: tuple[int, int], ax: Axes, title: str
) -> None:
    """Plot a pixel of the LR image and its windows (H, W): neighbouring pixels as a frame, a grid as dots."""
    ax.imshow(image, interpolation="nearest")
    for window in windows:
        rows, columns = window.nonzero()
        if _is_grid(window):
            ax.plot(columns, rows, ls="none", marker="s", ms=2.2, color="white", mec="0.1", mew=0.4)
        else:
            _outline_window(rows, columns, ax)
    ax.plot(pixel[1], pixel[0], ls="none", **_QUERY)
    ax.set(title=title)
    ax.set_axis_off()


def _is_grid(window: NDArray[np.bool_]) -> bool:
    """Whether there are other pixels between those of the window."""
    rows, columns = window.nonzero()
    return len(rows) < int(np.ptp(rows) + 1) * int(np.ptp(columns) + 1)


def _spacing(coordinates: NDArray[np.int64]) -> float:
    """Distance of neighbours in a grid; 8 if there is only one."""
    steps = np.diff(np.unique(coordinates))
    return float(steps.min()) if steps.size else 8.0


def _outline_window(rows: NDArray[np.int64], columns: NDArray[np.int64], ax: Axes) -> None:
    box = (float(rows.min()), float(columns.min()), float(np.ptp(rows)) + 1, float(np.ptp(columns)) + 1)
    outline_box(box, ax, _RED)


def plot_channel_map(attention: NDArray[np.float32], ax: Axes, title: str) -> None:
    """Plot a map between channels (C, C); rows are queries."""
    image = ax.imshow(attention, cmap="viridis", vmin=0, interpolation="nearest")
    ax.set(xlabel="channel attended to", ylabel="channel", title=title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(visible=False)
    if ax.figure is not None:
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label="attention (rows sum to 1)")


def plot_group_similarity(similarity: NDArray[np.float64], ax: Axes, title: str) -> None:
    """Plot the similarity of the groups' maps, (G, G), with its numbers; the colour scale goes from 0 or below to 1."""
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
    """Plot a statistic of each attention layer, in the order of the network, with one dot per group.

    Args:
        values: (len(groups), S, L).
        groups: The groups to show, from 0.
        labels: Names of the S·L layers.
        ax: Where to draw.
        label: Label of the y axis.
        palette: A colour for each group of the network.
    """
    for position, (group, rows) in enumerate(zip(groups, values, strict=True)):
        x = np.arange(rows.size) + 0.14 * (position - (len(groups) - 1) / 2)
        ax.plot(x, rows.ravel(), ls="none", marker="o", ms=4.5, color=palette[group], label=f"group {group + 1}")
    ax.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    ax.set(ylabel=label)
    ax.grid(axis="x", visible=False)
