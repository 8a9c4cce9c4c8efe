"""The figure of crops: the same detail of an image as each variant restores it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.ablation.report.figures import WIDTH, ReportFigure
from asid.ablation.report.results import StoredRecord, StudyResults
from asid.data.crops import most_detailed_box
from asid.data.images import ImageError, read_image
from asid.data.resize import crop_to_multiple
from asid.data.sources import find_pairs
from asid.files import IMAGES, content_hash
from asid.plots import study as plots
from asid.plots import style

HR = "HR"
"""The name of the original in a row of images."""
CROPS = "crops"
"""Stem of the figure's files."""
_SIDE = 64
"""Side of a crop, in HR pixels."""
_COLUMNS = 8
"""Most images in a row of crops."""


@dataclass(frozen=True)
class Example:
    """An image to show, why, and the variants it is shown for."""

    data: str
    image: str
    reason: str
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """An image of a row: HR, or the SR image of a variant or a reference."""

    name: str
    psnr: float | None
    """In dB; None for HR."""
    pixels: NDArray[np.uint8]


def find_examples(results: StudyResults) -> list[Example]:
    """Find the images with the largest and the smallest change of PSNR against the base, over all variants.

    Changes are means over seeds. One example if both are the same image; the first two images without changes.
    """
    changes = results.changes[results.changes["variant"].isin(results.variants)]
    means = changes.groupby(["data", "image", "variant"], sort=False)["change"].mean()
    ranked = means.reset_index().sort_values("change", ascending=False, kind="stable").to_dict("records")
    if not ranked:
        images = results.scores[["data", "image"]].drop_duplicates().head(2).to_dict("records")
        return [Example(row["data"], row["image"], row["image"]) for row in images]
    chosen: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for title, row in (("best", ranked[0]), ("worst", ranked[-1])):
        # Over seeds: the PSNR under the crops is that of one of them, and may point the other way.
        reason = f"{title} mean change {row['variant']}, {style.signed(row['change'], 2)} dB"
        chosen.setdefault((row["data"], row["image"]), []).append((reason, row["variant"]))
    examples = []
    for (data, image), reasons in chosen.items():
        name = f"{image} ({data})" if len(results.sets) > 1 else image
        why = "; ".join(reason for reason, _ in reasons)
        examples.append(Example(data, image, f"{name}: {why}", tuple(variant for _, variant in reasons)))
    return examples


def draw_best_and_worst(results: StudyResults) -> ReportFigure:
    """The crops of :func:`find_examples`.

    Raises:
        ImageError: If HR or SR images no longer exist.
    """
    examples = find_examples(results)
    return draw_crops(results, examples, _why(results, examples))


def drawn_before(results: StudyResults) -> ReportFigure:
    """What belongs to the files of :func:`draw_best_and_worst` that were drawn while the images existed.

    Its figure is empty.
    """
    examples = find_examples(results)
    shown = [choose_runs(results, example, examples) for example in examples]
    return _report_figure(style.new_figure(WIDTH, 1), shown, _why(results, examples))


def _why(results: StudyResults, examples: Sequence[Example]) -> str:
    base = results.plan.base
    why = f"Chosen among all images and variants by the change of PSNR against {base} in the mean over seeds. "
    return why if examples[0].variants else ""


def draw_crops(results: StudyResults, examples: Sequence[Example], why: str = "") -> ReportFigure:
    """Draw the most detailed region of each example: HR, the references, the base and other variants, with one seed.

    Args:
        results: The study, or a selection of it.
        examples: One row of crops each.
        why: A sentence for the caption: how the examples were chosen.

    Raises:
        ImageError: If HR or SR images no longer exist.
    """
    shown = [choose_runs(results, example, examples) for example in examples]
    rows = [read_row(results, example, runs) for example, runs in zip(examples, shown, strict=True)]
    columns = max(map(len, rows))
    titles = {image.name: textwrap.fill(image.name, 15) for row in rows for image in row}
    lines = max(title.count("\n") for title in titles.values())
    figure = style.new_figure(WIDTH, (0.6 + 0.12 * lines + WIDTH / columns) * len(rows))
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, example, row in zip(parts, examples, rows, strict=True):
        part.suptitle(example.reason, x=0.01, ha="left", fontsize=9, parse_math=False)
        pixels = {titles[image.name]: image.pixels for image in row}
        notes = {titles[image.name]: example.image if image.psnr is None else f"{image.psnr:.2f} dB" for image in row}
        plots.plot_crops(pixels, part, most_detailed_box(row[0].pixels, _SIDE), notes)
    return _report_figure(figure, shown, why)


def _report_figure(figure: Figure, shown: Sequence[Sequence[StoredRecord]], why: str) -> ReportFigure:
    seeds = sorted({run.record.config.seed for runs in shown for run in runs if run.record.complexity})
    caption = (
        f"The {_SIDE}×{_SIDE} pixels with the strongest edges of each image, and the PSNR of the whole image. {why}"
        f"From the SR images of the runs with seed {' and '.join(map(str, seeds))}."
    )
    return ReportFigure(CROPS, figure, "Best and worst images", caption)


def choose_runs(
    results: StudyResults, example: Example, examples: Sequence[Example], room: int | None = _COLUMNS - 1
) -> list[StoredRecord]:
    """The references, and the runs with the first seed that the base and the example's variants share.

    As many as there is room for beside HR (None: all): the base, the variants of all examples, then the others, shown
    in the order of the plan.
    """
    seeds = set(results.seeds)
    for name in {results.plan.base, *example.variants} & set(results.variants):
        seeds &= {record.config.seed for record in results.runs_of(name)}
    runs = {run.record.variant: run for run in results.trained if run.record.config.seed in sorted(seeds)[:1]}
    first = [results.plan.base, *(name for other in examples for name in other.variants), *results.variants]
    references = [
        next((stored for stored in records if stored.record.config.seed in sorted(seeds)[:1]), records[0])
        for records in results.references.values()
    ]
    variants = None if room is None else room - len(references)
    chosen = [name for name in dict.fromkeys(first) if name in runs][:variants]
    return [*references, *(runs[name] for name in results.variants if name in chosen)]


def read_row(results: StudyResults, example: Example, runs: Sequence[StoredRecord]) -> list[Shown]:
    """The HR image, and the SR image of each run."""
    config = results.config
    source = next(source for source in config.evaluate.data if Path(source).name == example.data)
    pair = next((pair for pair in find_pairs(source, config.model.scale) if pair.name == example.image), None)
    if pair is None:
        raise ImageError(f"{source} no longer has an image {example.image}")
    recorded = results.first.data[f"evaluate {source}"]
    hashes = dict(zip(recorded["images"], recorded.get("hashes", ()), strict=False))
    if hashes.get(pair.hr.name, content_hash(pair.hr)) != content_hash(pair.hr):  # a record of format 3 has none
        raise ImageError(f"{pair.hr} was exchanged after the evaluation: its hash is not the recorded one")
    hr = crop_to_multiple(read_image(pair.hr), config.model.scale)
    row = [Shown(HR, None, hr)]
    for run in runs:
        sr = read_image(run.folder / IMAGES / example.data / f"{example.image}.png")
        if sr.shape != hr.shape:
            raise ImageError(f"{pair.hr} is not the image that {run.folder} was evaluated on: its size differs")
        scores = run.record.score_table.query("data == @example.data and image == @example.image")
        row.append(Shown(run.record.variant, float(scores["psnr"].iloc[0]), sr))
    return row
