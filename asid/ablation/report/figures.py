"""The figures of a report: what each takes from a study, and its caption. :mod:`asid.plots.study` draws them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.ablation.report.results import StudyResults, field_label
from asid.ablation.statistics.paired import seed_interval
from asid.ablation.statistics.scores import seed_means
from asid.plots import study as plots
from asid.plots import style
from asid.plots.frequency import plot_bands

WIDTH = 7.0
"""Inches: the text width of a paper with two columns."""

Palette = Mapping[str, Any]
"""A colour for each trained variant."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its title and caption; ``name`` is the stem of its files."""

    name: str
    figure: Figure
    title: str
    caption: str


def draw_figures(results: StudyResults) -> list[ReportFigure]:
    """Draw all figures but the crops: one of each kind for each evaluation set, and the training curves."""
    palette = style.colours(results.variants)
    figures = []
    for data in results.sets:
        drawn = [
            draw_forest(results, data),
            draw_pareto(results, data, palette),
            draw_interaction(results, data),
            draw_variance(results, data),
            draw_seeds(results, data),
            draw_frequency(results, data, palette),
        ]
        for figure in filter(None, drawn):
            if len(results.sets) > 1:
                figure = replace(figure, name=f"{figure.name}-{file_name(data)}", title=f"{figure.title} on {data}")
            figures.append(figure)
    return [*figures, draw_curves(results, palette)]


