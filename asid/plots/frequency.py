"""Plots by spatial frequency: signal-to-noise ratio by band, and its change."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from asid.plots.style import colours


def plot_bands(
    edges: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    scale: int,
    ax: Axes,
    label: str,
    intervals: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None,
) -> None:
    """Plot a value of each band, a line for each name; bands above the Nyquist frequency of the LR image are shaded.

    Args:
        edges: Edges of the bands in cycles per pixel, one more than bands.
        values: One value for each band, by name.
        scale: Factor s.
        ax: Where to draw.
        label: Label of the y axis.
        intervals: Lower and upper ends of intervals around the values, by name.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    ax.axvspan(edges[-1] / scale, edges[-1], color="0.93", lw=0, zorder=0)
    ax.annotate(
        "above the LR Nyquist", (0.99, 0.95), xycoords="axes fraction", ha="right", va="top", color="0.4", fontsize=7
    )
    for name, colour in colours(list(values)).items():
        ax.plot(centres, values[name], marker="o", ms=3, color=colour, label=name)
        if intervals and name in intervals:
            ax.fill_between(centres, *intervals[name], color=colour, alpha=0.2, lw=0)
    ax.set(xlabel="cycles per HR pixel", ylabel=label, xlim=(0, edges[-1]))
