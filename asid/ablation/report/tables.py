"""The comparison for readers: the cells of its tables, Markdown, LaTeX, and the sentences that say what the numbers mean and rest on."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from asid.ablation.report.results import LEVEL, Statistics, Study
from asid.ablation.report.stats import can_reach, smallest_p

_ALPHA = f"{1 - LEVEL:g}"
_COVERAGE = f"{LEVEL:.0%}".replace("%", " %")
_HALF = f"± {_COVERAGE}"
_NARROWER = f"{2 * LEVEL - 1:.0%}".replace("%", " %")
LEFT = ("variant", "change", "data", "verdict")
"""Columns of words; all others hold numbers."""
_BEST = {"params": min, "MACs (G)": min, "PSNR (dB)": max, "SSIM": max, "Δ dB": max}
_COLUMNS = {"params": "parameters", "MACs (G)": "macs", "PSNR (dB)": "psnr", "SSIM": "ssim", "Δ dB": "delta"}


def to_text(table: pd.DataFrame, *, compact: bool = False) -> pd.DataFrame:
    """The comparison with its numbers formatted for reading; ``compact``: the interval as half its width, for a terminal."""
    if compact:
        interval = {
            _HALF: [show_number(high - low, "{:.3f}", 2) for low, high in zip(table["low"], table["high"], strict=True)]
        }
    else:
        interval = {
            f"{_COVERAGE} interval": [show_interval(*ends) for ends in zip(table["low"], table["high"], strict=True)]
        }
    columns = {
        "variant": table["variant"],
        "change": table["change"],
        "params": [show_number(value, "{:,}").replace(",", " ") for value in table["parameters"]],
        "MACs (G)": [show_number(value, "{:.2f}") for value in table["macs"]],
        "data": table["data"],
        "PSNR (dB)": [show_number(value, "{:.2f}") for value in table["psnr"]],
        "SSIM": [show_number(value, "{:.4f}") for value in table["ssim"]],
        "Δ dB": [show_number(value, "{:+z.3f}") for value in table["delta"]],
        **interval,
        "p (Holm)": [show_p(value) for value in table["p_holm"]],
        "verdict": table["verdict"].fillna("–"),
        "seeds": [show_number(value, "{}") for value in table["seeds"]],
    }
    return pd.DataFrame(columns)


def alignment(columns: Iterable[str]) -> list[str]:
    """``left`` for words, ``right`` for numbers."""
    return ["left" if name in LEFT else "right" for name in columns]


def best_cells(table: pd.DataFrame) -> set[tuple[int, str]]:
    """Row number and column of :func:`to_text` for the best trained value of each evaluation set; equal digits are equally good."""
    shown = to_text(table)
    found = set()
    for _, rows in table.reset_index(drop=True).groupby("data", sort=False):
        trained = rows[rows["parameters"].notna()]
        for name, best in _BEST.items():
            values = trained[_COLUMNS[name]].dropna()
            if len(values):
                winner = shown[name].iloc[values.index[values == best(values)][0]]
                found |= {(int(index), name) for index in values.index if shown[name].iloc[index] == winner}
    return found


def show_p(value: float) -> str:
    """A p-value with three decimals."""
    return "<0.001" if value < 0.001 else show_number(value, "{:.3f}")


def show_interval(low: float, high: float) -> str:
    """An interval in dB with three decimals."""
    return "–" if pd.isna(low) or pd.isna(high) else f"[{low:+z.3f}, {high:+z.3f}]"


def show_number(value: Any, pattern: str, divisor: float = 1) -> str:
    """A number by a format; a dash where there is none."""
    return "–" if pd.isna(value) else pattern.format(value if divisor == 1 else value / divisor)


# Sentences


def conclude(study: Study, found: dict[str, Statistics]) -> list[str]:
    """What the numbers say, a sentence each: what these seeds cannot show, verdicts, and the noise behind them."""
    sentences = limits(study, found)
    for data, statistics in found.items():
        where = f"{data}: " if len(found) > 1 else ""
        sentences += [where + sentence for sentence in conclude_set(study, statistics)]
    return sentences


def explain(study: Study, found: dict[str, Statistics]) -> list[str]:
    """How the changes and their noise are computed, a sentence each."""
    family = max((len(_tested({data: statistics})) for data, statistics in found.items()), default=0)
    if not family:
        return []
    return [
        f"Δ dB: mean change of PSNR against {study.base}, paired by seed. Interval: {_COVERAGE}, Student's t over seeds, so for new "
        "trainings on these images; for each variant alone.",
        f"p: paired t-test over seeds, Holm-adjusted for {_count(family, 'variant')}; better or worse: p below {_ALPHA}. "
        f"Equivalent: two one-sided t-tests at {_ALPHA} put the change within ±{study.margin:g} dB, where the "
        f"{_NARROWER} interval lies, too.",
    ]


def _tested(found: dict[str, Statistics]) -> list[int]:
    """The seeds behind each comparison that could be tested."""
    return [
        result.seeds.n
        for statistics in found.values()
        for result in statistics.comparisons.values()
        if result.seeds.n > 1
    ]


def conclude_set(study: Study, statistics: Statistics) -> list[str]:
    """What the numbers of one evaluation set say."""
    sentences: list[str] = []
    groups: dict[str, list[str]] = {}
    for name, result in statistics.comparisons.items():
        groups.setdefault(result.verdict, []).append(f"{name} ({result.seeds.mean:+z.3f} dB)".replace("(-", "(−"))
    titles = {
        "better": f"Better than {study.base}",
        "worse": f"Worse than {study.base}",
        "equivalent": f"Equivalent to {study.base} within ±{study.margin:g} dB",
        "undecided": "Undecided, the change may be noise",
        "one seed": f"One seed in common with {study.base}, no verdict",
    }
    verdicts = [f"{title}: {', '.join(groups[verdict])}." for verdict, title in titles.items() if verdict in groups]
    if verdicts and len(study.seeds) > 1:
        sentences.append(" ".join(verdicts))
    if not math.isnan(statistics.noise):
        base = statistics.scores.psnr[statistics.scores.variants.index(study.base)]
        seeds = int((~np.isnan(base).all(axis=1)).sum())
        sentences.append(
            f"Noise floor: {study.base} varies by {statistics.noise:.3f} dB from seed to seed (SD of {seeds} trainings)."
        )
    detectable = [(result.detectable, name) for name, result in statistics.comparisons.items() if result.seeds.n > 1]
    if detectable:
        (low, easiest), (high, hardest) = min(detectable), max(detectable)
        sizes = f"{low:.3f} dB ({easiest})" + (f" to {high:.3f} dB ({hardest})" if len(detectable) > 1 else "")
        sentences.append(f"Smallest detectable difference, with a power of 80 % before adjustment: {sizes}.")
    if statistics.left_out:
        sentences.append(
            f"Restored without an error in some run, so left out of changes and tests: {', '.join(statistics.left_out)}."
        )
    return sentences


def limits(study: Study, found: dict[str, Statistics]) -> list[str]:
    """What so few seeds cannot show."""
    if len(study.seeds) == 1:
        return [
            "One seed: no interval and no test over seeds, so no verdict. How much seeds differ is not known here: run three or more."
        ]
    seeds = max(_tested(found), default=0)
    if not seeds or can_reach(seeds, 1 - LEVEL):
        return []
    enough = next(n for n in range(seeds, 100) if can_reach(n, 1 - LEVEL))
    return [
        f"{seeds} seeds are few: the exact sign-flip test, which supposes no distribution, cannot go below p = {smallest_p(seeds):g} with "
        f"them, whatever the data ({enough} seeds can reach {_ALPHA}). A verdict rests on the t-test: on seeds that vary normally."
    ]


def describe(study: Study) -> list[str]:
    """What the numbers rest on, a sentence each: protocol, data, steps, seeds, costs, code, and what is not there."""
    _, record = study.trained[0]
    config = record.config
    output = record.complexity["output"] if record.complexity else []
    evaluated = [
        f"{m['source']} ({len(m['images'])} images, {m['manifest']})"
        for use, m in record.data.items()
        if use.startswith("evaluate")
    ]
    made_by = sorted({row.get("lr", "unknown") for row in record.scores})
    train = record.data["train"]
    steps = sorted({r.config.train.steps for _, r in study.trained})
    commits = sorted({str(r.provenance["commit"]) for _, r in study.trained})
    sentences = [
        f"Scale: ×{config.model.scale}. Protocol: {record.protocol}.",
        f"Evaluated on {', '.join(evaluated)}, {config.evaluate.describe()}; LR images: {', '.join(made_by)}.",
        f"Trained on {train['source']} ({len(train['images'])} images, {train['manifest']}) for {', '.join(map(str, steps))} steps, "
        f"batch {config.train.batch_size}, LR patches of {config.data.patch_size}; "
        f"{'seeds' if len(study.seeds) > 1 else 'seed'} {', '.join(map(str, study.seeds))}.",
        f"Multiply-adds for an output of {output[0]}×{output[1]}.",
        f"asid {record.provenance['asid']}, commit {', '.join(commits)}; torch {record.provenance['torch']}.",
    ]
    if profile := study.plan.profile:
        sentences.insert(0, f"Profile: {profile}.")
    if controls := [f"{control} for {variant}" for control, variant in study.matched.items()]:
        sentences.append(
            f"Controls of matched size, the same change at the size of {study.base}: {', '.join(controls)}."
        )
    rules: dict[str, list[str]] = {}
    for item in study.dropped:
        rules.setdefault(item.rule, []).append(item.variant)
    sentences += [f"Dropped from the grid by the rule {rule}: {', '.join(names)}." for rule, names in rules.items()]
    if study.missing:
        sentences.append(f"Without a record, not in the table: {', '.join(study.missing)}.")
    return sentences


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


# Markdown and LaTeX


def to_markdown(
    study: Study,
    table: pd.DataFrame,
    found: dict[str, Statistics],
    pictures: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> str:
    """The comparison as a Markdown page that shows the figures named in ``pictures``; ``skipped``: why others are not there."""
    shown = to_text(table)
    body = shown.to_markdown(index=False, disable_numparse=True, colalign=alignment(shown.columns))
    groups = conclude(study, found), explain(study, found), [*describe(study), *skipped]
    notes = ["\n".join(f"- {sentence}" for sentence in sentences) for sentences in groups if sentences]
    images = [f"![{name}](figures/{name}.png)" for name in pictures]
    return "\n\n".join([f"# {study.name}", study.question, body, *notes, *images]) + "\n"


_LATEX_COLUMNS = ("variant", "params", "MACs (G)", "PSNR (dB)", "SSIM", "Δ dB", "p (Holm)", "seeds")
_MARKS = {
    "undecided": ("ns", "not significant"),
    "equivalent": ("eq", "not significant, and equivalent within $\\pm${margin:g}~dB"),
    "one seed": (r"\dag", "one seed, no test"),
}


def to_latex(study: Study, table: pd.DataFrame) -> str:
    """The comparison as a LaTeX table with booktabs rules: the best value of each column in bold, changes that may be noise marked."""
    table = table.reset_index(drop=True)
    best = best_cells(table)
    lines = []
    for data, rows in to_text(table, compact=True).groupby("data", sort=False):
        lines.append(r"\midrule")
        if table["data"].nunique() > 1:
            lines.append(rf"\multicolumn{{{len(_LATEX_COLUMNS)}}}{{l}}{{\emph{{{_escape(str(data))}}}}} \\")
        for index, row in rows.iterrows():
            lines.append(" & ".join(_latex_cell(row, name, (index, name) in best) for name in _LATEX_COLUMNS) + r" \\")
    changes = table.drop_duplicates("variant")
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}; written by asid report",
            *(f"% {variant}: {change}" for variant, change in zip(changes["variant"], changes["change"], strict=True)),
            *(f"% {sentence}" for sentence in describe(study)),
            r"\begin{table*}[t]",
            r"\centering",
            rf"\caption{{{_caption(study, table)}}}",
            rf"\label{{tab:{study.name}}}",
            r"\medskip",
            rf"\begin{{tabular}}{{{''.join(side[0] for side in alignment(_LATEX_COLUMNS))}}}",
            r"\toprule",
            " & ".join(map(_escape, _LATEX_COLUMNS)) + r" \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _latex_cell(row: "pd.Series[str]", name: str, is_best: bool) -> str:
    text = row[name]
    if name != "Δ dB" or text == "–":
        cell = _escape(text)
        cell = cell.replace(" ", r"\,") if name == "params" else cell
        return rf"\textbf{{{cell}}}" if is_best else cell
    cell = rf"$\mathbf{{{text}}}$" if is_best else f"${text}$"
    cell += rf" $\pm$ {row[_HALF]}" if row[_HALF] != "–" else ""
    # The mark hangs over, so that the digits stay in line.
    return cell + (rf"\rlap{{\textsuperscript{{{_MARKS[row['verdict']][0]}}}}}" if row["verdict"] in _MARKS else "")


def _caption(study: Study, table: pd.DataFrame) -> str:
    _, record = study.trained[0]
    assert record.complexity
    width, height = record.complexity["output"]
    data = ", ".join(dict.fromkeys(table["data"]))
    has_interval, has_p = table["low"].notna().any(), table["p_holm"].notna().any()
    half = rf", $\pm$ half of the {_COVERAGE} interval (Student's t over seeds)".replace(" %", r"~\%")
    legend = [
        rf"$\Delta$~dB: change of PSNR against {_escape(study.base)}, paired by seed{half if has_interval else ''}",
        *([f"p: paired t-test, Holm-adjusted, significant below {_ALPHA}"] if has_p else []),
        "bold: the best trained value",
    ]
    used = [mark for verdict, mark in _MARKS.items() if verdict in set(table["verdict"])]
    legend += [rf"\textsuperscript{{{mark}}}: {meaning.format(margin=study.margin)}" for mark, meaning in used]
    return (
        rf"{_escape(study.question)} Scale $\times${record.config.model.scale}, {_escape(data)}; "
        rf"multiply-adds for an output of {width}$\times${height}. {'; '.join(legend)}."
    )


_LATEX = str.maketrans(
    {letter: rf"\{letter}" for letter in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"×": r"$\times$", "±": r"$\pm$", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$", "–": "--"}
)


def _escape(text: str) -> str:
    return text.translate(_LATEX)
