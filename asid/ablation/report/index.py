"""One page over all studies of a lab: question, verdicts, date, size, and a link to each report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from asid.ablation.report.page import SYMBOLS, template
from asid.ablation.report.results import ReportError, StudyResults, load_results
from asid.ablation.report.studies import find_studies
from asid.ablation.report.tables import show_number
from asid.files import write_text

PAGE = "index.html"
_REPORT = "report.html"


@dataclass(frozen=True)
class StudyLine:
    """What the page says about one study."""

    name: str
    """Path of its folder below that of the page."""
    question: str
    report: str | None
    """Address of its report on the page; ``None`` if it has not been written."""
    verdicts: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)
    """By evaluation set: variant, verdict and change of PSNR in dB."""
    finished: str = ""
    """Day of the last run (UTC)."""
    size: str = ""
    problem: str = ""
    """Why there are no results."""


def write_index(root: str | Path) -> Path:
    """Write ``index.html`` in a folder of results; the same records give the same bytes.

    Returns:
        The page.

    Raises:
        ReportError: There is no study.
    """
    root = Path(root)
    lines = study_lines(root)
    return write_text(root / PAGE, template("index.html.j2").render(lines=lines, symbols=SYMBOLS))


def study_lines(root: Path) -> list[StudyLine]:
    """The studies in ``root``, the latest first; those without results last."""
    lines = [_describe(name, folder) for name, folder in find_studies(root).items()]
    return sorted(lines, key=lambda line: line.finished, reverse=True)


def _describe(name: str, folder: Path) -> StudyLine:
    report = f"{quote(name)}/{_REPORT}" if (folder / _REPORT).is_file() else None
    try:
        results = load_results(folder)
    except ReportError as error:
        return StudyLine(name, name, report, problem=str(error))
    variants, seeds = len(results.variants), len(results.seeds)
    return StudyLine(
        name,
        results.plan.question,
        report,
        verdicts={data: _verdicts(results, data) for data in results.sets},
        finished=max(map(str, results.provenance.get("finished", [""])))[:10],
        size=f"{variants} variants × {seeds} seeds, {len(results.runs)} of {len(results.plan.runs)} runs",
    )


def _verdicts(results: StudyResults, data: str) -> tuple[tuple[str, str, str], ...]:
    rows = results.rows(data)
    rows = rows[rows["verdict"].notna() & (rows["variant"] != results.plan.base)]
    return tuple(
        (row["variant"], row["verdict"], show_number(row["delta"], "{:+z.3f}").replace("-", "−"))
        for row in rows.to_dict("records")
    )
