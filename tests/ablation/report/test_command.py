"""``asid report``: every record is read once, and the table fits the terminal."""

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from written_study import PSNR, QUESTION, make_study, seeded

from asid.ablation.report import write
from asid.ablation.statistics import paired
from asid.cli import report as cli
from asid.files import RECORD, STUDY

pytestmark = pytest.mark.process


def test_every_record_is_read_once_and_every_statistic_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(tmp_path, sets=("set_5", "set_14"))
    opened: Counter[str] = Counter()
    compared: list[object] = []
    read, compare = io.open, paired.compare

    def count_opened(file: Any, *args: Any, **options: Any) -> Any:
        opened[str(file)] += 1
        return read(file, *args, **options)

    def count_compared(*args: Any) -> Any:
        compared.append(args)
        return compare(*args)

    monkeypatch.setattr(io, "open", count_opened)
    monkeypatch.setattr("builtins.open", count_opened)
    monkeypatch.setattr(paired, "compare", count_compared)
    cli.report(folder)
    records = {str(path): 1 for path in folder.rglob(RECORD)}
    assert len(records) == 3 * 2 + 1
    assert {path: count for path, count in opened.items() if path.endswith(RECORD)} == records
    assert opened[str(folder / STUDY)] == 1
    assert len(compared) == 1, "all evaluation sets together"


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (100, ["variant", "params", "G MACs", "PSNR", "SSIM", "map use", "Δ dB", "± 95 %", "p", "verdict", "seeds"]),
        (80, ["variant", "params", "G MACs", "PSNR", "map use", "Δ dB", "± 95 %", "verdict"]),
    ],
)
def test_the_command_prints_a_table_that_fits(
    width: int, columns: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["no-distillation-x", "global-only"]
    folder = make_study(tmp_path, seeded({names[0]: [0.1, 0.2, 0.15], names[1]: [-0.2, -0.2, -0.21]}))
    monkeypatch.setattr(cli, "console", Console(width=width))
    monkeypatch.setattr(write, "write_report", lambda folder: [])
    cli.report(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == QUESTION
    assert re.split(r"\s{2,}", lines[1].strip()) == columns
    table = lines[1:8]
    assert all("…" not in line for line in table)
    for name in ("bicubic", "base", *names):
        (row,) = [line for line in table if line.split()[:1] == [name]]
        assert len(row) <= width
    assert "+0.150" in "".join(table)
    left_out = "SD" if width == 100 else "SD, seeds, SSIM, p"
    assert f"too narrow for {left_out}: see {folder}/comparison.md" in lines
    assert lines[-1] == f"Written: 0 files; start with {folder}/report.html"


@pytest.mark.parametrize("width", [60, 80])
def test_psnr_and_verdict_stay_beside_long_names(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "attention-sharing-none_distillation-ratio-0"
    folder = make_study(tmp_path, seeded({name: [0.1, 0.2, 0.15]}), map_use={"set_5": 0.1})
    monkeypatch.setattr(cli, "console", Console(width=width))
    monkeypatch.setattr(write, "write_report", lambda folder: [])
    cli.report(folder)
    lines = capsys.readouterr().out.splitlines()
    (header,) = [line for line in lines if line.split()[:1] == ["variant"]]
    assert {"PSNR", "Δ dB", "verdict"} <= set(re.split(r"\s{2,}", header.strip()))
    (row,) = [line for line in lines if "30.66" in line]
    assert row.split()[-1] in ("better", "undecided")
    assert "…" not in row


def test_the_command_names_each_evaluation_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_study(tmp_path, sets=("set_5", "set_14"))
    monkeypatch.setattr(cli, "console", Console(width=100))
    monkeypatch.setattr(write, "write_report", lambda folder: [])
    cli.report(folder)
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    start = lines.index("set_5")
    assert lines[start : start + 10] == ["set_5", "bicubic", *PSNR, "set_14", "bicubic", *PSNR]
