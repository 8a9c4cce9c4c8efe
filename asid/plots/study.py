"""Plots of studies: each takes data and draws on the ``ax`` or figure that it is given."""

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

from asid.plots.style import PALETTE, REFERENCE, signed

VERDICTS = {"better": "#0173b2", "worse": "#d55e00", "equivalent": "#029e73"}
VERDICTS |= dict.fromkeys(("undecided", "one seed", "waiting"), "0.35")
"""A colour for each verdict of :mod:`asid.ablation.statistics.paired`."""
_DASHES = ("--", ":", "-.")
_MARKERS = "osD^vPXp"


def plot_history(
    history: pd.DataFrame, loss_ax: Axes, psnr_ax: Axes, label: str | None = None, colour: Any = None, style: str = "-"
) -> None:
    """Plot training loss (logarithmic, smoothed over a tenth of the training) and validation PSNR over steps.

    Args:
        history: Columns step, loss, psnr (dB). Of several trainings the mean is drawn, for PSNR with a band from lowest
            to highest.
        loss_ax: Axes of the loss.
        psnr_ax: Axes of the PSNR.
        label: Name in the legend.
        colour: Colour of the lines.
        style: Style of the lines.
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
    """Indices of the points that no other point beats, by rising cost.

    A point beats another if it costs no more, scores no less, and is better in one of the two.
    """
    front: list[int] = []
    for index in np.lexsort((-np.asarray(scores, float), np.asarray(costs, float))):
        if not front or np.asarray(scores)[index] > np.asarray(scores)[front[-1]]:
            front.append(int(index))
    return front


def plot_pareto(
    table: pd.DataFrame, cost: str, ax: Axes, label: str, palette: Mapping[str, Any], matched: Mapping[str, str]
) -> None:
    """Plot PSNR against a cost, one marker for each variant, and the Pareto front as a step line.

    Args:
        table: Columns variant, psnr (dB), low and high (lowest and highest seed, drawn as a thin bar), and ``cost``.
        cost: Column of the cost.
        ax: Axes to draw on.
        label: Label of the cost, with its unit.
        palette: Colour of each variant.
        matched: For each control of matched size the variant it controls; a dotted line links the two.
    """
    front = table.iloc[pareto_front(table[cost], table["psnr"])]
    steps = [*front[cost], table[cost].max()], [*front["psnr"], front["psnr"].max()]
    ax.step(*steps, where="post", color="0.45", lw=1, zorder=1.5, label="Pareto front")
    rows = {row["variant"]: row for row in table.to_dict("records")}
    for (name, row), marker in zip(rows.items(), cycle(_MARKERS), strict=False):
        x, y, colour = row[cost], row["psnr"], palette[name]
        ax.vlines(x, row["low"], row["high"], lw=1.2, alpha=0.4, color=colour, zorder=3)
        ax.scatter(x, y, s=34, marker=marker, color=colour, edgecolor="white", linewidth=0.6, label=name, zorder=3)
    for control, variant in matched.items():
        if control in rows and variant in rows:
            ends = rows[control], rows[variant]
            ax.plot([e[cost] for e in ends], [e["psnr"] for e in ends], color="0.3", lw=0.7, ls=":", zorder=2)
    ax.set(xlabel=label, ylabel="PSNR-Y (dB)")
    ax.margins(0.1)


def plot_reference_points(table: pd.DataFrame, cost: str, ax: Axes) -> None:
    """Plot references with a cost as grey crosses, which do not belong to the Pareto front.

    Args:
        table: As for :func:`plot_pareto`.
        cost: Column of the cost.
        ax: Axes to draw on.
    """
    for row in table.to_dict("records"):
        ax.vlines(row[cost], row["low"], row["high"], lw=1.2, alpha=0.4, color=REFERENCE, zorder=3)
        ax.scatter(row[cost], row["psnr"], s=34, marker="x", color=REFERENCE, label=row["variant"], zorder=3)


def plot_reference_lines(references: Mapping[str, float], ax: Axes) -> None:
    """Plot references without a cost as dashed lines, however far they are from what is on the axes.

    Args:
        references: PSNR of each reference in dB, by name.
        ax: Axes to draw on.
    """
    for (name, psnr), dashes in zip(references.items(), cycle(_DASHES), strict=False):
        ax.axhline(psnr, color="0.5", ls=dashes, lw=1, label=name, zorder=1)


def plot_references(references: Mapping[str, float], ax: Axes) -> None:
    """Plot references without a cost as dashed lines; those far from all points, as text at the edge of the axes.

    Args:
        references: PSNR of each reference in dB, by name.
        ax: Axes that the points are on already.
    """
    low, high = ax.dataLim.intervaly
    reach = max(high - low, 0.02)
    texts: dict[bool, list[str]] = {}
    for (name, psnr), dashes in zip(references.items(), cycle(_DASHES), strict=False):
        if low - reach <= psnr <= high + reach:
            ax.axhline(psnr, color="0.5", ls=dashes, lw=1, label=name, zorder=1)
        else:
            arrow = "↓" if psnr < low else "↑"
            texts.setdefault(psnr < low, []).append(f"{arrow} {name} {psnr:.2f} dB")
    for below, lines in texts.items():
        edge, side = (0.02, "bottom") if below else (0.98, "top")
        text = "\n".join(lines)
        ax.text(0.98, edge, text, ha="right", va=side, color="0.35", fontsize=7.5, transform=ax.transAxes)


def plot_forest(
    changes: pd.DataFrame, dots: pd.DataFrame, ax: Axes, *, base: str, margin: float, noise: float, dot: str
) -> None:
    """Plot changes of PSNR against the base, one row for each variant: mean, interval over seeds, and single values.

    Args:
        changes: Columns variant, delta, low, high (dB; NaN without an interval), verdict. The marker of better and
            worse is filled.
        dots: Columns variant, change (dB): the small dots.
        ax: Axes to draw on.
        base: Name of the variant that all are compared with.
        margin: Half the width of the band of equivalence, in dB.
        noise: Standard deviation of the base from seed to seed in dB, as dashed lines; NaN: not drawn.
        dot: What a small dot is, e.g. "one seed".
    """
    ax.axvspan(-margin, margin, color="0.5", alpha=0.13, lw=0, label=f"margin, ±{margin:g} dB")
    ax.axvline(0, color="0.2", lw=0.8)
    if np.isfinite(noise):
        ax.axvline(-noise, color="0.2", lw=0.8, ls=(0, (4, 3)))
        ax.axvline(noise, color="0.2", lw=0.8, ls=(0, (4, 3)), label="± SD of the base over seeds")
    limits = _forest_limits(changes, pd.concat([changes["delta"], dots["change"], pd.Series([-margin, margin])]))
    rows = changes.to_dict("records")
    for position, row in enumerate(rows):
        colour = VERDICTS[row["verdict"]]
        _plot_interval(ax, position, (row["low"], row["high"]), limits, colour)
        values = dots.loc[dots["variant"] == row["variant"], "change"]
        ax.scatter(values, np.full(len(values), position + 0.27), s=8, color=colour, lw=0, zorder=3)
        face = colour if row["verdict"] in ("better", "worse") else "white"
        ax.scatter(row["delta"], position, s=38, facecolor=face, edgecolor=colour, lw=1.3, zorder=4)
    _add_forest_legend(ax, dot, has_interval=bool(changes["low"].notna().any()))
    ax.set_xlim(*limits)
    ax.set_xlabel(f"change of PSNR-Y against {base} (dB)")
    _label_rows(ax, list(changes["variant"]))
    ax.grid(axis="y", visible=False)
    verdicts = ax.secondary_yaxis("right")
    verdicts.set_yticks(range(len(rows)), [f"{signed(row['delta'])}  {row['verdict']}" for row in rows])
    verdicts.tick_params(axis="y", length=0)


def _forest_limits(changes: pd.DataFrame, values: pd.Series) -> tuple[float, float]:
    """Room for all values. A very wide interval, as from two seeds, is cut, so that it does not squeeze them."""
    spread = values.max() - values.min()
    left = max(min(values.min(), changes["low"].min()), values.min() - spread) - 0.05 * spread
    right = min(max(values.max(), changes["high"].max()), values.max() + spread) + 0.05 * spread
    return left, right


def _plot_interval(
    ax: Axes, position: int, ends: tuple[float, float], limits: tuple[float, float], colour: str
) -> None:
    (low, high), (left, right) = ends, limits
    if not np.isfinite(low):
        return
    ax.hlines(position, low, high, color=colour, lw=3, alpha=0.55, zorder=2)
    inset = 0.008 * (right - left)
    if low < left:
        ax.plot(left + inset, position, marker="<", color=colour, ms=5)
    if high > right:
        ax.plot(right - inset, position, marker=">", color=colour, ms=5)


def _add_forest_legend(ax: Axes, dot: str, *, has_interval: bool) -> None:
    grey: dict[str, Any] = {"color": "0.35", "ls": "none", "marker": "o"}
    if has_interval:
        ax.plot([], [], ms=6, label="significant change", **grey)
        ax.plot([], [], ms=6, mfc="white", mew=1.3, label="change that may be noise", **grey)
        ax.plot([], [], color="0.35", lw=3, alpha=0.55, label="95 % interval over seeds")
    ax.plot([], [], ms=2.5, label=dot, **grey)


def plot_seeds(scores: pd.DataFrame, ax: Axes) -> None:
    """Plot the mean PSNR of each training, one row for each variant: markers for seeds, a bar for their mean.

    Args:
        scores: Columns variant, seed, psnr (dB).
        ax: Axes to draw on.
    """
    order = list(dict.fromkeys(scores["variant"]))
    colours = cycle(sns.color_palette(PALETTE, 10))
    for seed, colour, marker in zip(sorted(scores["seed"].unique()), colours, cycle(_MARKERS), strict=False):
        rows = scores[scores["seed"] == seed]
        style: dict[str, Any] = {"s": 18, "color": colour, "marker": marker, "lw": 0, "alpha": 0.85, "zorder": 3}
        ax.scatter(rows["psnr"], rows["variant"].map(order.index), label=f"seed {seed}", **style)
    for position, name in enumerate(order):
        mean = scores.loc[scores["variant"] == name, "psnr"].mean()
        label = "" if position else "mean over seeds"
        ax.vlines(mean, position - 0.32, position + 0.32, color="0.2", lw=1.4, label=label, zorder=2)
    _label_rows(ax, order)
    ax.set_xlabel("mean PSNR-Y over images (dB)")


def _label_rows(ax: Axes, names: list[str]) -> None:
    """One row for each name, the first at the top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def plot_shares(shares: Mapping[str, float], ax: Axes) -> None:
    """Plot shares, from 0 to 1, as bars with their percentages."""
    bars = ax.barh(list(shares), [100 * share for share in shares.values()], color=sns.color_palette(PALETTE)[0])
    ax.bar_label(bars, fmt="%.1f %%", padding=3)
    ax.set(xlabel="share of the sum of squares (%)", xlim=(0, 115))
    ax.grid(visible=False, axis="y")  # its lines would run through the percentages
    ax.invert_yaxis()


