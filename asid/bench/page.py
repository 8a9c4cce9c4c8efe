"""The page of a bench, ``performance.md``, with its plots: made from the values of the JSON file alone."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context

from asid.bench.bench import SECTIONS
from asid.bench.timing import Row
from asid.files import write_text
from asid.plots.bench import plot_growth, plot_ratios
from asid.plots.style import STYLE, new_figure, save_figure

_RATIO = "plain / asid"
_PLOTTED = ("step", "inference", "gpu")
_NOT_HERE = {
    "gpu": "No GPU here.",
    "compile": "No C++ compiler here.",
    "overhead": "Needs the notebooks of a checkout.",
    "reports": "Needs the records of a checkout.",
}


def write_page(bench: dict[str, Any], path: Path) -> list[Path]:
    """Write the page to ``path``, and its plots to a folder beside it, named like the page. Returns the files."""
    with rc_context(STYLE):
        figures = [*_draw_ratios(bench), *_draw_growth(bench)]
        plots = {name: save_figure(figure, path.with_suffix("") / name)[0] for name, figure in figures}
    for plot in plots.values():
        plot.with_suffix(".svg").unlink()
    parts = [_head(bench)]
    if "ratios" in plots:
        parts.append(f"![Ratios against the plain implementation]({path.stem}/ratios.png)")
    for name, measured in bench["sections"].items():
        section = SECTIONS[name]
        table = to_markdown(measured["rows"]) if measured["rows"] else _NOT_HERE.get(name, "Not measured.")
        before, after = measured["load"]
        how = f"Took {measured['seconds']:.0f} s; load average before and after: {before:g}, {after:g}"
        how += f"; commit {measured['commit']}." if measured["commit"] != bench["machine"]["commit"] else "."
        parts += [f"## {section.title}", section.text, table, how]
        if name == "growth" and "growth" in plots:
            parts.append(f"![Time over size]({path.stem}/growth.png)")
    write_text(path, "\n\n".join(parts) + "\n")
    return [path, *plots.values()]


def _head(bench: dict[str, Any]) -> str:
    machine, command = bench["machine"], "asid bench --quick" if bench["quick"] else "asid bench"
    peaks = ", ".join(
        f"{gflops:g} GFLOP/s with {number} thread{'s' if number != '1' else ''}"
        for number, gflops in machine["matmul_gflops"].items()
    )
    loads = [value for section in bench["sections"].values() for value in section["load"]]
    lines = [
        "# Performance",
        f"Written by `{command} --write docs/performance.md` from what it measured (`performance.json`) in "
        f"{bench['seconds'] / 60:.0f} minutes. Sides are measured in turn; a value is the median of some rounds, "
        "with its quartiles in brackets, and a ratio is the median of the ratios of each round.",
    ]
    if bench["quick"]:
        lines.append(
            "**This is a quick bench**: mostly small sizes, at most two rounds. It shows that everything works, and "
            "roughly how sides compare; for numbers to rely on, run `asid bench` on a quiet machine."
        )
    if loads and (most := max(loads)) > machine["cores"]:
        lines.append(
            f"**The machine was busy**: its load average rose to {most:g} on {machine['cores']} cores, so that times "
            "are too long. Ratios are of measurements side by side and suffer less."
        )
    lines.append(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['capability']}, {machine['memory_gb']:g} GB, "
        f"{machine['machine']}, {machine['libc']}; Python {machine['python']}, torch {machine['torch']}, "
        f"asid {machine['asid']}, commit {machine['commit']}. Products of matrices reach {peaks}, as loaded then: the "
        "peak in the tables below."
    )
    if bench["against"]:
        lines.append(
            f"*Plain* is `{bench['against']}` of the tests: the same network, batched, written down layer by layer as "
            "the paper describes it. It is not the published code. `--against` takes another module."
        )
    else:
        lines.append("There was no plain implementation to compare with: `--against` takes one.")
    return "\n\n".join(lines)


def to_markdown(rows: list[Row]) -> str:
    """The rows of a section as a table; quartiles go into the cell of their median."""
    table = pd.DataFrame([_joined(row) for row in rows])
    return str(table.fillna("").to_markdown(index=False, disable_numparse=True))


def _joined(row: Row) -> dict[str, str]:
    cells = {}
    for column, value in row.items():
        if column.endswith((" low", " high")):
            continue
        cells[column] = _text(value)
        if f"{column} low" in row:
            cells[column] += f" ({_text(row[f'{column} low'])}–{_text(row[f'{column} high'])})"
    return cells


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _draw_ratios(bench: dict[str, Any]) -> list[tuple[str, Any]]:
    ratios = {}
    for name in _PLOTTED:
        for row in bench["sections"].get(name, {}).get("rows", []):
            if _RATIO in row:
                what = f"{row['network']}, {row['batch']}" if name == "step" else f"{row['network']} {row['scale']}"
                where = row["device"] if name == "gpu" else f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
                label = f"{'step' if name == 'step' else 'inference'}: {what}, {where}"
                ratios[label] = (row[f"{_RATIO} low"], row[_RATIO], row[f"{_RATIO} high"])
    if not ratios:
        return []
    figure = new_figure(6.5, 0.7 + 0.24 * len(ratios))
    plot_ratios(ratios, figure.subplots())
    return [("ratios", figure)]


def _draw_growth(bench: dict[str, Any]) -> list[tuple[str, Any]]:
    rows = bench["sections"].get("growth", {}).get("rows", [])
    if not rows:
        return []
    figure = new_figure(2 * len(rows), 2)
    costs = {row["grows"]: (row["sizes"], row["ms"], row["exponent of time"]) for row in rows}
    plot_growth(costs, list(figure.subplots(1, len(rows), squeeze=False, sharey=True)[0]))
    return [("growth", figure)]
