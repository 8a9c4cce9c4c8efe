"""The figures of a report: what each of them takes from a study, and its caption. How they are drawn is in :mod:`asid.plots.study`."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.ablation.report.results import Statistics, Study, score_changes, timings
from asid.data.crops import most_detailed_box
from asid.data.images import ImageError, read_image
from asid.data.resize import crop_to_multiple
from asid.data.sources import find_pairs
from asid.files import IMAGES
from asid.plots import study as plots
from asid.plots import style
from asid.runs.record import Record

_WIDTH = 7.0
"""Inches: the text width of a paper with two columns."""
_CROP = 64
"""Side of a crop, in HR pixels."""
_COLUMNS = 8
"""Most images in a row of crops."""


@dataclass(frozen=True)
class Picture:
    """A figure of a report. ``name`` is that of its files."""

    name: str
    figure: Figure
    title: str
    caption: str


def draw(study: Study, table: pd.DataFrame, found: dict[str, Statistics]) -> tuple[list[Picture], list[str]]:
    """The figures of a study, a set of them for each evaluation set, and a sentence for each that could not be drawn."""
    palette = style.colours(study.variants)
    pictures, skipped = [], []
    for data, rows in table.groupby("data", sort=False):
        several = table["data"].nunique() > 1
        ending, where = (f"-{file_name(str(data))}", f" on {data}") if several else ("", "")
        drawers = [draw_forest(study, rows, found.get(str(data))), draw_pareto(study, rows, palette)]
        drawers += [draw_interaction(study, rows), draw_seeds(study, str(data))]
        for picture in filter(None, drawers):
            pictures.append(Picture(picture.name + ending, picture.figure, picture.title + where, picture.caption))
    pictures.append(draw_curves(study, palette))
    try:
        examples = find_examples(study)
        why = (
            f"Chosen among all images and variants by the change of PSNR against {study.base} in the mean over seeds. "
        )
        pictures.append(draw_crops(study, examples, why if examples[0].variants else ""))
    except ImageError as error:
        skipped.append(f"No crops: {error}.")
    return pictures, skipped


def file_name(words: str) -> str:
    """A name without what does not belong in the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words)


def _records(number: int) -> str:
    return f"From {number} record{'s' if number != 1 else ''}."


def draw_forest(study: Study, rows: pd.DataFrame, statistics: Statistics | None) -> Picture | None:
    """The changes of PSNR, a row a variant in ``rows`` (of the comparison, one evaluation set); None where nothing can be compared."""
    if statistics is None or not statistics.comparisons:
        return None
    rows = rows[rows["variant"].isin(statistics.comparisons)]
    changes = score_changes(study)
    changes = changes[changes["data"].isin(rows["data"]) & changes["variant"].isin(rows["variant"])]
    changes = changes[~changes["image"].isin(statistics.left_out)]
    paired = rows["pairs"].max() > 1
    dots = changes.groupby(["variant", "seed"], sort=False)["change"].mean().reset_index() if paired else changes
    figure = style.new_figure(_WIDTH, 0.3 * len(rows) + 0.9)
    ax = figure.subplots()
    dot = "one seed" if paired else "one image (one seed: no interval over seeds)"
    plots.plot_forest(rows, dots, ax, base=study.base, margin=study.margin, noise=statistics.noise, dot=dot)
    style.legend_below(figure, ax)
    band = f"Band: ±{study.margin:g} dB, the margin of equivalence."
    if paired:
        caption = (
            "Large marker: mean change over seeds and images, filled where it is significant after Holm's adjustment. Line: 95 % interval "
            f"over seeds. Small dots: one seed each. {band} Dashed: the standard deviation of {study.base} itself from seed to seed."
        )
    else:
        caption = (
            "Large marker: mean change over images. Small dots: one image each; they show how images differ, not how trainings do. "
            f"One seed: there is no interval over seeds. {band}"
        )
    return Picture(
        "forest", figure, f"Change of PSNR against {study.base}", f"{caption} {_records(len(study.trained))}"
    )


