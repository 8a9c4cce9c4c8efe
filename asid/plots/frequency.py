"""Plots by spatial frequency: signal-to-noise ratio by band, and its change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from asid.plots.style import colours


def plot_bands(
    values: Mapping[str, NDArray[np.float64]],
    scale: int,
    ax: Axes,
    label: str,
    intervals: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None,
    palette: Mapping[str, Any] | None = None,
) -> None:
    """Plot a value of each band, a line for each name; bands above the Nyquist frequency of the LR image are shaded.

    Args:
        values: One value for each band, by name. The bands have equal widths and end at 1/2 cycle per pixel.
        scale: Factor s.
        ax: Where to draw.
        label: Label of the y axis.
        intervals: Lower and upper ends of intervals around the values, by name.
        palette: Colours by name, also of names without values.
    """
    bands = len(next(iter(values.values())))
    centres = (np.arange(bands) + 0.5) / (2 * bands)
    ax.axvspan(0.5 / scale, 0.5, color="0.93", lw=0, zorder=0)
    ax.annotate(
        "above the LR Nyquist", (0.99, 0.95), xycoords="axes fraction", ha="right", va="top", color="0.4", fontsize=7
    )
    for name, colour in (palette or colours(list(values))).items():
        if name not in values:
            continue
        ax.plot(centres, values[name], marker="o", ms=3, color=colour, label=name)
        if intervals and name in intervals:
            ax.fill_between(centres, *intervals[name], color=colour, alpha=0.2, lw=0)
    ax.set(xlabel="cycles per HR pixel", ylabel=label, xlim=(0, 0.5))
