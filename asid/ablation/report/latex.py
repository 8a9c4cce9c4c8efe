"""The comparison as a LaTeX table for a paper."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from asid.ablation.report.escape import tex_comment
from asid.ablation.report.results import StudyResults
from asid.ablation.report.sentences import alpha, describe
from asid.ablation.report.tables import (
    BOLD,
    COVERAGE,
    HALF_WIDTH,
    OTHER_SEEDS,
    OTHER_VERDICT,
    alignment,
    best_values,
    flips_in_tiles,
    other_seeds,
    to_text,
)

_COLUMNS = (
    *("variant", "params", "MACs (G)", "PSNR (dB)", "SSIM", "map use (dB)", "tile cost (dB)"),
    *("Δ dB", "p (Holm)", "seeds"),
)
"""Those of :func:`asid.ablation.report.tables.to_text` that the table has, where there are such."""
_MARKS = {
    "undecided": ("ns", "not significant"),
    "equivalent": ("eq", "not significant, and equivalent within $\\pm${margin:g}~dB"),
    "one seed": (r"\dag", "one seed, no test"),
    "waiting": (r"\ddag", "too few seeds for the first look, no test yet"),
}
"""For each verdict that is not significant: its mark, and what the caption says about it."""


def to_latex(results: StudyResults) -> str:
    """Write the comparison with booktabs rules, the best values in bold, and marks on changes that may be noise."""
    changes = results.table.drop_duplicates("variant")
    comments = [
        r"needs \usepackage{booktabs}; written by asid report",
        *(f"{variant}: {change}" for variant, change in zip(changes["variant"], changes["change"], strict=True)),
        *describe(results),
    ]
    table = _rows(results)
    latex = table.style.hide(axis="index").to_latex(
        column_format="".join(side[0] for side in alignment(_columns(results))),
        position="t",
        position_float="centering",
        hrules=True,
        label=f"tab:{results.plan.name}",
        caption=_caption(results),
        environment="table*",
    )
    return "".join(f"% {tex_comment(comment)}\n" for comment in comments) + latex


def _columns(results: StudyResults) -> list[str]:
    shown = to_text(results.table, compact=True)
    return [name for name in _COLUMNS if name in shown]


def _rows(results: StudyResults) -> pd.DataFrame:
    """The cells as LaTeX. With several evaluation sets, the cell of a set's first variant starts with a heading row."""
    table = results.table.reset_index(drop=True)
    best, columns = best_values(table), _columns(results)
    rows = [
        {name: _entry(row, name, (index, name) in best) for name in columns}
        for index, row in enumerate(to_text(table, compact=True).to_dict("records"))
    ]
    if len(results.sets) > 1:
        for index in table.drop_duplicates("data").index:
            heading = rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{_escape(table['data'][index])}}}}} \\"
            rule = "\\midrule\n" if index else ""
            rows[index]["variant"] = f"{rule}{heading}\n{rows[index]['variant']}"
    return pd.DataFrame(rows).rename(columns=_escape)


def _entry(row: Mapping[Any, str], name: str, is_best: bool) -> str:
    text = row[name]
    if name != "Δ dB" or text == "–":
        entry = _escape(text)
        entry = entry.replace(" ", r"\,") if name == "params" else entry
        return rf"\textbf{{{entry}}}" if is_best else entry
    entry = rf"$\mathbf{{{text}}}$" if is_best else f"${text}$"
    entry += rf" $\pm$ {row[HALF_WIDTH]}" if row[HALF_WIDTH] != "–" else ""
    # The mark takes no width, so that the digits stay aligned.
    return entry + (rf"\rlap{{\textsuperscript{{{_MARKS[row['verdict']][0]}}}}}" if row["verdict"] in _MARKS else "")


def _caption(results: StudyResults) -> str:
    table, data = results.table, _escape(", ".join(results.sets))
    width, height = results.output_size
    half = rf", $\pm$ half of the {COVERAGE} interval ({_interval(results)})".replace(" %", r"~\%")
    legend = [
        rf"$\Delta$~dB: change of PSNR against {_escape(results.plan.base)}, paired by seed"
        + (half if table["low"].notna().any() else ""),
        *(
            [f"p: paired t-test, Holm-adjusted, significant below {alpha(results)}"]
            if table["p_holm"].notna().any()
            else []
        ),
        *(["map use: PSNR lost with uniform attention maps"] if table["map_use"].notna().any() else []),
        *(["tile cost: PSNR lost in tiles"] if "tile_cost" in table else []),
        *(
            [rf"{_escape(OTHER_VERDICT)}: by the scores in tiles the verdict would be another one"]
            if any(flips_in_tiles(table))
            else []
        ),
        f"bold: {BOLD}",
        *([f"{OTHER_SEEDS}: over other seeds than the base's"] if any(other_seeds(table)) else []),
    ]
    used = [mark for verdict, mark in _MARKS.items() if verdict in set(table["verdict"])]
    legend += [rf"\textsuperscript{{{mark}}}: {meaning.format(margin=results.plan.margin)}" for mark, meaning in used]
    setting = (
        rf"Scale $\times${results.config.model.scale}, {data}; multiply-adds for an output of {width}$\times${height}."
    )
    return f"{_escape(results.plan.question)} {setting} {'; '.join(legend)}."


def _interval(results: StudyResults) -> str:
    return "repeated, Student's t over seeds" if results.plan.study.until else "Student's t over seeds"


_SPECIAL = str.maketrans(
    {letter: rf"\{letter}" for letter in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"§": r"\S{}", "×": r"$\times$", "±": r"$\pm$", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$", "–": "--"}
)


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)
