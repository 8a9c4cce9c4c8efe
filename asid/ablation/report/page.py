"""The report bundle: from a study's records to tables, figures and one page. Nothing is trained: the same records give the same bytes."""

import base64
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib import rc_context

from asid.ablation.report.figures import Picture, draw
from asid.ablation.report.results import (
    LEVEL,
    ReportError,
    Statistics,
    Study,
    comparison,
    load_results,
    score_table,
    statistics,
    timings,
)
from asid.ablation.report.tables import (
    LEFT,
    alignment,
    best_cells,
    conclude,
    conclude_set,
    describe,
    explain,
    limits,
    show_interval,
    show_number,
    show_p,
    to_latex,
    to_markdown,
    to_text,
)
from asid.ablation.study.plan import PlannedRun
from asid.files import ERROR, json_text
from asid.plots import style
from asid.runs.record import to_rows

__all__ = ["ReportError", "load_results", "table_html", "to_html", "to_json", "write_report"]

_OF_THE_CODE = ("commit", "source", "python", "asid", "torch", "lightning", "numpy", "scikit-image", "pillow")
"""Provenance that does not depend on the machine or on when it ran."""


def write_report(folder: str | Path) -> list[Path]:
    """Write the report into a study's folder; returns the files.

    ``report.html`` is the page to read and to send; ``comparison.md``, ``.tex``, ``.csv`` and ``.json``, ``scores.csv`` (each image) and
    ``figures/`` (PNG and SVG) are its parts. What depends on the machine's speed is in ``timings.csv``, the page, and the figure of costs.
    """
    study = load_results(folder)
    table, found = comparison(study), statistics(study)
    texts = {
        "comparison.csv": table.to_csv(index=False),
        "comparison.json": to_json(study, table, found),
        "comparison.tex": to_latex(study, table),
        "scores.csv": score_table(study).to_csv(index=False),
        "timings.csv": timings(study).to_csv(index=False),
    }
    with rc_context(style.STYLE):
        pictures, skipped = draw(study, table, found)
        drawn = [
            file
            for picture in pictures
            for file in style.save_figure(picture.figure, study.folder / "figures" / picture.name)
        ]
    texts["comparison.md"] = to_markdown(study, table, found, [picture.name for picture in pictures], skipped)
    texts["report.html"] = to_html(study, table, found, pictures, skipped)
    for name, text in texts.items():
        (study.folder / name).write_text(text, encoding="utf-8")
    return [*(study.folder / name for name in texts), *drawn]


def to_json(study: Study, table: pd.DataFrame, found: dict[str, Statistics]) -> str:
    """Everything but run times, for other programs: table, statistics, sentences, runs, provenance. Missing numbers are null."""
    content = {
        "name": study.name,
        "question": study.question,
        "base": study.base,
        "margin": study.margin,
        "level": LEVEL,
        "table": to_rows(table),
        "statistics": {
            data: {
                "images": result.scores.images,
                "seeds": result.scores.seeds,
                "left_out": result.left_out,
                "noise_floor": result.noise,
                "comparisons": {variant: asdict(compared) for variant, compared in result.comparisons.items()},
            }
            for data, result in found.items()
        },
        "conclusions": conclude(study, found),
        "explanations": explain(study, found),
        "description": describe(study),
        "matched": study.matched,
        "dropped": [asdict(item) for item in study.dropped],
        "missing": study.missing,
        "runs": [
            {"variant": run.variant, "seed": run.seed, "run_id": run.run_id, "folder": _relative(run, study)}
            for run in study.plan.runs
        ],
        "data": study.trained[0][1].data,
        "provenance": _provenance(study, _OF_THE_CODE),
    }
    return json_text(content)


