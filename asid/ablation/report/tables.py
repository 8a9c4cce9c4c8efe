"""The comparison as text: how its numbers are written, and which of them are the best."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from asid.ablation.statistics.scores import LEVEL
from asid.ablation.study.references import REFERENCES

COVERAGE = f"{LEVEL:.0%}".replace("%", " %")
HALF_WIDTH = f"± {COVERAGE}"
"""Column of a compact table: half the width of the interval."""
TEXT_COLUMNS = ("variant", "change", "data", "verdict")
"""Columns that hold text; all others hold numbers."""
_BEST = {
    "params": ("parameters", min),
    "MACs (G)": ("macs", min),
    "PSNR (dB)": ("psnr", max),
    "Δ dB": ("delta", max),
}
"""For each column of :func:`to_text` with a best value: the column it shows, and how to choose."""
_TESTED = ("PSNR (dB)", "Δ dB")
BOLD = "the lowest cost, and the highest PSNR where it is significant: a variant better than the base, or the base if "
BOLD += "all are worse"
OTHER_SEEDS = "*"
"""Mark of a PSNR that is a mean over other seeds than the base's."""
OTHER_VERDICT = "§"
"""Mark of what tiles cost where the verdict would be another one by the scores in tiles."""


def to_text(table: pd.DataFrame, *, compact: bool = False) -> pd.DataFrame:
    """Format the numbers of a comparison for reading.

    Args:
        table: Rows of :attr:`asid.ablation.report.results.StudyResults.table`.
        compact: Show an interval by half its width, for a terminal.
    """
    ends = list(zip(table["low"], table["high"], strict=True))
    interval = (
        {HALF_WIDTH: [show_number(high - low, "{:.3f}", 2) for low, high in ends]}
        if compact
        else {f"{COVERAGE} interval": [show_interval(low, high) for low, high in ends]}
    )
    looks = {"look": [show_number(value, "{}") for value in table["look"]]} if table["look"].notna().any() else {}
    flips = flips_in_tiles(table)
    costs = [show_number(value, "{:z.3f}") for value in table.get("tile_cost", ())]
    tiled = [text + OTHER_VERDICT if mark else text for text, mark in zip(costs, flips, strict=False)]
    tiles = {"tile cost (dB)": tiled} if tiled else {}
    other = other_seeds(table)
    psnr = [show_number(value, "{:.2f}") for value in table["psnr"]]
    columns = {
        "variant": table["variant"],
        "change": table["change"],
        "params": [show_number(value, "{:,}").replace(",", " ") for value in table["parameters"]],
        "MACs (G)": [show_number(value, "{:.2f}") for value in table["macs"]],
        "data": table["data"],
        "PSNR (dB)": [text + OTHER_SEEDS if mark else text for text, mark in zip(psnr, other, strict=True)],
        "SD": [show_number(value, "{:.3f}") for value in table["sd"]],
        "SSIM": [show_number(value, "{:.4f}") for value in table["ssim"]],
        "map use (dB)": [show_number(value, "{:z.3f}") for value in table["map_use"]],
        **tiles,
        "Δ dB": [show_number(value, "{:+z.3f}") for value in table["delta"]],
        **interval,
        "p (Holm)": [show_p(value) for value in table["p_holm"]],
        "verdict": table["verdict"].fillna("–"),
        "seeds": [show_number(value, "{}") for value in table["seeds"]],
        **looks,
    }
    return pd.DataFrame(columns)


def other_seeds(table: pd.DataFrame) -> list[bool]:
    """Whether each row's mean PSNR is over other seeds than the base's: its Δ is not the difference of the two.

    So it is in an unfinished study, and where the looks of a study stop some variants before others.
    """
    bases = table[table["verdict"] == "base"].set_index("data")["seeds"].to_dict()
    return [
        not pd.isna(row["seeds"])
        and row["verdict"] != "base"
        and (pd.isna(row["pairs"]) or not row["seeds"] == row["pairs"] == bases.get(row["data"]))
        for row in table.to_dict("records")
    ]


def flips_in_tiles(table: pd.DataFrame) -> list[bool]:
    """Whether the verdict of each row would be another one by the scores in tiles."""
    in_tiles = table.get("verdict_in_tiles", table["verdict"])
    return (in_tiles.notna() & (table["verdict"] != in_tiles)).tolist()


def alignment(columns: Iterable[str]) -> list[str]:
    """``left`` for text, ``right`` for numbers."""
    return ["left" if name in TEXT_COLUMNS else "right" for name in columns]


def best_values(table: pd.DataFrame) -> set[tuple[int, str]]:
    """Find the best value of each column and evaluation set among variants; equal digits are equally good.

    A PSNR or a change counts only where it is significant: of a variant that is better than the base, or of the base
    where all variants are worse. SSIM is not tested.

    Returns:
        Row number in ``table`` and column of :func:`to_text`.
    """
    shown = to_text(table)
    best = set()
    for _, rows in table.reset_index(drop=True).groupby("data", sort=False):
        trained = rows[~rows["variant"].isin(REFERENCES)]
        for name, (column, choose) in _BEST.items():
            values = trained[column].dropna()
            if len(values):
                winner = shown[name].iloc[values.index[values == choose(values)][0]]
                equal = [index for index in values.index if shown[name].iloc[index] == winner]
                best |= {(int(i), name) for i in equal if name not in _TESTED or _is_significant(trained, int(i))}
    return best


def _is_significant(rows: pd.DataFrame, index: int) -> bool:
    """Whether a row is significantly better than the base; for the base, whether all others are worse."""
    if rows["verdict"][index] != "base":
        return bool(rows["verdict"][index] == "better")
    others = rows["verdict"].drop(index)
    return len(others) > 0 and bool((others == "worse").all())


def show_p(value: float) -> str:
    """A p-value with three decimals."""
    return "<0.001" if value < 0.001 else show_number(value, "{:.3f}")


def show_interval(low: float, high: float) -> str:
    """An interval in dB with three decimals."""
    return "–" if pd.isna(low) or pd.isna(high) else f"[{low:+z.3f}, {high:+z.3f}]"


def show_number(value: Any, pattern: str, divisor: float = 1) -> str:
    """A number in a format, or a dash if it is missing."""
    return "–" if pd.isna(value) else pattern.format(value if divisor == 1 else value / divisor)
