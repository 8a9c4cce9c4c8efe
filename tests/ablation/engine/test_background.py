"""Studies in the background: a process that is started, found again by others, and stopped."""

from pathlib import Path

import pytest

from asid.ablation.engine.background import read_log, start, stop
from asid.ablation.engine.heartbeat import heartbeat
from asid.files import HEARTBEAT, write_json
from asid.runs.owner import Owner

pytestmark = pytest.mark.process


def test_what_a_study_prints_is_logged_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does: bars and colours would fill the log
    folder = tmp_path / "results" / "study"
    process = start(["ablate", "resume", "results/study"], folder, tmp_path)
    assert process.wait(60) == 2
    (line,) = read_log(folder)
    assert line.startswith("error: no study in results/study"), "relative to the working folder, without colours"


def test_a_study_that_is_worked_on_is_not_started_twice(tmp_path: Path) -> None:
    with heartbeat(tmp_path, ""), pytest.raises(ValueError, match=r"^process \d+ on \S+ \(.*\) works on the study"):
        start(["--version"], tmp_path, tmp_path)


def test_a_study_on_another_machine_is_not_stopped_from_here(tmp_path: Path) -> None:
    owner = Owner.me().model_copy(update={"host": "elsewhere"})
    write_json(tmp_path / HEARTBEAT, {"run_id": "", **owner.model_dump()})
    with pytest.raises(ValueError, match="on elsewhere"):
        stop(tmp_path)
