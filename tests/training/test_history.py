"""The curves on disk: read while they are written, and after a crash."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from asid.files import HISTORY
from asid.training.history import COLUMNS, append_row, read_history, read_rows, write_rows

HEADER = ",".join(COLUMNS) + "\n"


def test_rows_of_one_step_are_merged(tmp_path: Path) -> None:
    write_rows(tmp_path, [])
    for row in ([1, 0.5, 0.1, None, 1.0], [2, 0.25, 0.1, None, 2.0], [2, None, 0.1, math.inf, 3.5]):
        append_row(tmp_path, row)
    table = read_history(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert table["step"].tolist() == [1, 2]
    assert table["loss"].tolist() == [0.5, 0.25]
    assert math.isnan(table["psnr"][0])
    assert table["psnr"][1] == math.inf
    assert table["seconds"].tolist() == [1.0, 3.5], "validation takes time"


def test_rows_are_written_back_to_the_last_digit(tmp_path: Path) -> None:
    write_rows(tmp_path, [])
    append_row(tmp_path, [1, 1 / 3, 0.1 + 0.2, None, 1.0])
    before = (tmp_path / HISTORY).read_bytes()
    write_rows(tmp_path, read_rows(tmp_path))
    assert (tmp_path / HISTORY).read_bytes() == before
    assert read_history(tmp_path)["loss"][0] == 1 / 3


@pytest.mark.parametrize("text", [None, "", "st", HEADER[:-1], HEADER, HEADER + "1,0.5", "\0\0\0\0"])
def test_a_curve_without_rows_is_empty(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / HISTORY).write_text(text)
    table = read_history(tmp_path)
    assert table.empty
    assert list(table.columns) == list(COLUMNS)


@pytest.mark.parametrize(
    "damage",
    ["\0\0\0\0\n", "\0\0,0.5,0.1,,9\n", "2,0.4\n", "2,0.4,0.1,,9,9\n", "2,0.4,zero,,9\n", "-2,1,1,1,1\n", "\n", "�\n"],
)
def test_damaged_rows_are_left_out(damage: str, tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_bytes(f"{HEADER}1,0.5,0.1,,1\n{damage}3,0.3,0.1,30,3\n".encode())
    assert read_history(tmp_path)["step"].tolist() == [1, 3]


@pytest.mark.parametrize("length", range(1, 18))
def test_a_row_that_is_being_written_is_not_read(length: int, tmp_path: Path) -> None:
    """Cut anywhere, its values would be others: 12.75 seconds would be 12."""
    row = "20,0.4,0.1,,12.75\n"
    (tmp_path / HISTORY).write_text(HEADER + "1,0.5,0.1,,1\n" + row[:length])
    assert read_history(tmp_path)["step"].tolist() == [1]


@pytest.mark.process
def test_reading_needs_no_torch() -> None:
    code = "import sys, asid.training.history; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
