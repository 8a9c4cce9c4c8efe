"""The report as one HTML page, which needs no other file."""

import base64
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from asid.ablation.report.explore import explorable
from asid.ablation.report.figures import ReportFigure
from asid.ablation.report.results import StudyResults
from asid.ablation.report.samples import Sample
from asid.ablation.report.sentences import conclude_set, describe, explain, overview
from asid.ablation.report.tables import (
    BOLD,
    TEXT_COLUMNS,
    alignment,
    best_values,
    show_interval,
    show_number,
    show_p,
    to_text,
)
from asid.ablation.statistics.paired import Comparison
from asid.files import ERROR, grouped
from asid.runs.record import Record

SYMBOLS = {"better": "▲", "worse": "▼", "equivalent": "≈", "undecided": "○"}
"""What stands before a verdict."""
_PROVENANCE = {
    "code": ("commit", "source", "asid"),
    "machine": ("machine", "cpu", "capability", "gpu", "cpus", "threads"),
    "versions": ("python", "torch", "lightning", "numpy", "scikit-image", "pillow"),
}


def to_html(
    results: StudyResults,
    figures: Sequence[ReportFigure],
    notes: Sequence[str],
    samples: Sequence[Sample] = (),
    tables: Mapping[str, str] | None = None,
) -> str:
    """Write the page: no other file, no network; readable without its script, which only adds.

    Args:
        results: The study.
        figures: The figures to show, which are saved in the study's folder.
        notes: Further sentences, e.g. why a figure is missing.
        samples: Details of images to compare.
        tables: Files to download from the page: their text by name.
    """
    saved = results.folder / "figures"
    return template("report.html.j2").render(
        study=results,
        facts=_facts(results),
        limits=overview(results),
        explanations=explain(results),
        sets=[_table_of_set(results, data) for data in results.sets],
        figures=[
            (
                figure,
                _embed("image/png", (saved / f"{figure.name}.png").read_bytes()),
                (saved / f"{figure.name}.svg").read_text(encoding="utf-8"),
            )
            for figure in figures
        ],
        tables=[(name, _embed("text/plain", text.encode())) for name, text in (tables or {}).items()],
        explorable=explorable(results, samples),
        notes=[*describe(results), *notes],
        commands=_commands(results),
        provenance=_show_provenance(results),
        data=results.first.data,
        runs=_runs(results),
        symbols=SYMBOLS,
        bold=BOLD,
    )


def table_html(results: StudyResults, data: str) -> str:
    """The page's table of one evaluation set, as a piece of HTML."""
    return template("table.html.j2").render(study=results, set=_table_of_set(results, data), symbols=SYMBOLS)


