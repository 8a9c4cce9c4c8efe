"""Plots of studies: each takes data and draws on the ``ax`` or figure it is given."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from asid.plots.style import PALETTE, signed

_MARKERS = "osD^vPXp"


def plot_history(
    history: pd.DataFrame, loss_ax: Axes, psnr_ax: Axes, label: str | None = None, colour: Any = None, style: str = "-"
) -> None:
    """Training loss (smoothed over the last tenth of its rows, logarithmic) and validation PSNR over steps.

    ``history`` has the columns step, loss, psnr; of several trainings the mean is drawn, for PSNR with a band from lowest to highest.
    """
    line: dict[str, Any] = {"label": label, "color": colour, "ls": style, "lw": 1.2}
    loss = history.dropna(subset="loss").groupby("step")["loss"].mean()
    loss_ax.plot(loss.index, loss.rolling(max(1, len(loss) // 10), min_periods=1).mean(), **line)
    loss_ax.set(xlabel="step", ylabel="L1 loss, images in [0, 1]", yscale="log")
    loss_ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss_ax.yaxis.set_major_formatter("{x:g}")
    loss_ax.yaxis.set_minor_locator(NullLocator())
    psnr = history.dropna(subset="psnr").groupby("step")["psnr"].agg(["mean", "min", "max"])
    psnr_ax.plot(psnr.index, psnr["mean"], marker="o", ms=2.5, **line)
    psnr_ax.fill_between(psnr.index, psnr["min"], psnr["max"], color=colour, alpha=0.15, lw=0)
    psnr_ax.set(xlabel="step", ylabel="validation PSNR-Y (dB)")
    for ax in (loss_ax, psnr_ax):
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> list[int]:
    """Indices of the points that no other point beats, by rising cost: none costs less or the same and scores more or the same."""
    front: list[int] = []
    for index in np.lexsort((-np.asarray(scores, float), np.asarray(costs, float))):
        if not front or np.asarray(scores)[index] > np.asarray(scores)[front[-1]]:
            front.append(int(index))
    return front


def plot_pareto(
    table: pd.DataFrame, cost: str, ax: Axes, label: str, palette: Mapping[str, Any], matched: Mapping[str, str]
) -> None:
    """PSNR against a cost, a marker a variant, and the front of those that no other beats as a step line.

    ``table`` has the columns variant, psnr, low, high (lowest and highest seed, a thin bar) and ``cost``. A thin line links a
    control of matched size to the variant that ``matched`` names for it.
    """
    front = table.iloc[pareto_front(table[cost], table["psnr"])]
    steps = [*front[cost], table[cost].max()], [*front["psnr"], front["psnr"].max()]
    ax.step(*steps, where="post", color="0.45", lw=1, zorder=1.5, label="Pareto front")
    rows = {row["variant"]: row for row in table.to_dict("records")}
    for (name, row), marker in zip(rows.items(), cycle(_MARKERS), strict=False):
        ax.vlines(row[cost], row["low"], row["high"], lw=1.2, alpha=0.4, color=palette[name], zorder=3)
        ax.scatter(
            row[cost],
            row["psnr"],
            s=34,
            marker=marker,
            color=palette[name],
            edgecolor="white",
            linewidth=0.6,
            label=name,
            zorder=3,
        )
    for ends in matched.items():
        if set(ends) <= set(rows):
            ax.plot(
                [rows[name][cost] for name in ends],
                [rows[name]["psnr"] for name in ends],
                color="0.3",
                lw=0.7,
                ls=":",
                zorder=2,
            )
    ax.set(xlabel=label, ylabel="PSNR-Y (dB)")
    ax.margins(0.1)


def plot_reference(ax: Axes, psnr: float, name: str) -> None:
    """A reference without a cost as a dashed line; where it lies far from all points, in words at the edge of the axes."""
    low, high = ax.dataLim.intervaly
    reach = max(high - low, 0.02)
    if low - reach <= psnr <= high + reach:
        ax.axhline(psnr, color="0.5", ls="--", lw=1, label=name, zorder=1)
    else:
        edge, arrow, side = (0.02, "↓", "bottom") if psnr < low else (0.98, "↑", "top")
        words = f"{arrow} {name} {psnr:.2f} dB"
        ax.text(0.98, edge, words, ha="right", va=side, color="0.35", fontsize=7.5, transform=ax.transAxes)


VERDICTS = {"better": "#0173b2", "worse": "#d55e00", "equivalent": "#029e73", "undecided": "0.35", "one seed": "0.35"}
"""A colour for each verdict of :mod:`asid.ablation.report.stats`."""


def plot_forest(
    changes: pd.DataFrame, dots: pd.DataFrame, ax: Axes, *, base: str, margin: float, noise: float, dot: str
) -> None:
    """Changes of PSNR against the base, a row a variant: mean, interval over seeds, and what they are made of.

    Parameters
    ----------
    changes : columns variant, delta, low, high (dB; NaN without an interval), verdict. A filled marker is better or worse.
    dots : columns variant, change (dB): the small dots, each a ``dot``, e.g. "one seed".
    base : name of the variant that all are compared with.
    margin : dB; the band within which a change counts as none.
    noise : dB; standard deviation of the base from seed to seed, dashed lines; NaN: not drawn.
    """
    ax.axvspan(-margin, margin, color="0.5", alpha=0.13, lw=0, label=f"margin, ±{margin:g} dB")
    ax.axvline(0, color="0.2", lw=0.8)
    if np.isfinite(noise):
        for side in (-noise, noise):
            ax.axvline(
                side, color="0.2", lw=0.8, ls=(0, (4, 3)), label="± SD of the base over seeds" if side > 0 else ""
            )
    values = pd.concat([changes["delta"], dots["change"], pd.Series([-margin, margin])])
    spread = values.max() - values.min()
    # A wide interval, as two seeds have it, does not push everything else together: it ends in an arrow.
    left = max(min(values.min(), changes["low"].min()), values.min() - spread) - 0.05 * spread
    right = min(max(values.max(), changes["high"].max()), values.max() + spread) + 0.05 * spread
    rows = changes.to_dict("records")
    for position, row in enumerate(rows):
        colour = VERDICTS[row["verdict"]]
        if np.isfinite(row["low"]):
            ax.hlines(position, row["low"], row["high"], color=colour, lw=3, alpha=0.55, zorder=2)
            inset = 0.008 * (right - left)
            for edge, marker, outside in (
                (left + inset, "<", row["low"] < left),
                (right - inset, ">", row["high"] > right),
            ):
                if outside:
                    ax.plot(edge, position, marker=marker, color=colour, ms=5)
        values = dots.loc[dots["variant"] == row["variant"], "change"]
        ax.scatter(values, np.full(len(values), position + 0.27), s=8, color=colour, lw=0, zorder=3)
        face = colour if row["verdict"] in ("better", "worse") else "white"
        ax.scatter(row["delta"], position, s=38, facecolor=face, edgecolor=colour, lw=1.3, zorder=4)
    grey: dict[str, Any] = {"color": "0.35", "ls": "none", "marker": "o"}
    if changes["low"].notna().any():
        ax.plot([], [], ms=6, label="significant change", **grey)
        ax.plot([], [], ms=6, mfc="white", mew=1.3, label="change that may be noise", **grey)
        ax.plot([], [], color="0.35", lw=3, alpha=0.55, label="95 % interval over seeds")
    ax.plot([], [], ms=2.5, label=dot, **grey)
    ax.set_xlim(left, right)
    ax.set_yticks(range(len(rows)), changes["variant"])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    verdicts = ax.secondary_yaxis("right")
    verdicts.set_yticks(range(len(rows)), [f"{signed(row['delta'])}  {row['verdict']}" for row in rows])
    verdicts.tick_params(axis="y", length=0)
    ax.set_xlabel(f"change of PSNR-Y against {base} (dB)")


def plot_seeds(scores: pd.DataFrame, ax: Axes) -> None:
    """Mean PSNR of each training, a row a variant: a dot a seed, a bar the mean over seeds. Columns: variant, seed, psnr."""
    order = list(dict.fromkeys(scores["variant"]))
    seeds = sorted(scores["seed"].unique())
    for seed, colour, marker in zip(seeds, cycle(sns.color_palette(PALETTE, 10)), cycle(_MARKERS)):
        rows = scores[scores["seed"] == seed]
        ax.scatter(
            rows["psnr"],
            rows["variant"].map(order.index),
            s=18,
            color=colour,
            marker=marker,
            lw=0,
            alpha=0.85,
            label=f"seed {seed}",
            zorder=3,
        )
    for position, name in enumerate(order):
        mean = scores.loc[scores["variant"] == name, "psnr"].mean()
        ax.vlines(
            mean,
            position - 0.32,
            position + 0.32,
            color="0.2",
            lw=1.4,
            label="" if position else "mean over seeds",
            zorder=2,
        )
    ax.set_yticks(range(len(order)), order)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("mean PSNR-Y over images (dB)")


def plot_interaction(values: pd.DataFrame, ax: Axes, label: str) -> None:
    """A heat map of the changes (dB) for the levels of two factors: one in the rows, one in the columns. NaN: a cell that was not run."""
    reach = max(float(np.nanmax(values.abs().to_numpy())), 1e-9)
    drawn = ax.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(dtype=float)):
        text = "–" if np.isnan(value) else signed(value)
        ax.text(column, row, text, ha="center", va="center", color="white" if abs(value) > 0.55 * reach else "0.1")
    ax.set_xticks(range(values.shape[1]), values.columns)
    ax.set_yticks(range(values.shape[0]), values.index)
    ax.set(xlabel=values.columns.name, ylabel=values.index.name)
    for axis, length in ((ax.axvline, values.shape[1]), (ax.axhline, values.shape[0])):
        for border in range(1, length):
            axis(border - 0.5, color="white", lw=1.5)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    if ax.figure is not None:
        ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.9)


def plot_crops(
    images: Mapping[str, NDArray[np.uint8]], figure: Figure, box: tuple[int, int, int, int], notes: Mapping[str, str]
) -> None:
    """The same region of several images side by side; ``box`` is (top, left, height, width); ``notes`` stand under the titles."""
    top, left, height, width = box
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image[top : top + height, left : left + width], interpolation="nearest")
        ax.set_title(f"{title}\n{notes.get(title, '')}", fontsize=7.5)
        ax.set_axis_off()
