"""The files of a report. Nothing is trained: the same records give the same bytes."""

from dataclasses import asdict
from pathlib import Path

from matplotlib import rc_context

from asid.ablation.report.crops import CROPS, draw_best_and_worst, drawn_before
from asid.ablation.report.escape import to_csv
from asid.ablation.report.figures import ReportFigure, draw_figures
from asid.ablation.report.latex import to_latex
from asid.ablation.report.markdown import to_markdown
from asid.ablation.report.page import to_html
from asid.ablation.report.results import StudyResults
from asid.ablation.report.samples import Sample, cut_samples
from asid.ablation.report.sentences import conclude, describe, explain
from asid.ablation.statistics.scores import LEVEL
from asid.data.images import ImageError
from asid.files import json_text, write_text
from asid.plots import style
from asid.runs.record import to_rows

OF_THE_CODE = ("commit", "source", "python", "asid", "torch", "lightning", "numpy", "scikit-image", "pillow")
"""Provenance that does not depend on the machine or on when it ran."""


def write_report(results: StudyResults) -> list[Path]:
    """Write the report into the study's folder.

    ``report.html`` is the page to read and to send; ``comparison.md``, ``.tex``, ``.csv`` and ``.json``, ``scores.csv``
    (each image) and ``figures/`` (PNG and SVG) are its parts. What depends on the machine's speed is in
    ``timings.csv``, on the page, and in the figure of costs.

    Returns:
        The files.
    """
    scores = to_csv(results.scores)
    with rc_context(style.STYLE):
        figures, kept, notes = _draw(results, scores)
        folder = results.folder / "figures"
        drawn = [file for figure in figures for file in style.save_figure(figure.figure, folder / figure.name)]
    figures = [*figures, *kept]
    texts = {
        "comparison.csv": to_csv(results.table),
        "comparison.json": to_json(results),
        "comparison.tex": to_latex(results),
        "scores.csv": scores,
        "timings.csv": to_csv(results.timings),
        "comparison.md": to_markdown(results, [figure.name for figure in figures], notes),
    }
    downloads = {name: texts[name] for name in ("comparison.csv", "comparison.tex", "comparison.md", "scores.csv")}
    texts["report.html"] = to_html(results, figures, notes, _samples(results), downloads)
    for name, text in texts.items():
        write_text(results.folder / name, text)
    return [*(results.folder / name for name in texts), *drawn]


def _draw(results: StudyResults, scores: str) -> tuple[list[ReportFigure], list[ReportFigure], list[str]]:
    """The figures to save; those that were drawn before and stay; and a sentence for each that cannot be drawn.

    Crops need images, which need not be kept. Without them, crops that were drawn from the same ``scores`` stay, and
    others are deleted.
    """
    figures, before = draw_figures(results), results.folder / "scores.csv"
    try:
        return [*figures, draw_best_and_worst(results)], [], []
    except ImageError as error:
        files = [results.folder / "figures" / f"{CROPS}.{kind}" for kind in ("png", "svg")]
        if all(file.is_file() for file in (before, *files)) and before.read_text(encoding="utf-8") == scores:
            return figures, [drawn_before(results)], []
        for file in files:
            file.unlink(missing_ok=True)
        return figures, [], [f"No crops: {error}.".replace(f"{results.folder}/", "")]


def _samples(results: StudyResults) -> list[Sample]:
    """The samples of the page; none if the images are gone, as :func:`_draw` says of its crops."""
    try:
        return cut_samples(results)
    except ImageError:
        return []


def to_json(results: StudyResults) -> str:
    """Format everything but run times as JSON: table, statistics, sentences, runs and provenance."""
    content = {
        "name": results.plan.name,
        "question": results.plan.question,
        "base": results.plan.base,
        "margin": results.plan.margin,
        "level": LEVEL,
        "table": to_rows(results.table),
        "statistics": {
            data: {
                "images": statistics.images,
                "seeds": statistics.seeds,
                "left_out": statistics.left_out,
                "noise_floor": statistics.noise,
                "comparisons": {variant: asdict(result) for variant, result in statistics.comparisons.items()},
                "interactions": {name: asdict(result) for name, result in statistics.interactions.items()},
                "variance": results.variance(data),
            }
            for data, statistics in results.statistics.items()
        },
        "conclusions": conclude(results),
        "explanations": explain(results),
        "description": describe(results),
        "matched": results.plan.matched,
        "dropped": [asdict(dropped) for dropped in results.plan.dropped],
        "missing": results.missing,
        "runs": [
            {
                "variant": run.variant,
                "seed": run.seed,
                "run_id": run.run_id,
                "folder": results.relative(run.folder),
                "origin": results.origins.get(run.folder),
            }
            for run in results.plan.runs
        ],
        "data": results.first.data,
        "provenance": {key: values for key, values in results.provenance.items() if key in OF_THE_CODE},
    }
    return json_text(content)
