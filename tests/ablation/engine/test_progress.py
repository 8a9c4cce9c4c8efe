"""What a study shows while its runs train."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from asid.ablation.engine import progress as module
from asid.ablation.engine.progress import Progress
from asid.config import RunConfig
from asid.training.history import append_row, read_rows, write_rows


def test_lines_follow_the_histories_of_the_open_runs(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", -1)
    reads: list[Path] = []
    monkeypatch.setattr(module, "read_rows", lambda folder: reads.append(folder) or read_rows(folder))
    config = RunConfig(train={"steps": 100})  # type: ignore[arg-type]
    run = SimpleNamespace(label="base seed 0", variant="base", folder=tmp_path, config=config)
    with Progress(cast(Any, [run]), Console(file=(out := io.StringIO()), width=200)) as progress:
        progress.refresh()
        assert "step" not in out.getvalue()
        write_rows(tmp_path, [])
        append_row(tmp_path, [10, 0.1, 0.01, None, 60.0])
        progress.refresh()
        progress.refresh()
        assert len(reads) == 1, "a file that has not changed is not read again"
        append_row(tmp_path, [50, 0.1, 0.01, 30.0, 300.0])
        append_row(tmp_path, [60, 0.1, 0.01, None, 360.0])
        progress.refresh()
    shown = [line.split(";")[0].strip() for line in out.getvalue().splitlines()]
    assert shown == ["base seed 0: step 10/100", "base seed 0: step 10/100", "base seed 0: step 60/100"]
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("rows", "position"),
    [
        ([["10", "0.1", "0.01", "30.0", "60.0"], ["20", "0.1", "0.01", "", "120.0"]], (20, 120.0, "30.00")),
        ([["10", "0.1", "0.01", "", "60.0"], ["20", "0.1", "0.01", "nan", "120.0"]], (20, 120.0, "")),
        ([["10", "0.1", "0.01", "", "60.0"], ["20", "0.1", "0.01", "", ""]], (10, 60.0, "")),
        ([["10", "0.1", "0.01", "30.0", ""]], None),
        ([["0", "0", "0", "0", "0"]], None),
    ],
    ids=["whole", "no PSNR", "no time in the last", "no time at all", "zeros"],
)
def test_a_damaged_history_does_not_end_the_study(
    rows: list[list[str]], position: tuple[int, float, str] | None, tmp_path: Path
) -> None:
    write_rows(tmp_path, rows)
    run = SimpleNamespace(label="base", variant="base", folder=tmp_path, config=RunConfig())
    with Progress(cast(Any, [run]), Console(file=io.StringIO())) as progress:
        progress.refresh()
        assert progress._position(tmp_path) == position