def plot_interaction(values: pd.DataFrame, ax: Axes, label: str, noise: float = 0.0) -> None:
    """Plot a heat map of the changes for the levels of two factors.

    Args:
        values: Changes in dB, one factor in the rows, one in the columns; NaN for a combination that was not run.
        ax: Axes to draw on.
        label: Label of the colour bar, with its unit.
        noise: Change in dB that may be noise: colours are full only beyond it.
    """
    reach = np.nanmax([*values.abs().to_numpy(dtype=float).ravel(), noise, 1e-9])
    heat = ax.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(dtype=float)):
        text = "–" if np.isnan(value) else signed(value)
        ax.text(column, row, text, ha="center", va="center", color="white" if abs(value) > 0.55 * reach else "0.1")
    ax.set_xticks(range(values.shape[1]), values.columns)
    ax.set_yticks(range(values.shape[0]), values.index)
    ax.set(xlabel=values.columns.name, ylabel=values.index.name)
    for line, length in ((ax.axvline, values.shape[1]), (ax.axhline, values.shape[0])):
        for border in range(1, length):
            line(border - 0.5, color="white", lw=1.5)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    if ax.figure is not None:
        ax.figure.colorbar(heat, ax=ax, label=label, shrink=0.9)


def plot_crops(
    images: Mapping[str, NDArray[np.uint8]], figure: Figure, box: tuple[int, int, int, int], notes: Mapping[str, str]
) -> None:
    """Plot the same region of several images side by side.

    Args:
        images: Images (height, width, 3) by title.
        figure: Figure or subfigure to draw on.
        box: Top, left, height and width of the region, in pixels.
        notes: A line under a title.
    """
    top, left, height, width = box
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image[top : top + height, left : left + width], interpolation="nearest")
        ax.set_title(f"{title}\n{notes.get(title, '')}", fontsize=7.5, parse_math=False)
        ax.set_axis_off()
