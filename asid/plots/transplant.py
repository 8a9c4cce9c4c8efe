"""Plots of transplanted attention maps: what their exchange costs, beside what it costs to have none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from asid.plots.style import colours, signed

NULL_MARKERS = ("_", "x", "+", "1", "2")


def plot_losses(loss: NDArray[np.float64], limit: float, ax: Axes, title: str) -> None:
    """Plot dB lost, (G, G), with its numbers: a row for the group that uses the map of the column's group.

    Args:
        loss: PSNR lost in dB; negative where the other map is better.
        limit: The colour scale goes from ``-limit`` to ``limit``: one for all matrices that are compared.
        ax: Where to draw.
        title: Title of the plot.
    """
    ax.imshow(loss, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(loss):
        dark = abs(value) > 0.6 * limit
        ax.text(column, row, signed(value), ha="center", va="center", color="white" if dark else "black", fontsize=7)
    names = [str(group + 1) for group in range(len(loss))]
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="map of group", ylabel="used by group", title=title)
    ax.grid(visible=False)


def plot_loss_against_similarity(
    similarity: NDArray[np.float64],
    loss: NDArray[np.float64],
    nulls: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    ax: Axes,
) -> None:
    """Plot dB lost against the similarity of the two maps, with a dot for each exchange, and the nulls in grey.

    If similar maps could replace each other, and others not, the dots would lie at the right and below the nulls.

    Args:
        similarity: Correlation of two maps, one value for each exchange.
        loss: PSNR lost in dB.
        nulls: For each null its similarities and losses.
        ax: Where to draw.
    """
    palette = colours(["maps of another group", *nulls])
    for marker, (name, (alike, lost)) in zip(NULL_MARKERS, nulls.items(), strict=False):
        style: dict[str, Any] = {"ls": "none", "color": palette[name], "zorder": 3}
        ax.plot(alike.ravel(), lost.ravel(), marker=marker, ms=4, alpha=0.5, **style)
        ax.plot(alike.mean(), lost.mean(), marker=marker, ms=12, mew=2.5, label=f"{name} (large: mean)", **style)
    ax.plot(similarity, loss, ls="none", marker="o", ms=4, label="maps of another group")
    ax.plot(similarity.mean(), loss.mean(), ls="none", marker="o", ms=9, color="black", mfc="none", label="their mean")
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xlabel="correlation with the group's own map", ylabel="PSNR lost (dB)")


def plot_bounds(losses: Mapping[str, float], shown: Sequence[str], ax: Axes) -> None:
    """Plot PSNR lost in dB, a bar for each replacement; those in ``shown`` stand out against the nulls."""
    palette = colours(["shown"])
    bars = ax.barh(
        list(losses), list(losses.values()), color=[palette["shown"] if name in shown else "0.7" for name in losses]
    )
    ax.bar_label(bars, [signed(value) for value in losses.values()], padding=3, fontsize=7)
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.set(xlabel="PSNR lost (dB), maps of all groups replaced at once")
    ax.grid(axis="y", visible=False)