def file_name(text: str) -> str:
    """``text`` with a hyphen for every run of characters that do not belong in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def draw_forest(results: StudyResults, data: str) -> ReportFigure | None:
    """The changes of PSNR, one row for each variant; None if nothing can be compared."""
    statistics = results.statistics.get(data)
    if statistics is None or not statistics.comparisons:
        return None
    rows = results.rows(data)
    rows = rows[rows["variant"].isin(statistics.comparisons)]
    changes = results.changes[results.changes["data"] == data]
    changes = changes[changes["variant"].isin(rows["variant"]) & ~changes["image"].isin(statistics.left_out)]
    paired = rows["pairs"].max() > 1
    dots = changes.groupby(["variant", "seed"], sort=False)["change"].mean().reset_index() if paired else changes
    figure = style.new_figure(WIDTH, 0.3 * len(rows) + 0.9)
    ax = figure.subplots()
    dot = "one seed" if paired else "one image (one seed: no interval over seeds)"
    plots.plot_forest(
        rows, dots, ax, base=results.plan.base, margin=results.plan.margin, noise=statistics.noise, dot=dot
    )
    style.legend_below(figure, ax)
    band = f"Band: ±{results.plan.margin:g} dB, the margin of equivalence."
    if paired:
        caption = (
            "Large marker: mean change over seeds and images, filled if it is significant after Holm's adjustment. "
            f"Line: 95 % interval over seeds. Small dots: one seed each. {band} "
            f"Dashed: the standard deviation of {results.plan.base} itself from seed to seed."
        )
    else:
        caption = (
            "Large marker: mean change over images. Small dots: one image each; they show how images differ, not how "
            f"trainings do. One seed: there is no interval over seeds. {band}"
        )
    return ReportFigure(
        "forest", figure, f"Change of PSNR against {results.plan.base}", f"{caption} {_records(results)}"
    )


def draw_frequency(results: StudyResults, data: str, palette: Palette) -> ReportFigure | None:
    """The change of the signal-to-noise ratio by spatial frequency; None without a record that has the bands."""
    changes = {name: band_changes(results, data, name) for name in results.variants if name != results.plan.base}
    changes = {name: values for name, values in changes.items() if len(values)}
    if not changes:
        return None
    intervals = {}
    for name, values in changes.items():
        if len(values) > 1 and np.isfinite(values).all():
            ends = [seed_interval(band[:, None]) for band in values.T]
            intervals[name] = np.array([end.low for end in ends]), np.array([end.high for end in ends])
    figure = style.new_figure(WIDTH, 2.8)
    ax = figure.subplots()
    means = {name: values.mean(axis=0) for name, values in changes.items()}
    scale = results.config.model.scale
    plot_bands(means, scale, ax, "change of SNR (dB)", intervals, palette)
    ax.axhline(0, color="0.5", lw=0.8)
    style.legend_below(figure, ax)
    caption = (
        "Line: mean over seeds of the change of the error's power in each band of the spectrum, averaged over images. "
        + ("Band: 95 % interval over seeds, of each frequency alone. " if intervals else "One seed: no interval. ")
        + "Shaded: above the Nyquist frequency of the LR image."
    )
    title = f"Change of the signal-to-noise ratio against {results.plan.base} by frequency"
    return ReportFigure("frequency", figure, title, f"{caption} {_records(results)}")


def band_changes(results: StudyResults, data: str, variant: str) -> NDArray[np.float64]:
    """The change of the signal-to-noise ratio against the base in dB, (seeds, bands): of the seeds that both have.

    The HR images are the same, so that it is the ratio of the powers of the errors, averaged over images.
    """
    base, other = (_error_by_band(results, data, name) for name in (results.plan.base, variant))
    common = [seed for seed in base if seed in other]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([10 * np.log10(base[seed] / other[seed]) for seed in common])


def _error_by_band(results: StudyResults, data: str, variant: str) -> dict[int, NDArray[np.float64]]:
    """For each seed the power of the error in each band, the mean over images, if all of them have it."""
    powers = {}
    for record in results.runs_of(variant):
        bands = [score.get("error_by_band") for score in record.scores if score["data"] == data]
        if bands and all(bands):
            powers[record.config.seed] = np.mean([np.array(band) for band in bands], axis=0)
    return powers


def draw_pareto(results: StudyResults, data: str, palette: Palette) -> ReportFigure:
    """PSNR on one evaluation set against each cost; references without a cost are lines, trained ones grey crosses."""
    rows = results.rows(data)
    trained, untrained = rows[rows["parameters"].notna()], rows[rows["parameters"].isna()]
    lines = dict(zip(untrained["variant"], untrained["psnr"], strict=True))
    trained = trained.assign(parameters=trained["parameters"].astype(float) / 1000)
    ends = _seed_means(results, data).groupby("variant")["psnr"].agg(low="min", high="max")
    trained = trained.drop(columns=["low", "high"]).merge(ends, on="variant")
    width, height = results.output_size
    costs = {"parameters": "parameters (thousands)", "macs": f"multiply-adds (G), {width}×{height} output"}
    by_variant = results.timings.groupby("variant", sort=False)["latency"]
    latency = by_variant.agg(lambda values: values.median(skipna=False))
    if latency.notna().all():
        trained = trained.assign(latency=trained["variant"].map(latency))
        costs["latency"] = "time in the network (ms an image)"
    figure = style.new_figure(WIDTH, 3.0)
    axes = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for ax, (cost, label) in zip(axes, costs.items(), strict=True):
        is_reference = trained["variant"].isin(results.trained_references)
        plots.plot_pareto(trained[~is_reference], cost, ax, label, palette, results.plan.matched)
        plots.plot_reference_points(trained[is_reference], cost, ax)
        plots.plot_references(lines, ax)
        ax.label_outer()
    style.legend_below(figure, axes[0])
    caption = "Step line: the variants that no other beats in PSNR at the same or a lower cost. "
    caption += "Cross: a trained reference, which is not a variant. " if results.trained_references else ""
    caption += "Bars: the lowest and the highest seed. " if len(results.seeds) > 1 else ""
    caption += "Dotted: a control of matched size and the variant it belongs to. " if results.plan.matched else ""
    caption += (
        "Time: the median over seeds, on the machine of the runs and under its load. " if "latency" in costs else ""
    )
    return ReportFigure("pareto", figure, "PSNR against cost", caption + _records(results))


def draw_interaction(results: StudyResults, data: str) -> ReportFigure | None:
    """The changes over the first two factors; None if fewer were crossed, or nothing can be compared."""
    if len(results.plan.factors) < 2:
        return None
    rows = results.rows(data)
    first, second, *others = results.plan.factors
    values = interaction_table(rows[~rows["variant"].isin(results.plan.matched)], results.plan.levels, (first, second))
    if values.isna().all(axis=None):
        return None
    figure = style.new_figure(min(WIDTH, 2.4 + 0.95 * values.shape[1]), 1.3 + 0.45 * values.shape[0])
    noise = float((rows["high"] - rows["low"]).mean() / 2)
    plots.plot_interaction(values, figure.subplots(), "change of PSNR-Y (dB)", noise)
    averaged = f", averaged over {', '.join(map(field_label, others))}" if others else ""
    caption = (
        f"Mean change of PSNR against {results.plan.base} in dB{averaged}. "
        "Without interaction all rows differ by the same amount in every column. "
        "Colours are full at the half-width of the 95 % intervals or beyond: pale is noise."
    )
    title = f"{field_label(first)} × {field_label(second)}"
    return ReportFigure("interaction", figure, title, f"{caption} {_records(results)}")


def draw_variance(results: StudyResults, data: str) -> ReportFigure | None:
    """The shares of the variance of PSNR; None if factors were not fully crossed."""
    shares = results.variance(data)
    if not shares:
        return None
    figure = style.new_figure(WIDTH, 0.6 + 0.28 * len(shares))
    plots.plot_shares(shares, figure.subplots())
    caption = (
        "Analysis of variance by exact sums of squares, over all combinations, the seeds that all of them have, and "
        "images; the shares sum to 100 %."
    )
    return ReportFigure("variance", figure, "What PSNR varies with", f"{caption} {_records(results)}")


def interaction_table(
    rows: pd.DataFrame, levels: Mapping[str, Mapping[str, str]], factors: tuple[str, str]
) -> pd.DataFrame:
    """Average the changes for each pair of levels of two factors.

    Args:
        rows: Columns variant, delta (dB).
        levels: The level of each factor, by variant.
        factors: The factor in the rows of the result, and the one in its columns.

    Returns:
        Mean change in dB, averaged over all other factors; NaN if no variant has that pair of levels. Numbers are in
        their order, other levels in that of the variants.
    """
    crossed = [
        {**levels[row["variant"]], "delta": row["delta"]}
        for row in rows.to_dict("records")
        if set(factors) <= set(levels.get(row["variant"], {}))
    ]
    table = pd.DataFrame(crossed, columns=[*factors, "delta"]).groupby(list(factors))["delta"].mean().unstack()
    first, second = (_ordered(level[factor] for level in levels.values() if factor in level) for factor in factors)
    return table.reindex(index=first, columns=second).rename_axis(
        index=field_label(factors[0]), columns=field_label(factors[1])
    )


def _ordered(levels: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(levels))
    try:
        return sorted(found, key=Fraction)
    except ValueError:  # not all of them are numbers
        return found


def draw_seeds(results: StudyResults, data: str) -> ReportFigure | None:
    """Every training by its PSNR on an evaluation set; None if there is one seed."""
    if len(results.seeds) < 2:
        return None
    scores = _seed_means(results, data)
    figure = style.new_figure(WIDTH, 0.28 * scores["variant"].nunique() + 0.85)
    ax = figure.subplots()
    plots.plot_seeds(scores, ax)
    style.legend_below(figure, ax)
    caption = "A marker is one training: the mean PSNR over all images. Bars: means over seeds."
    return ReportFigure("seeds", figure, "Every training", f"{caption} {_records(results)}")


def draw_curves(results: StudyResults, palette: Palette) -> ReportFigure:
    """Training loss and validation PSNR of each variant, and of trained references in grey."""
    figure = style.new_figure(WIDTH, 2.8)
    loss_ax, psnr_ax = figure.subplots(1, 2)
    for name in results.trained_references:
        plots.plot_history(_history(results, name), loss_ax, psnr_ax, name, style.REFERENCE, "--")
    for position, variant in enumerate(results.variants):
        line = "-" if position < 10 else "--"
        plots.plot_history(_history(results, variant), loss_ax, psnr_ax, variant, palette[variant], line)
    style.legend_below(figure, loss_ax)
    caption = "Training loss, smoothed over a tenth of the training, and PSNR on the validation images. "
    caption += "Lines: means over seeds. "
    caption += "Band: lowest to highest seed. " if len(results.seeds) > 1 else ""
    return ReportFigure("curves", figure, "Training", caption + _records(results))


def _history(results: StudyResults, name: str) -> pd.DataFrame:
    """The training curves of all runs of a variant or of a trained reference."""
    return pd.concat([pd.DataFrame(record.history) for record in results.runs_of(name)]).astype(float)


def _seed_means(results: StudyResults, data: str) -> pd.DataFrame:
    """Mean PSNR over the images of a set for each run. Columns: variant, seed, psnr (dB)."""
    scores = results.scores
    shown = scores["variant"].isin([*results.trained_references, *results.variants])
    return seed_means(scores[(scores["data"] == data) & shown])


def _records(results: StudyResults) -> str:
    number = len(results.runs)
    return f"From {number} record{'s' if number != 1 else ''}."
