"""``history.csv``, the curves of a training: read while it is being written, and after a crash. No torch in here.

A training appends a row each hundredth of its steps and a row for each validation, so that a step can have two rows.
"""

import csv
from pathlib import Path

import pandas as pd

from asid.files import HISTORY

COLUMNS = ("step", "loss", "learning_rate", "psnr", "seconds")
"""Step, mean training loss since the previous row, learning rate, validation PSNR (dB), seconds of training so far."""


def read_history(folder: str | Path) -> pd.DataFrame:
    """The curves that a training in ``folder`` has written so far, with :data:`COLUMNS`: one row per step, in order.

    Missing values are NaN. The table is empty if there is no file yet. Damaged rows (the last one while it is being
    written, zeros after a power failure) are left out.
    """
    rows = [[_number(value) for value in row] for row in read_rows(folder)]
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=float).astype({"step": int})
    steps = table.groupby("step", as_index=False)
    # A validation adds a second row at its step, and takes time.
    return steps.first().assign(seconds=steps["seconds"].last()["seconds"])[list(COLUMNS)]


def read_rows(folder: str | Path) -> list[list[str]]:
    """The undamaged rows of the file as text, in its order, without the header."""
    try:
        text = (Path(folder) / HISTORY).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    whole_lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return [row for row in csv.reader(whole_lines) if _is_whole(row)]


def write_rows(folder: str | Path, rows: list[list[str]]) -> None:
    """Start the file with the header and ``rows``, replacing what was there."""
    with (Path(folder) / HISTORY).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def append_row(folder: str | Path, row: list[float | None]) -> None:
    """Append one row with the values of :data:`COLUMNS`; ``None`` for a value that was not measured."""
    with (Path(folder) / HISTORY).open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(row)


def _is_whole(row: list[str]) -> bool:
    try:
        values = [_number(value) for value in row]
    except ValueError:
        return False
    return len(values) == len(COLUMNS) and row[0].isdecimal()


def _number(text: str) -> float:
    return float(text) if text else float("nan")
