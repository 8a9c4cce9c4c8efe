"""Writes again what README, docs and results take from committed records (``make results-report``).

Reports and figures of the studies in ``results/reference``, the page on performance, the tables of the recipe, the page
of published networks, and the marked sections of three pages. Nothing is trained or measured: the same records give
the same bytes. What needs data or networks is not here: ``docs/inside.py``, ``docs/gallery.py``,
``docs/simulation.py``.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cards
import pandas as pd
import pareto
import recipe
from findings import count_verdicts, findings
from matplotlib import rc_context
from sections import replace_section

from asid.ablation.report.escape import to_csv
from asid.ablation.report.index import StudyLine, study_lines
from asid.ablation.report.results import StudyResults, load_results
from asid.ablation.report.sentences import conclude
from asid.ablation.report.studies import find_studies
from asid.ablation.report.tables import alignment, to_text
from asid.ablation.report.write import write_report
from asid.bench.page import write_page
from asid.files import grouped, read_json, write_text
from asid.plots.study import plot_history
from asid.plots.style import STYLE, new_figure, save_figure
from asid.runs.record import Record

ROOT = Path(__file__).resolve().parents[1]
DOCS, REFERENCE, CARDS = ROOT / "docs", ROOT / "results" / "reference", ROOT / "asid" / "weights" / "README.md"
SHOWN = "quick"
"""The study whose table is in the README: that of ``make ablation``."""
LEFT_OUT = ["change", "data", "SD", "SSIM", "seeds"]
"""Columns that its table there does without."""


def claims() -> str:
    """What each packaged network at full size reaches, a line each."""
    return "\n".join(_claim(record) for record in pareto.our_networks())


def _claim(record: Record) -> str:
    cost, table = record.complexity, record.score_table.query("data == @pareto.SHOWN")
    assert cost is not None
    loss = (table["psnr"] - table["psnr_uniform_maps"]).mean()
    use = f"; its attention maps are worth {loss:.2f} dB" if loss == loss else ""
    images = len(record.data["train"]["images"])
    record_file = f"results/reference/weights/{record.variant}/record.json"
    return (
        f"- **`{record.variant}`: {table['psnr'].mean():.2f} dB on {pareto.SHOWN} ×{record.config.model.scale}** with "
        f"{grouped(cost['parameters'])} parameters and {cost['macs_torch'] / 1e9:.1f} G multiply-adds, after "
        f"{grouped(record.config.train.steps)} steps on the {images} photographs of {record.config.data.train}{use} "
        f"([record]({record_file}))"
    )


def study_table(results: StudyResults) -> str:
    """The table of a study and what it concludes."""
    shown = to_text(results.table, compact=True).drop(columns=LEFT_OUT, errors="ignore")
    table = shown.to_markdown(index=False, disable_numparse=True, colalign=alignment(shown.columns))
    return "\n".join([table, "", *(f"- {sentence}" for sentence in conclude(results))])


def studies(folder: str) -> str:
    """The kept studies: question, verdicts and report; links are relative to a page.

    Args:
        folder: Of the studies, as seen from the page, e.g. ``results/reference``.
    """
    lines = ["| study | question | size | verdicts |", "|---|---|---|---|"]
    for study in _kept():
        verdicts = study.problem or "<br>".join(
            f"{data}: {count_verdicts(verdict for _, verdict, _ in found)}" for data, found in study.verdicts.items()
        )
        cells = [f"[{study.name}]({folder}/{study.name}/comparison.md)", study.question, study.size, verdicts]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@cache
def _kept() -> list[StudyLine]:
    return sorted(study_lines(REFERENCE), key=lambda line: line.name)


def pages() -> Iterator[tuple[Path, dict[str, str]]]:
    """The pages that have sections from records, and what belongs there."""
    quick = study_table(load_results(REFERENCE / SHOWN))
    yield (
        ROOT / "README.md",
        {"claims": claims(), SHOWN: quick, "studies": studies("results/reference")},
    )
    yield ROOT / "results" / "README.md", {"studies": studies("reference"), "findings": findings()}
    yield CARDS, {"published": cards.published(), "small": cards.small()}
    yield DOCS / "recipe.md", recipe.tables(DOCS / "recipe.csv")
    yield pareto.PAGE, pareto.sections()


def texts() -> dict[Path, str]:
    """Each of these pages as it is to be."""
    written = {}
    for path, sections in pages():
        text = path.read_text(encoding="utf-8")
        for name, content in sections.items():
            text = replace_section(text, name, content)
        written[path] = text
    return written


def contents() -> dict[Path, bytes]:
    """The bytes of every file that may be written."""
    found = [*DOCS.rglob("*"), *REFERENCE.rglob("*"), *(path for path, _ in pages())]
    return {path: path.read_bytes() for path in found if path.is_file() and path.suffix != ".pyc"}


def write() -> list[Path]:
    """Write everything, and return the files whose bytes are others than before."""
    before = contents()
    for folder in find_studies(REFERENCE).values():
        write_report(load_results(folder))
    write_page(read_json(DOCS / "performance.json"), DOCS / "performance.md")
    pareto.write_figures()
    write_curves()
    for path, text in texts().items():
        write_text(path, text)
    return sorted(path for path, content in contents().items() if before.get(path) != content)


def write_curves() -> None:
    """Write and draw the training curves of the packaged networks at full size."""
    for record in pareto.our_networks():
        history = pd.DataFrame(record.history).astype(float).astype({"step": int})
        with rc_context(STYLE):
            figure = new_figure(7, 2.4)
            plot_history(history, *figure.subplots(1, 2))
            png, svg = save_figure(figure, cards.CURVES / record.variant)
        write_text(png.with_suffix(".csv"), to_csv(history))
        svg.unlink()


def main() -> None:
    """Write everything and name what has changed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="end with status 1 if something has changed")
    options = parser.parse_args()
    changed = write()
    for path in changed:
        sys.stdout.write(f"changed: {path.relative_to(ROOT)}\n")
    sys.stdout.write(f"{len(changed)} files changed\n")
    sys.exit(bool(changed) and options.check)


if __name__ == "__main__":
    main()
