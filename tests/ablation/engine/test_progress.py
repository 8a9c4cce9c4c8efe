"""What a study shows while its runs train."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from asid.ablation.engine import progress as module
from asid.ablation.engine.progress import Progress
from asid.config import RunConfig
from asid.training.history import append_row, write_rows


def test_lines_follow_the_histories_of_the_open_runs(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", -1)
    config = RunConfig(train={"steps": 100})  # type: ignore[arg-type]
    run = SimpleNamespace(label="base seed 0", variant="base", folder=tmp_path, config=config)
    with Progress(cast(Any, [run]), Console(file=(out := io.StringIO()), width=200)) as progress:
        progress.refresh()
        assert "step" not in out.getvalue()
        write_rows(tmp_path, [])
        append_row(tmp_path, [10, 0.1, 0.01, None, 60.0])
        progress.refresh()
        progress.refresh()
        append_row(tmp_path, [50, 0.1, 0.01, 30.0, 300.0])
        append_row(tmp_path, [60, 0.1, 0.01, None, 360.0])
        progress.refresh()
    shown = [line.split(";")[0].strip() for line in out.getvalue().splitlines()]
    assert shown == ["base seed 0: step 10/100", "base seed 0: step 10/100", "base seed 0: step 60/100"]
    assert progress._read[tmp_path][1] == (60, 360.0, "30.00")