def template(name: str) -> Template:
    """A page or a part of one; what is put into it is escaped."""
    loader = PackageLoader("asid.ablation.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def _embed(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _facts(results: StudyResults) -> list[tuple[str, str]]:
    """Names and values under the title."""
    steps = sorted({run.record.config.train.steps for run in results.trained})
    shown = " to ".join(grouped(number) for number in dict.fromkeys((steps[0], steps[-1])))
    return [
        ("variants", str(len(results.variants))),
        ("seeds", str(len(results.seeds))),
        ("scale", f"×{results.config.model.scale}"),
        ("steps", shown),
        ("evaluated on", ", ".join(results.sets)),
        ("trainings", f"{len(results.runs)} of {len(results.plan.runs)}"),
    ]


def _table_of_set(results: StudyResults, data: str) -> dict[str, Any]:
    """The comparison and the statistics on one evaluation set, as cells of tables."""
    rows = results.rows(data).reset_index(drop=True)
    shown, best = to_text(rows), best_values(rows)
    changes = dict(zip(shown["variant"], shown["change"], strict=True))
    first = ["variant", "verdict"]
    shown = shown[first + [name for name in shown if name not in (*first, "change", "data")]]
    body = [
        [
            {"column": name, "text": text if name in TEXT_COLUMNS else _typeset(text), "best": (index, name) in best}
            for name, text in row.items()
        ]
        for index, row in enumerate(shown.to_dict("records"))
    ]
    statistics, tiled = results.statistics.get(data), results.in_tiles.get(data)
    details = [
        [*_details(*item), *([_in_tiles(tiled.comparisons.get(item[0]))] if tiled else [])]
        for item in (statistics.comparisons.items() if statistics else ())
    ]
    return {
        "data": data,
        "header": list(zip(shown.columns, alignment(shown.columns), strict=True)),
        "body": body,
        "changes": changes,
        "conclusions": conclude_set(results, statistics) if statistics else [],
        "details": details,
        "tiled": bool(tiled),
        "images": len(statistics.images) if statistics else 0,
    }


def _details(variant: str, result: Comparison) -> list[str]:
    """The row of a variant in the table of statistics."""
    numbers = [
        show_number(result.change, "{:+z.3f}"),
        show_interval(result.seeds.low, result.seeds.high),
        show_interval(result.images.low, result.images.high),
        show_p(result.p_t),
        show_p(result.p_holm),
        show_p(result.p_flip if result.n > 1 else math.nan),
        show_p(result.p_equivalent),
        show_number(result.detectable, "{:.3f}"),
    ]
    return [variant, str(result.n), *map(_typeset, numbers)]


def _in_tiles(result: Comparison | None) -> str:
    """The change by the scores in tiles, with its verdict."""
    return f"{_typeset(show_number(result.change, '{:+z.3f}'))} {result.verdict}" if result else "–"


def _typeset(number: str) -> str:
    """A true minus sign instead of a hyphen."""
    return number.replace("-", "−")


def _commands(results: StudyResults) -> list[tuple[str, str]]:
    """The commands that make this page again, each with a comment."""
    commits = results.provenance.get("commit", [])
    lines = []
    if len(commits) == 1:
        changed = ", with changes that were not committed" if commits[0].endswith("+") else ""
        lines.append((f"git checkout {commits[0].rstrip('+')}", f"the code of these records{changed}"))
    if results.command:
        lines.append((results.command, "trains what has no record yet"))
    command = shlex.split(results.command)
    if "--output" in command[:-1]:
        folder = command[command.index("--output") + 1]
    else:
        folder = f"results/{results.folder.resolve().name}"
    lines.append((shlex.join(["asid", "report", folder]), "writes this page from the records"))
    return lines


def _show_provenance(results: StudyResults) -> list[tuple[str, str]]:
    values = dict(results.provenance)
    finished = values.pop("finished", [])
    rows = []
    for title, keys in _PROVENANCE.items():
        if group := {key: values.pop(key) for key in keys if key in values}:
            rows.append((title, ", ".join(f"{key} {_join(different)}" for key, different in group.items())))
    rows += [(key, _join(different)) for key, different in values.items()]
    if finished:
        rows.append(("finished", " to ".join(dict.fromkeys([_minute(finished[0]), _minute(finished[-1])])) + " UTC"))
    seconds = results.timings["train"].sum(min_count=1)
    if not pd.isna(seconds):
        rows.append(("training", f"{_duration(seconds)}, the sum over all runs"))
    return rows


def _join(values: Sequence[Any]) -> str:
    return " / ".join(map(str, values))


def _minute(time: Any) -> str:
    """``2026-11-22T18:41:34+00:00`` as ``2026-11-22 18:41``."""
    return str(time)[:16].replace("T", " ")


def _runs(results: StudyResults) -> list[dict[str, str]]:
    """Every planned run: its folder, whether it has a record, and how long it took."""
    records = {stored.folder: stored.record for stored in results.runs}
    times = results.timings.set_index(["variant", "seed"])
    rows = []
    for run in results.plan.runs:
        row = {"variant": run.variant, "seed": str(run.seed), "folder": results.relative(run.folder)}
        row |= dict.fromkeys(("train", "evaluate", "latency", "finished"), "–")
        if run.folder in records:
            measured: Any = times.loc[(run.variant, run.seed), :]
            row["state"] = _state(records[run.folder])
            row |= {name: _duration(measured[name]) for name in ("train", "evaluate")}
            row["latency"] = show_number(measured["latency"], "{:.0f}")
            row["finished"] = _minute(measured["finished"] or "–")
        else:
            row["state"] = _why_missing(run.folder)
        rows.append(row)
    return rows


def _state(record: Record) -> str:
    """How a run was done."""
    resumed = record.execution.get("resumed_at")
    return ", ".join(
        [
            "done",
            *([f"from {record.origin}"] if record.origin else []),
            *([f"resumed at step {', '.join(map(str, resumed))}"] if resumed else []),
        ]
    )


def _why_missing(folder: Path) -> str:
    """Why a run has no record, in a line."""
    if not (folder / ERROR).is_file():
        return "no record"
    lines = (folder / ERROR).read_text(errors="replace").strip().splitlines()
    return f"failed: {lines[-1]}" if lines else "failed"


def _duration(seconds: Any) -> str:
    if pd.isna(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