def draw_pareto(study: Study, rows: pd.DataFrame, palette: dict[str, Any]) -> Picture:
    """PSNR against each cost, for ``rows`` of the comparison (one evaluation set); what has no colour in ``palette`` has no cost."""
    _, record = study.trained[0]
    output = record.complexity["output"] if record.complexity else []
    trained = rows[rows["variant"].isin(palette)].assign(parameters=lambda t: t["parameters"].astype(float) / 1000)
    seeds = _seed_means(study, str(rows["data"].iloc[0])).groupby("variant")["psnr"].agg(low="min", high="max")
    trained = trained.drop(columns=["low", "high"]).merge(seeds, on="variant")
    costs = {"parameters": "parameters (thousands)", "macs": f"multiply-adds (G), {output[0]}×{output[1]} output"}
    latency = timings(study).groupby("variant", sort=False)["latency"].agg(lambda values: values.median(skipna=False))
    if latency.notna().all():
        trained = trained.assign(latency=trained["variant"].map(latency))
        costs["latency"] = "time in the network (ms an image)"
    figure = style.new_figure(_WIDTH, 3.0)
    axes = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for ax, (cost, label) in zip(axes, costs.items(), strict=True):
        plots.plot_pareto(trained, cost, ax, label, palette, study.matched)
        for reference in rows[~rows["variant"].isin(palette)].to_dict("records"):
            plots.plot_reference(ax, reference["psnr"], reference["variant"])
        ax.label_outer()
    style.legend_below(figure, axes[0])
    caption = "Step line: the variants that no other beats in PSNR at the same or a lower cost. "
    caption += "Bars: the lowest and the highest seed. " if len(study.seeds) > 1 else ""
    caption += "Dotted: a control of matched size and the variant it belongs to. " if study.matched else ""
    caption += (
        "Time: the median over seeds, on the machine of the runs and under its load. " if "latency" in costs else ""
    )
    return Picture("pareto", figure, "PSNR against cost", caption + _records(len(study.trained)))


def draw_interaction(study: Study, rows: pd.DataFrame) -> Picture | None:
    """Over the first two factors; None where fewer were crossed, or nothing can be compared."""
    factors, levels = list(study.plan.factors), study.plan.levels
    cells = rows[~rows["variant"].isin(study.matched)]
    values = interaction(cells, levels, factors[:2]) if len(factors) > 1 else pd.DataFrame()
    if values.isna().all(axis=None):
        return None
    figure = style.new_figure(min(_WIDTH, 2.4 + 0.95 * values.shape[1]), 1.3 + 0.45 * values.shape[0])
    plots.plot_interaction(values, figure.subplots(), "change of PSNR-Y (dB)")
    others = f", averaged over {', '.join(axis_words(factor) for factor in factors[2:])}" if len(factors) > 2 else ""
    caption = f"Mean change of PSNR against {study.base} in dB{others}. Without interaction all rows differ by the same amount in every column."
    return Picture(
        "interaction",
        figure,
        f"{axis_words(factors[0])} × {axis_words(factors[1])}",
        f"{caption} {_records(len(study.trained))}",
    )


def interaction(rows: pd.DataFrame, levels: dict[str, dict[str, str]], factors: list[str]) -> pd.DataFrame:
    """Mean change (dB) for each pair of levels of two factors, averaged over all others; NaN where no variant has both.

    ``rows`` has the columns variant and delta; ``levels`` the levels of each variant. The first factor is in the rows.
    """
    cells = [
        {**levels[row["variant"]], "delta": row["delta"]}
        for row in rows.to_dict("records")
        if set(factors) <= set(levels.get(row["variant"], {}))
    ]
    table = pd.DataFrame(cells, columns=[*factors, "delta"]).groupby(factors)["delta"].mean().unstack()
    first, second = (
        list(dict.fromkeys(level[factor] for level in levels.values() if factor in level)) for factor in factors
    )
    return table.reindex(index=first, columns=second).rename_axis(
        index=axis_words(factors[0]), columns=axis_words(factors[1])
    )


def axis_words(factor: str) -> str:
    """The name of a field: ``model.attention_sharing`` as ``attention sharing``."""
    return factor.rpartition(".")[2].replace("_", " ")


def draw_seeds(study: Study, data: str) -> Picture | None:
    """Every training on an evaluation set; None where there is one seed."""
    if len(study.seeds) < 2:
        return None
    figure = style.new_figure(_WIDTH, 0.28 * len(study.variants) + 0.85)
    ax = figure.subplots()
    plots.plot_seeds(_seed_means(study, data), ax)
    style.legend_below(figure, ax)
    caption = "A marker is one training: the mean PSNR over all images. Bars: means over seeds."
    return Picture("seeds", figure, "Every training", f"{caption} {_records(len(study.trained))}")


def _seed_means(study: Study, data: str) -> pd.DataFrame:
    """Mean PSNR over the images of a set for each training. Columns: variant, seed, psnr."""
    scores = study.scores
    scores = scores[(scores["data"] == data) & scores["variant"].isin(study.variants)]
    return scores.groupby(["variant", "seed"], sort=False)["psnr"].mean().reset_index()


def draw_curves(study: Study, palette: dict[str, Any]) -> Picture:
    """Training loss and validation PSNR of each variant."""
    figure = style.new_figure(_WIDTH, 2.8)
    loss_ax, psnr_ax = figure.subplots(1, 2)
    for position, variant in enumerate(study.variants):
        rows = [pd.DataFrame(record.history) for _, record in study.trained if record.variant == variant]
        history = pd.concat(rows).astype(float)
        plots.plot_history(history, loss_ax, psnr_ax, variant, palette[variant], "-" if position < 10 else "--")
    style.legend_below(figure, loss_ax)
    caption = "Training loss, smoothed over a tenth of the training, and PSNR on the validation images. Lines: means over seeds."
    caption += " Band: lowest to highest seed." if len(study.seeds) > 1 else ""
    return Picture("curves", figure, "Training", f"{caption} {_records(len(study.trained))}")