def _provenance(study: Study, keys: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """The different values of each entry over all trainings, or of ``keys`` only."""
    found: dict[str, list[Any]] = {}
    for _, record in study.trained:
        for key, value in record.provenance.items():
            if value is not None and (keys is None or key in keys) and value not in found.setdefault(key, []):
                found[key].append(value)
    return {key: sorted(values, key=str) for key, values in found.items()}


# The page

_SYMBOLS = {"better": "▲", "worse": "▼", "equivalent": "≈", "undecided": "○"}


def to_html(
    study: Study, table: pd.DataFrame, found: dict[str, Statistics], pictures: Sequence[Picture], skipped: Sequence[str]
) -> str:
    """One page with everything in it: no other file, no network, no script."""
    return _template("report.html.j2").render(
        study=study,
        facts=_facts(study, table),
        limits=limits(study, found),
        explanations=explain(study, found),
        sets=[_table_of_set(study, rows, found.get(str(data))) for data, rows in table.groupby("data", sort=False)],
        pictures=[(picture, _embed(study.folder / "figures" / f"{picture.name}.png")) for picture in pictures],
        notes=[*describe(study), *skipped],
        commands=_commands(study),
        provenance=_show_provenance(study),
        data=study.trained[0][1].data,
        runs=_runs(study),
        symbols=_SYMBOLS,
    )


def table_html(study: Study, rows: pd.DataFrame) -> str:
    """The page's table of one evaluation set, as a piece of HTML; ``rows`` of the comparison, all or some."""
    return _template("table.html.j2").render(study=study, set=_table_of_set(study, rows, None), symbols=_SYMBOLS)


def _template(name: str) -> Template:
    loader = PackageLoader("asid.ablation.report")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _facts(study: Study, table: pd.DataFrame) -> list[tuple[str, str]]:
    """What stands under the title."""
    _, record = study.trained[0]
    steps = sorted({record.config.train.steps for _, record in study.trained})
    shown = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    return [
        ("variants", str(len(study.variants))),
        ("seeds", str(len(study.seeds))),
        ("scale", f"×{record.config.model.scale}"),
        ("steps", shown.replace(",", " ")),
        ("evaluated on", ", ".join(dict.fromkeys(table["data"]))),
        ("trainings", f"{len(study.trained)} of {len(study.plan.runs)}"),
    ]


def _table_of_set(study: Study, rows: pd.DataFrame, statistics: Statistics | None) -> dict[str, Any]:
    """The cells of the tables of one evaluation set."""
    rows = rows.reset_index(drop=True)
    shown = to_text(rows)
    best = best_cells(rows)
    changes = dict(zip(shown["variant"], shown["change"], strict=True))
    shown = shown.drop(columns=["change", "data"])
    body = [
        [
            {"column": name, "text": _typeset(text) if name not in LEFT else text, "best": (index, name) in best}
            for name, text in row.items()
        ]
        for index, row in shown.iterrows()
    ]
    details = []
    for variant, result in (statistics.comparisons if statistics else {}).items():
        tests = [
            show_p(p)
            for p in (result.p_t, result.p_holm, result.p_flip if result.seeds.n > 1 else math.nan, result.p_equivalent)
        ]
        ends = [show_interval(interval.low, interval.high) for interval in (result.seeds, result.images)]
        numbers = [show_number(result.seeds.mean, "{:+z.3f}"), *ends, *tests, show_number(result.detectable, "{:.3f}")]
        details.append([variant, result.seeds.n, *map(_typeset, numbers)])
    return {
        "data": rows["data"].iloc[0],
        "header": list(zip(shown.columns, alignment(shown.columns), strict=True)),
        "body": body,
        "changes": changes,
        "conclusions": conclude_set(study, statistics) if statistics else [],
        "details": details,
        "images": len(statistics.scores.images) if statistics else 0,
    }


def _typeset(number: str) -> str:
    """A true minus sign instead of a hyphen."""
    return number.replace("-", "−")


def _commands(study: Study) -> list[tuple[str, str]]:
    """What to type to get this page again, a comment to each."""
    commits = _provenance(study, ["commit"]).get("commit", [])
    lines = []
    if len(commits) == 1:
        changed = ", with changes that were not committed" if commits[0].endswith("+") else ""
        lines.append((f"git checkout {commits[0].rstrip('+')}", f"the code of these records{changed}"))
    run = study.plan.command or f"asid ablate run ablations/{study.name}.yaml"
    lines.append((run, "trains what has no record yet"))
    words = shlex.split(run)
    folder = (
        words[words.index("--output") + 1] if "--output" in words[:-1] else f"results/{study.folder.resolve().name}"
    )
    lines.append((shlex.join(["asid", "report", folder]), "writes this page from the records"))
    return lines


_GROUPS = {"code": ("commit", "source", "asid"), "machine": ("machine", "cpus", "threads"), "versions": _OF_THE_CODE}


def _show_provenance(study: Study) -> list[tuple[str, str]]:
    found = _provenance(study)
    finished = found.pop("finished", [])
    rows = []
    for title, keys in _GROUPS.items():
        if values := {key: found.pop(key) for key in keys if key in found}:
            rows.append((title, ", ".join(f"{key} {' / '.join(map(str, several))}" for key, several in values.items())))
    rows += [(key, " / ".join(map(str, values))) for key, values in found.items()]
    if finished:
        rows.append(("finished", " to ".join(dict.fromkeys([_minute(finished[0]), _minute(finished[-1])])) + " UTC"))
    trained = timings(study)["train"].sum(min_count=1)
    if not pd.isna(trained):
        rows.append(("training", f"{_duration(trained)}, the sum over all runs"))
    return rows


def _minute(time: Any) -> str:
    """``2026-11-22T18:41:34+00:00`` as ``2026-11-22 18:41``."""
    return str(time)[:16].replace("T", " ")


def _runs(study: Study) -> list[dict[str, str]]:
    """Every planned run: whether it has a record, how long it took, where it lies."""
    records = dict(study.trained)
    times = timings(study).set_index(["variant", "seed"])
    rows = []
    for run in study.plan.runs:
        folder = run.folder
        row = {"variant": run.variant, "seed": str(run.seed), "folder": _relative(run, study)}
        row |= dict.fromkeys(("train", "evaluate", "latency", "finished"), "–")
        if folder in records:
            measured: Any = times.loc[(run.variant, run.seed), :]
            resumed = records[folder].execution.get("resumed_at")
            row["state"] = f"done, resumed at step {', '.join(map(str, resumed))}" if resumed else "done"
            row |= {name: _duration(measured[name]) for name in ("train", "evaluate")}
            row["latency"] = show_number(measured["latency"], "{:.0f}")
            row["finished"] = _minute(measured["finished"] or "–")
        else:
            row["state"] = _reason(folder)
        rows.append(row)
    return rows


def _relative(run: PlannedRun, study: Study) -> str:
    """The run's folder relative to the study's."""
    return run.folder.relative_to(study.folder).as_posix()


def _reason(folder: Path) -> str:
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
