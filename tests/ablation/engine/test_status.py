"""States of runs in hand-made folders: alive, dead, failed, damaged, of another plan; and comparisons of two runs."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from asid.ablation.engine import heartbeat as heartbeats
from asid.ablation.engine.compare import compare_runs
from asid.ablation.engine.heartbeat import heartbeat, is_alive
from asid.ablation.engine.status import RunState, is_executed, run_state, study_states
from asid.ablation.study.differences import config_differences
from asid.ablation.study.plan import Plan, PlannedRun, write_plan
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.files import CONFIG, ERROR, HEARTBEAT, HISTORY, RECORD, STUDY, STUDY_LOCK
from asid.runs.identity import Identity
from asid.runs.record import Record, write_record

pytestmark = pytest.mark.process

IDENTITY = Identity(training="0123456789ab", evaluations={"samples": "9876543210ba"})
RUN_ID = IDENTITY.run_id
CURVES = "step,loss,learning_rate,psnr,seconds\n5,0.2,0.1,,1.0\n10,0.1,0.1,27.5,2.0\n15,0.1,0.1,,3.0\n"


def make_record(identity: Identity = IDENTITY, **changes: Any) -> Record:
    content: dict[str, Any] = {
        "study": "s",
        "variant": "base",
        "identity": identity,
        "config": RunConfig.model_validate({"train": {"steps": 20}}),
        "protocol": "psnr-y/ssim-y crop=scale",
        "data": {"train": {"manifest": "aaa"}, "evaluate samples": {"manifest": "bbb"}},
        "complexity": None,
        "scores": [
            {"data": "samples", "image": name, "psnr": p, "ssim": s}
            for name, p, s in (("a", 28.0, 0.8), ("b", 30.0, 0.9))
        ],
        "history": [],
        "seconds": {},
        "provenance": {"commit": "c0ffee", "source": "f00d", "finished": "today"},
    }
    return Record.model_validate({**content, **changes})


def beat(
    folder: Path, *, pid: int | None = None, started: float | None = None, host: str | None = None, age: float = 0
) -> None:
    """Leave the heartbeat of a process, by default this one."""
    pid = os.getpid() if pid is None else pid
    started = psutil.Process(pid).create_time() if started is None else started
    content = {"run_id": RUN_ID, "host": host or socket.gethostname(), "pid": pid, "started": started}
    path = folder / HEARTBEAT
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))


def planned_run(folder: Path, variant: str = "base", identity: Identity = IDENTITY) -> PlannedRun:
    return PlannedRun(
        study="s",
        variant=variant,
        seed=0,
        identity=identity,
        config=RunConfig.model_validate({"train": {"steps": 20}}),
        data={"train": "aaa", "evaluate samples": "bbb"},
        source="f00d",
        folder=folder,
    )


def state_of(folder: Path) -> RunState:
    return run_state(planned_run(folder))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A different living process."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


# Alive or not


def test_a_run_that_was_not_started_is_neither_alive_nor_dead(tmp_path: Path) -> None:
    assert is_alive(tmp_path) is None
    assert is_alive(tmp_path / "nowhere") is None


def test_a_process_that_lives_is_alive(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    beat(tmp_path, pid=sleeper.pid, age=10_000)
    assert is_alive(tmp_path) is True, "on this machine the process counts, not the age of its file"


def test_a_process_that_was_killed_is_not_alive(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    beat(tmp_path, pid=sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert is_alive(tmp_path) is False


def test_a_process_that_is_dead_but_not_yet_waited_for_is_not_alive(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat(tmp_path, pid=process.pid)
    assert is_alive(tmp_path) is True
    process.kill()
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert is_alive(tmp_path) is False
    process.communicate()


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_another_process_with_the_same_number_is_not_the_one_that_began(difference: float, tmp_path: Path) -> None:
    beat(tmp_path, started=psutil.Process().create_time() + difference)
    assert is_alive(tmp_path) is False


@pytest.mark.parametrize(("age", "alive"), [(5, True), (600, False), (-600, False)], ids=["fresh", "old", "ahead"])
def test_on_another_machine_the_age_of_the_heartbeat_counts(age: float, alive: bool, tmp_path: Path) -> None:
    beat(tmp_path, host="elsewhere", pid=1, started=0, age=age)
    assert is_alive(tmp_path) is alive


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "3", '{"host": "h", "pid": 3}', '{"a":' * 5000]
    + [f'{{"host": "h", "pid": {pid}, "started": 1}}' for pid in ('"x"', "[]", "1e30")],
    ids=lambda text: text[:40],
)
def test_a_damaged_heartbeat_is_no_sign_of_life(text: str, tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT).write_text(text)
    assert is_alive(tmp_path) is False


# The heartbeat itself


def test_a_heartbeat_is_there_while_a_run_is_at_work(tmp_path: Path) -> None:
    with heartbeat(tmp_path, RUN_ID):
        assert is_alive(tmp_path) is True
        content = json.loads((tmp_path / HEARTBEAT).read_text())
        assert (content["run_id"], content["pid"], content["host"]) == (RUN_ID, os.getpid(), socket.gethostname())
        assert state_of(tmp_path).state == "running"
    assert list(tmp_path.iterdir()) == []
    assert is_alive(tmp_path) is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_heartbeat_ends_with_a_failed_run(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), heartbeat(tmp_path, RUN_ID):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_heartbeat_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "BEAT", 0.01)
    with heartbeat(tmp_path, RUN_ID):
        path = tmp_path / HEARTBEAT
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime > 0)


def test_a_heartbeat_goes_on_when_its_file_cannot_be_reached_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example a network disk that is not mounted."""
    monkeypatch.setattr(heartbeats, "BEAT", 0.01)
    path = tmp_path / HEARTBEAT
    with heartbeat(tmp_path, RUN_ID):
        path.rename(tmp_path / "away")
        time.sleep(0.1)
        os.utime(tmp_path / "away", (0, 0))
        (tmp_path / "away").rename(path)
        wait_until(lambda: path.stat().st_mtime > 0)
        path.unlink()
    assert is_alive(tmp_path) is None


