"""Plots of similarities between attention maps and between features, on bands of nulls and of other seeds."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from asid.plots.style import colours


def plot_similarity(
    values: Mapping[str, NDArray[np.float64]], bands: Mapping[str, NDArray[np.float64]], ax: Axes, label: str
) -> None:
    """Plot similarities as dots, a column for each kind of pair, on bands of what they are to be compared with.

    Args:
        values: Similarities by kind of pair.
        bands: Similarities by label, such as a null: a band goes from the smallest to the largest.
        ax: Where to draw.
        label: Label of the y axis.
    """
    palette = colours(list(bands))
    for name, band in bands.items():
        middle, half = (band.max() + band.min()) / 2, max(float(np.ptp(band)) / 2, 0.004)
        ax.axhspan(middle - half, middle + half, color=palette[name], alpha=0.25, lw=0, label=name)
    for column, dots in enumerate(values.values()):
        spread = np.linspace(-0.25, 0.25, dots.size) if dots.size > 1 else np.zeros(dots.size)
        ax.plot(column + spread, dots.ravel(), ls="none", marker="o", ms=3, color="0.25", zorder=3)
        if dots.size:
            ax.plot([column - 0.3, column + 0.3], [dots.mean()] * 2, color="black", lw=1.5, zorder=4)
    ax.set_xticks(range(len(values)), values, rotation=20, ha="right")
    lowest = min((float(dots.min(initial=0)) for dots in [*values.values(), *bands.values()]), default=0.0)
    ax.set(ylabel=label, ylim=(lowest - 0.04, 1.04))
    ax.grid(axis="x", visible=False)


def plot_shares(shares: NDArray[np.float64], ax: Axes, label: str) -> None:
    """Plot shares (rows, columns) in percent with their numbers: groups are rows; empty where there is no value."""
    ax.imshow(100 * shares, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(shares):
        if np.isfinite(value):
            ax.text(column, row, f"{value:.0%}", ha="center", va="center", color="black" if value > 0.6 else "white")
    ax.set_yticks(range(len(shares)), [str(group + 1) for group in range(len(shares))])
    ax.set(ylabel="group", title=label)
    ax.grid(visible=False)