# Crops


@dataclass(frozen=True)
class Example:
    """An image to show, why, and the variants that it is shown for."""

    data: str
    image: str
    reason: str
    variants: tuple[str, ...] = ()


def find_examples(study: Study) -> list[Example]:
    """The images with the largest and with the smallest change of PSNR against the base, of all variants, in the mean over seeds.

    One example where both are the same image. Without a change to go by the first two images.
    """
    changes = score_changes(study)
    means = (
        changes[changes["variant"].isin(study.variants)]
        .groupby(["data", "image", "variant"], sort=False)["change"]
        .mean()
    )
    ranked = means.reset_index().sort_values("change", ascending=False, kind="stable").to_dict("records")
    if not ranked:
        images = study.scores[["data", "image"]].drop_duplicates().head(2).to_dict("records")
        return [Example(row["data"], row["image"], row["image"]) for row in images]
    several = study.scores["data"].nunique() > 1
    chosen: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for title, row in (("best", ranked[0]), ("worst", ranked[-1])):
        words = f"{title} change {row['variant']}, {style.signed(row['change'], 2)} dB"
        chosen.setdefault((row["data"], row["image"]), []).append((words, row["variant"]))
    return [
        Example(
            data,
            image,
            f"{image}{f' ({data})' if several else ''}: {'; '.join(words for words, _ in reasons)}",
            tuple(variant for _, variant in reasons),
        )
        for (data, image), reasons in chosen.items()
    ]


def draw_crops(study: Study, examples: list[Example], why: str = "") -> Picture:
    """For each example the most detailed region: HR, the references, the base and other variants, all with one seed.

    ``why`` is a sentence for the caption: how the examples were chosen. Raises :class:`ImageError` where HR or SR images are not here
    any more.
    """
    shown = [_shown(study, example, examples) for example in examples]
    rows = [_crop_row(study, example, runs) for example, runs in zip(examples, shown, strict=True)]
    columns = max(len(images) for images, _ in rows)
    lines = max(title.count("\n") for images, _ in rows for title in images)
    figure = style.new_figure(_WIDTH, (0.6 + 0.12 * lines + _WIDTH / columns) * len(rows))
    for part, example, (images, notes) in zip(
        figure.subfigures(len(rows), 1, squeeze=False)[:, 0], examples, rows, strict=True
    ):
        part.suptitle(example.reason, x=0.01, ha="left", fontsize=9)
        plots.plot_crops(images, part, most_detailed_box(images["HR"], _CROP), notes)
    caption = (
        f"The {_CROP}×{_CROP} pixels with the strongest edges of each image, and the PSNR of the whole image. {why}"
    )
    seeds = sorted({record.config.seed for runs in shown for _, record in runs if record.complexity})
    caption += f"From the SR images of the runs with seed {' and '.join(map(str, seeds))}."
    return Picture("crops", figure, "Best and worst images", caption)


def _crop_row(
    study: Study, example: Example, shown: list[tuple[Path, Record]]
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str]]:
    """Images by title, HR first, and a note for each."""
    config = study.trained[0][1].config
    source = next(source for source in config.evaluate.data if Path(source).name == example.data)
    pair = next((pair for pair in find_pairs(source, config.model.scale) if pair.name == example.image), None)
    if pair is None:
        raise ImageError(f"{source} has no image {example.image} any more")
    images, notes = {"HR": crop_to_multiple(read_image(pair.hr), config.model.scale)}, {"HR": example.image}
    for folder, record in shown:
        sr = read_image(folder / IMAGES / example.data / f"{example.image}.png")
        if sr.shape != images["HR"].shape:
            raise ImageError(f"{pair.hr} is not the image that {folder} was evaluated on: its size differs")
        scores = record.score_table.query("data == @example.data and image == @example.image")
        title = textwrap.fill(record.variant, 15)
        images[title], notes[title] = sr, f"{scores['psnr'].iloc[0]:.2f} dB"
    return images, notes


def _shown(study: Study, example: Example, examples: list[Example]) -> list[tuple[Path, Record]]:
    """The references, and the runs with the first seed that the base and the example's variants have; at most a row with HR."""
    seeds = set(study.seeds)
    for name in {study.base, *example.variants} & set(study.variants):
        seeds &= {record.config.seed for _, record in study.trained if record.variant == name}
    runs = {
        record.variant: (folder, record) for folder, record in study.trained if record.config.seed in sorted(seeds)[:1]
    }
    references = [(folder, record) for folder, record in study.records if not record.complexity]
    first = [study.base, *(name for item in examples for name in item.variants), *study.variants]
    chosen = [name for name in dict.fromkeys(first) if name in runs][: _COLUMNS - 1 - len(references)]
    return [*references, *(runs[name] for name in study.variants if name in chosen)]