def test_a_run_whose_process_is_killed_is_stale(tmp_path: Path) -> None:
    """With a real process, which has no time to delete its heartbeat."""
    code = (
        "import sys, time, pathlib\nfrom asid.ablation.engine.heartbeat import heartbeat\n"
        "with heartbeat(pathlib.Path(sys.argv[1]), sys.argv[2]):\n    print('begun', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), RUN_ID], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (tmp_path / HISTORY).write_text(CURVES)
        assert state_of(tmp_path).state == "running"
    finally:
        process.kill()
        process.communicate()
    state = state_of(tmp_path)
    assert (state.state, state.step) == ("stale", 15)
    assert "its process died" in state.note
    assert "resume" in state.note


# States


def test_a_run_that_was_not_started_is_planned(tmp_path: Path) -> None:
    expected = RunState("base", 0, RUN_ID, tmp_path / "nowhere", "planned")
    assert state_of(tmp_path / "nowhere") == expected
    assert state_of(tmp_path).state == "planned"


def test_a_run_that_was_stopped_in_order_is_stale_as_far_as_it_is(tmp_path: Path) -> None:
    """Its heartbeat was deleted with it, its curves are still there."""
    (tmp_path / HISTORY).write_text(CURVES)
    state = state_of(tmp_path)
    assert (state.state, state.step, state.psnr) == ("stale", 15, 27.5)
    assert "it was stopped" in state.note
    assert "resume" in state.note


def test_a_run_with_its_complete_record_is_done_with_the_mean_of_its_images(tmp_path: Path) -> None:
    write_record(make_record(), tmp_path)
    (tmp_path / HISTORY).write_text(CURVES)
    (tmp_path / CONFIG).write_text(json.dumps({"train": {"steps": 20}}))
    state = state_of(tmp_path)
    assert (state.state, state.psnr, state.step, state.steps, state.note) == ("done", 29.0, 20, 20, "")


def test_a_done_run_stays_done_whatever_else_is_in_its_folder(tmp_path: Path) -> None:
    write_record(make_record(scores=[]), tmp_path)
    beat(tmp_path, started=0)
    (tmp_path / ERROR).write_text("old\n")
    state = state_of(tmp_path)
    assert (state.state, state.psnr, state.step, state.steps) == ("done", None, 20, 20), "steps are in the record"


def test_a_running_run_is_as_far_as_its_curves(tmp_path: Path) -> None:
    beat(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps({"train": {"steps": 20}}))
    assert state_of(tmp_path) == RunState("base", 0, RUN_ID, tmp_path, "running", None, 20, None)
    (tmp_path / HISTORY).write_text(CURVES)
    assert state_of(tmp_path) == RunState("base", 0, RUN_ID, tmp_path, "running", 15, 20, 27.5)


@pytest.mark.parametrize(
    "curves", ["", CURVES.splitlines()[0] + "\n", "step,lo"], ids=["empty", "header", "half a header"]
)
def test_curves_that_have_only_begun_are_no_progress(curves: str, tmp_path: Path) -> None:
    beat(tmp_path)
    (tmp_path / HISTORY).write_text(curves)
    (tmp_path / CONFIG).write_text("{")
    assert state_of(tmp_path) == RunState("base", 0, RUN_ID, tmp_path, "running")


def test_a_failed_run_has_the_last_line_of_its_error(tmp_path: Path) -> None:
    (tmp_path / ERROR).write_text("Traceback\n  File\nValueError: [/data] is {empty}\n\n")
    state = state_of(tmp_path)
    assert (state.state, state.note) == ("failed", "ValueError: [/data] is {empty}")
    (tmp_path / ERROR).write_text("")
    assert (state_of(tmp_path).state, state_of(tmp_path).note) == ("failed", "no error was written")


def test_a_failed_run_that_is_tried_again_is_running(tmp_path: Path) -> None:
    (tmp_path / ERROR).write_text("old\n")
    beat(tmp_path)
    assert state_of(tmp_path).state == "running"


def test_a_damaged_record_makes_a_run_stale_and_says_where(tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    path.write_text(path.read_text()[:-50])
    state = state_of(tmp_path)
    assert state.state == "stale"
    assert str(path) in state.note
    assert "damaged" in state.note


def test_a_damaged_record_does_not_hide_that_its_run_is_under_way_again_or_has_failed(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{")
    (tmp_path / ERROR).write_text("RecordError: the record is damaged\n")
    assert (state_of(tmp_path).state, state_of(tmp_path).note) == ("failed", "RecordError: the record is damaged")
    beat(tmp_path)
    assert state_of(tmp_path).state == "running"


def test_the_record_of_another_run_makes_a_run_stale(tmp_path: Path) -> None:
    write_record(make_record(Identity(training="ffffffffffff", evaluations={})), tmp_path)
    state = state_of(tmp_path)
    assert state.state == "stale"
    assert Identity(training="ffffffffffff", evaluations={}).run_id in state.note
    assert RUN_ID in state.note


def test_a_state_is_json(tmp_path: Path) -> None:
    beat(tmp_path)
    (tmp_path / HISTORY).write_text(CURVES)
    content = json.loads(json.dumps(state_of(tmp_path).to_dict()))
    assert content["folder"] == str(tmp_path)
    assert (content["variant"], content["seed"], content["state"], content["step"], content["psnr"]) == (
        "base",
        0,
        "running",
        15,
        27.5,
    )


# A study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a study of two runs: the first is done, the second was not begun."""
    record = make_record()
    runs = [
        planned_run(tmp_path / "runs" / f"{name}-seed0-{identity.training}", name, identity)
        for name, identity in (("base", IDENTITY), ("other", Identity(training="b" * 12, evaluations={})))
    ]
    plan = Plan(
        study=StudyConfig(name="s", question="?"),
        notebook=tmp_path / "run.ipynb",
        variants={"base": "", "other": "esa: off"},
        levels={},
        matched={},
        dropped=(),
        runs=tuple(runs),
    )
    write_plan(plan, tmp_path)
    write_record(record, tmp_path / "runs" / f"base-seed0-{IDENTITY.training}")
    return tmp_path


def test_the_states_of_a_study_are_in_the_order_of_its_plan(study: Path) -> None:
    states = study_states(study)
    assert [(state.variant, state.state) for state in states] == [("base", "done"), ("other", "planned")]
    assert states[1].folder == study / "runs" / f"other-seed0-{'b' * 12}"


def foreign_note(study: Path, record: Record) -> str:
    """What is said about a record that is not in the plan; the planned runs are as they were."""
    write_record(record, study / "runs" / f"{record.variant}-seed0-{record.run_id}")
    first, second, foreign = study_states(study)
    assert (first.state, second.state, foreign.state) == ("done", "planned", "stale")
    assert (foreign.variant, foreign.seed, foreign.run_id) == (record.variant, record.config.seed, record.run_id)
    assert foreign.note.startswith("not in the plan: ")
    return foreign.note.removeprefix("not in the plan: ")


def test_a_record_of_another_configuration_is_listed_with_the_fields(study: Path) -> None:
    config = RunConfig.model_validate({"train": {"steps": 10}, "model": {"distillation_ratio": "1/8"}})
    assert (
        foreign_note(study, make_record(Identity(training="e" * 12, evaluations={}), config=config))
        == "model.distillation_ratio 1/8 → 1/4; train.steps 10 → 20"
    )


def test_a_record_of_other_images_is_listed_with_their_use(study: Path) -> None:
    data = {"train": {"manifest": "ccc"}, "evaluate samples": {"manifest": "bbb"}}
    assert (
        foreign_note(study, make_record(Identity(training="e" * 12, evaluations={}), data=data))
        == "images of train ccc → aaa"
    )


def test_a_record_of_other_source_is_listed(study: Path) -> None:
    assert (
        foreign_note(study, make_record(Identity(training="e" * 12, evaluations={}), provenance={"source": "beef"}))
        == "source of the package beef → f00d"
    )


def test_a_record_that_differs_in_what_the_plan_does_not_hold_is_listed(study: Path) -> None:
    """For example LR files, which have their own hash."""
    other = Identity(training="e" * 12, evaluations={})
    assert foreign_note(study, make_record(other)) == "it has a different identity"


def test_a_record_of_a_variant_that_is_no_longer_there_is_listed(study: Path) -> None:
    assert (
        foreign_note(study, make_record(Identity(training="e" * 12, evaluations={}), variant="gone"))
        == "no longer in the study"
    )


@pytest.mark.parametrize("text", [None, "{"], ids=["no record", "a damaged record"])
def test_a_folder_that_is_not_in_the_plan_is_listed(text: str | None, study: Path) -> None:
    (study / "runs" / "odd").mkdir()
    if text is not None:
        (study / "runs" / "odd" / RECORD).write_text(text)
    (study / "runs" / "a file").write_text("")
    (*_, last) = study_states(study)
    assert (last.variant, last.state) == ("odd", "stale")
    assert last.note.startswith("not in the plan")
    assert len(study_states(study)) == 3


def test_a_folder_without_a_study_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no study in .*: expected study\.json there; 'asid ablate run' writes it"
    ):
        study_states(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_plan_is_reported_with_its_path(text: str, tmp_path: Path) -> None:
    (tmp_path / STUDY).write_text(text)
    with pytest.raises(ValueError, match=r"study\.json is damaged: .*; run the study file again"):
        study_states(tmp_path)


def test_a_study_is_executed_while_its_folder_is_held(tmp_path: Path) -> None:
    assert not is_executed(tmp_path)
    assert list(tmp_path.iterdir()) == [], "asking leaves nothing"
    with FileLock(tmp_path / STUDY_LOCK):
        assert is_executed(tmp_path)
    assert not is_executed(tmp_path)


# Differences


def test_differences_of_configurations_are_named_by_their_path() -> None:
    first = {"seed": 0, "model": {"esa": True, "windows": ["meso"], "deep": {"x": 1}}, "old": 1}
    second = {
        "seed": 0,
        "model": {"esa": False, "windows": ["meso", "global"], "deep": {"x": 2}},
        "new": None,
        "newer": 2,
    }
    assert config_differences(first, second) == [
        ("model.esa", True, False),
        ("model.windows", ["meso"], ["meso", "global"]),
        ("model.deep.x", 1, 2),
        ("old", 1, None),
        ("newer", None, 2),
    ]
    assert config_differences(first, first) == []


def test_two_runs_differ_in_configuration_data_code_and_scores(tmp_path: Path) -> None:
    first = make_record()
    second = make_record(
        config=first.config.override(seed=3),
        data={"train": {"manifest": "aaa"}, "evaluate other": {"manifest": "ccc"}},
        scores=[
            {"data": "samples", "image": name, "psnr": p, "ssim": s}
            for name, p, s in (("b", 31.0, 0.95), ("c", 20.0, 0.5))
        ],
        provenance={"commit": "c0ffee", "source": "beef", "finished": "tomorrow", "torch": "3"},
    )
    write_record(first, tmp_path / "a")
    write_record(second, tmp_path / "b")
    assert compare_runs(tmp_path / "a", tmp_path / "b") == {
        "runs": [str(tmp_path / "a"), str(tmp_path / "b")],
        "config": {"seed": [0, 3]},
        "data": {"evaluate samples": ["bbb", None], "evaluate other": [None, "ccc"]},
        "code": {"source": ["f00d", "beef"], "torch": [None, "3"]},
        "scores": [{"data": "samples", "image": "b", "psnr": [30.0, 31.0], "ssim": [0.9, 0.95]}],
    }


def test_a_run_does_not_differ_from_itself(tmp_path: Path) -> None:
    write_record(make_record(), tmp_path)
    differences = compare_runs(tmp_path, tmp_path)
    assert [differences[part] for part in ("config", "data", "code")] == [{}, {}, {}]
    assert [row["psnr"] for row in differences["scores"]] == [[28.0, 28.0], [30.0, 30.0]]


def test_runs_without_scores_can_be_compared(tmp_path: Path) -> None:
    write_record(make_record(scores=[]), tmp_path)
    assert compare_runs(tmp_path, tmp_path)["scores"] == []


def test_a_run_that_is_not_finished_cannot_be_compared(tmp_path: Path) -> None:
    write_record(make_record(), tmp_path / "a")
    with pytest.raises(FileNotFoundError, match=r"b/record\.json"):
        compare_runs(tmp_path / "a", tmp_path / "b")
