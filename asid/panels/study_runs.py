"""The runs of a study while it runs: the state of each, why some failed, and all curves."""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from asid.ablation.engine.status import RunState
from asid.ablation.study.plan import Plan
from asid.files import ERROR, NOTEBOOK
from asid.plots import study as plots
from asid.plots import style
from asid.runs.identity import set_name
from asid.runs.record import RecordError, read_record
from asid.training.history import read_history


def link(path: Path, text: str) -> str:
    """A link to a file that a notebook can open; only its text on a Voilà page, which serves no files."""
    shown = html.escape(text)
    if "VOILA_REQUEST_URL" in os.environ:
        return f'<span title="{html.escape(str(path))}">{shown}</span>'
    return f'<a href="{html.escape(quote(path.as_posix()))}" target="_blank">{shown}</a>'


def states_html(states: Sequence[RunState]) -> str:
    """A table with a row for each variant and a column for each seed, linked to the executed notebooks; failures."""
    planned = [state for state in states if state.in_plan]
    seeds = sorted({state.seed for state in planned})
    by_run = {(state.variant, state.seed): state for state in planned}
    head = "".join(f"<th>seed {seed}</th>" for seed in seeds)
    rows = []
    for variant in dict.fromkeys(state.variant for state in planned):
        cells = (by_run.get((variant, seed)) for seed in seeds)
        row = "".join(_cell(state) if state else "<td></td>" for state in cells)
        rows.append(f'<tr><td class="name">{html.escape(variant)}</td>{row}</tr>')
    table = f'<div class="asid-runs"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    return f"{_STYLE}{table}{_failures(planned)}"


def _cell(state: RunState) -> str:
    psnr = f"{state.psnr:.2f} dB" if state.psnr is not None else ""
    percent = round(100 * (state.step or 0) / state.steps) if state.steps else 0
    match state.state:
        case "done":
            text = psnr or "done"
        case "running":
            text = f"{percent} % {psnr}"
        case "stale":
            text = f"stopped {percent} %"
        case name:
            text = name
    notebook = state.folder / NOTEBOOK
    shown = link(notebook, text) if notebook.is_file() else html.escape(text)
    bar = f' style="--done: {percent}%"' if state.state in ("running", "stale") else ""
    return f'<td class="{state.state}" title="{html.escape(state.note or state.state)}"{bar}>{shown}</td>'


def _failures(states: Sequence[RunState]) -> str:
    """The reason of each failure, with its traceback."""
    failed = [state for state in states if state.state == "failed"]
    items = []
    for state in failed:
        error = state.folder / ERROR
        more = f" ({link(error, 'traceback')})" if error.is_file() else ""
        label = html.escape(f"{state.variant} seed {state.seed}")
        items.append(f"<li><b>{label}</b>: {html.escape(state.note)}{more}</li>")
    return f'<ul role="alert" class="asid-failed">{"".join(items)}</ul>' if items else ""


def draw_runs(
    states: Sequence[RunState], histories: Mapping[Path, pd.DataFrame], references: Mapping[str, float]
) -> Figure:
    """The curves of all runs so far, a line for each; the axis of steps is that of the whole training.

    Args:
        states: The runs.
        histories: The curves by folder, see :func:`asid.training.history.read_history`.
        references: PSNR in dB of methods without training on the validation images, by name.
    """
    figure = style.new_figure(9, 3)
    loss_ax, psnr_ax = figure.subplots(1, 2)
    shown = [state for state in states if state.in_plan and len(histories.get(state.folder, ()))]
    names = list(dict.fromkeys(state.variant for state in states if state.in_plan))
    palette, labelled = style.colours(names), set()
    for state in shown:
        label = None if state.variant in labelled else state.variant
        labelled.add(state.variant)
        line = "-" if names.index(state.variant) < 10 else "--"
        plots.plot_history(histories[state.folder], loss_ax, psnr_ax, label, palette[state.variant], line)
    plots.plot_reference_lines(references, psnr_ax)
    steps = max((state.steps or 0 for state in states), default=0)
    for ax in (loss_ax, psnr_ax):
        ax.set_xlim(0, steps or None)
    if psnr_ax.get_legend_handles_labels()[0]:
        style.legend_below(figure, psnr_ax)
    return figure


def read_curves(state: RunState) -> pd.DataFrame:
    """The curves of a run so far; those in its record if only that was kept."""
    history = read_history(state.folder)
    if history.empty and state.state == "done":
        return pd.DataFrame(read_record(state.folder).history).astype(float)
    return history


def reference_scores(folder: Path, plan: Plan) -> dict[str, float]:
    """Mean PSNR in dB of the references without training on the validation images, where these were scored."""
    wanted = plan.runs[0].data.get("validation")
    found: dict[str, float] = {}
    for name in plan.references:
        try:
            record = read_record(folder / "references" / name)
        except (FileNotFoundError, RecordError):
            continue
        for use, data in record.data.items():
            if use.startswith("evaluate ") and data["manifest"] == wanted:
                scores = [score["psnr"] for score in record.scores if score["data"] == set_name(data["source"])]
                found[name] = sum(scores) / len(scores)
    return found


_STYLE = """<style>
.asid-runs { overflow-x: auto; }
.asid-runs table { border-collapse: separate; border-spacing: 3px; font-size: 13px; }
.asid-runs tr { background: none !important; }
.asid-runs th { font-weight: 400; opacity: .75; padding: 0 .5rem; }
.asid-runs td { padding: .25rem .6rem; text-align: center; min-width: 5.2rem; white-space: nowrap; }
.asid-runs td { font-variant-numeric: tabular-nums; background: rgba(128, 128, 128, .12); border-radius: 3px; }
.asid-runs td.name { background: none; text-align: left; font-weight: 600; }
.asid-runs td.done { background: rgba(2, 158, 115, .2); }
.asid-runs td.running { --dark: rgba(1, 115, 178, .35); --light: rgba(1, 115, 178, .1); }
.asid-runs td.stale { --dark: rgba(222, 143, 5, .4); --light: rgba(222, 143, 5, .12); }
.asid-runs td[style] { background: linear-gradient(to right, var(--dark) var(--done), var(--light) 0); }
.asid-runs td.failed { background: rgba(176, 0, 32, .2); }
.asid-runs td.planned, .asid-runs td.spared { opacity: .65; }
.asid-failed { color: #b00020; line-height: 1.45; margin: .4rem 0; padding-left: 1.2rem; }
</style>"""
