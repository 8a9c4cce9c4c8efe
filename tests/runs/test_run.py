"""One run from configuration to record: how it was executed, and one process at a time in its folder."""

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from command_line import Call
from torch import Tensor

from asid.config import RunConfig
from asid.evaluation.evaluate import Evaluation, evaluate
from asid.files import CHECKPOINT, CHECKPOINTS, LOCK, OWNER, WEIGHTS
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.network import ASID
from asid.runs import run as experiment
from asid.runs.check import check_run
from asid.runs.record import read_record
from asid.runs.reuse import has_its_weights
from asid.runs.run import train_and_score
from asid.training.module import TrainingModule
from asid.training.train import train

pytestmark = pytest.mark.process

MakeRun = Callable[..., RunConfig]
TINY: dict[str, Any] = {"model": {"num_groups": 1}}


class KilledError(Exception):
    """Interrupts a run."""


@contextmanager
def in_another_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``code``; it is ended on leaving."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held_by_another_process(folder: Path, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """``folder``, held by a process that ends after some seconds or when it is killed."""
    code = """
        import pathlib, sys, time
        from asid.runs.lock import exclusive
        with exclusive(pathlib.Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(float(sys.argv[2]))
    """
    with in_another_process(code, folder, seconds) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def is_free_for_another_process(folder: Path) -> bool:
    code = """
        import sys
        from filelock import FileLock, Timeout
        try:
            FileLock(sys.argv[1]).acquire(timeout=0)
        except Timeout:
            print("taken")
        else:
            print("free")
    """
    with in_another_process(code, folder / LOCK) as process:
        answer, _ = process.communicate()
    assert answer in ("free\n", "taken\n")
    return answer == "free\n"


def test_the_record_says_how_the_run_was_executed(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the process that trained died before it wrote the record."""
    config = tiny_run(**TINY, batch_size=4)
    whole_forward, whole_step = ASID.forward, TrainingModule.training_step

    def forward(self: ASID, x: Tensor) -> Tensor:
        if self.training and len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole_forward(self, x)

    def training_step(self: TrainingModule, batch: Any, index: int) -> Tensor:
        if self.trainer.global_step == 5:
            raise KilledError
        return whole_step(self, batch, index)

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr(ASID, "forward", forward)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", training_step)
        with pytest.raises(KilledError):
            train_and_score(config, tmp_path, progress=False)
    assert (tmp_path / CHECKPOINT).exists()
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "evaluate", killed)
        with pytest.raises(KilledError):
            train_and_score(config, tmp_path, progress=False)
    assert (tmp_path / WEIGHTS).exists()
    assert not (tmp_path / CHECKPOINT).exists()
    train_and_score(config, tmp_path, progress=False).write_record("some-study", "base")
    assert read_record(tmp_path).execution == {"exit": "done", "micro_batch": 2, "threads": 1, "resumed_at": [4]}


def test_a_run_killed_between_training_and_record_has_the_same_scores(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(**TINY, steps=20, learning_rate=5e-3, ema_decay=0.9)
    whole = train_and_score(config, tmp_path / "whole", progress=False)
    train(config, tmp_path / "killed", progress=False)
    killed = train_and_score(config, tmp_path / "killed", progress=False)
    pd.testing.assert_frame_equal(killed.scores, whole.scores, check_exact=True)


@pytest.mark.parametrize("windows", [["meso"], []], ids=["spatial attention", "none"])
def test_the_record_has_the_scores_with_uniform_maps(tiny_run: MakeRun, tmp_path: Path, windows: list[str]) -> None:
    config = tiny_run(model={"num_groups": 1, "spatial_windows": windows}, steps=1)
    run = train_and_score(config, tmp_path, progress=False)
    run.write_record("some-study", "base")
    (row,) = read_record(tmp_path).scores
    expected = evaluate(run.model, config.model.scale, config.evaluate, uniform_maps=True).scores["psnr_uniform_maps"]
    assert row["psnr_uniform_maps"] == (expected[0] if windows else None)
    assert check_run(tmp_path)[1] == []
    save_checkpoint(ASID(config.model, seed=7), tmp_path / WEIGHTS, run=config.to_dict())  # as if it were the run's
    assert "differs" in check_run(tmp_path)[1][0]
    assert not has_its_weights(tmp_path, read_record(tmp_path))  # and so no other study takes them over
    with pytest.raises(ValueError, match="not those that record"):
        train_and_score(config, tmp_path, progress=False)


def test_seconds_in_the_network_are_those_of_the_evaluation(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_evaluate = experiment.evaluate

    def evaluate(*arguments: Any, **options: Any) -> Evaluation:
        return Evaluation(whole_evaluate(*arguments, **options).scores, {"model": 1.25, "total": 2.5})

    monkeypatch.setattr(experiment, "evaluate", evaluate)
    seconds = train_and_score(tiny_run(**TINY, steps=1), tmp_path, progress=False).seconds
    assert seconds.pop("train") > 0
    assert seconds == {"evaluate validation": 2.5, "upscale validation": 1.25}


def test_a_folder_in_which_another_process_trains_is_left_alone(
    tiny_run: MakeRun, cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = tmp_path / "run", tiny_run(**TINY, steps=1)
    with held_by_another_process(folder) as process:
        who = f"process {process.pid} on {socket.gethostname()} (since 2"
        with monkeypatch.context() as patch:
            patch.setattr(experiment, "data_manifests", lambda _: pytest.fail("a large data set would be read first"))
            ended = cli("train", folder)
            with pytest.raises(ValueError, match="is working in") as caught:
                train_and_score(config, folder, progress=False, wait=0.1)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.startswith(f"error: {who}")
        assert str(caught.value).startswith(who)
        assert str(folder) in str(caught.value)
        assert {path.name for path in folder.iterdir()} == {LOCK, OWNER}
        process.kill()
        process.wait()
        train_and_score(config, folder, progress=False, wait=0.1)  # nothing of a dead process holds it
    assert (folder / WEIGHTS).exists()
    assert not (folder / OWNER).exists()


def test_a_dying_predecessor_is_waited_for(tiny_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    with held_by_another_process(folder, seconds=1) as process:
        train_and_score(tiny_run(**TINY, steps=1), folder, progress=False)
    assert (folder / WEIGHTS).exists()
    assert f"process {process.pid} on" in caplog.text, "it is said at once who is waited for"


def test_a_run_holds_its_folder_until_it_is_evaluated(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {}
    whole_step, whole_evaluate = TrainingModule.training_step, experiment.evaluate

    def training_step(self: TrainingModule, batch: Any, index: int) -> Tensor:
        free["while it trains"] = is_free_for_another_process(tmp_path)
        return whole_step(self, batch, index)

    def evaluate(*arguments: Any, **options: Any) -> Evaluation:
        free["while it evaluates"] = is_free_for_another_process(tmp_path)
        return whole_evaluate(*arguments, **options)

    monkeypatch.setattr(TrainingModule, "training_step", training_step)
    monkeypatch.setattr(experiment, "evaluate", evaluate)
    train_and_score(tiny_run(**TINY, steps=1), tmp_path, progress=False)
    assert free == {"while it trains": False, "while it evaluates": False}
    assert is_free_for_another_process(tmp_path)


DISTRIBUTED = """
import os, pathlib, psutil, sys, time, torch
import asid.training.train
from asid.runs import run as experiment
from asid.config import RunConfig

save_checkpoint, write_record = asid.training.train.save_checkpoint, experiment.write_record

def save_late(*arguments, **metadata):
    me = psutil.Process()
    for process in [me, *me.children()]:
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN:
                print("listens at", socket.laddr.ip, flush=True)
    time.sleep(1)
    save_checkpoint(*arguments, **metadata)

def write_and_tell(record, folder):
    print("a record is written", flush=True)
    write_record(record, folder)

asid.training.train.save_checkpoint, experiment.write_record = save_late, write_and_tell
torch.set_num_threads(1)
config = RunConfig.model_validate_json(pathlib.Path(sys.argv[1]).read_text())
experiment.train_and_score(config, sys.argv[2], progress=False, wait=0).write_record("some-study", "base")
print("a process is done", flush=True)
"""
"""One process saves the weights, slowly; the other one needs them."""


@pytest.mark.slow
def test_the_processes_of_a_distributed_training_share_its_folder(tiny_run: MakeRun, tmp_path: Path) -> None:
    """Each trains on its part of a batch; one of them holds the folder, and writes the record."""
    config, script = tmp_path / "config.json", tmp_path / "script.py"
    config.write_text(tiny_run(**TINY, steps=2, batch_size=4, devices=2).model_dump_json())
    script.write_text(DISTRIBUTED)
    done = subprocess.run(
        [sys.executable, script, config, tmp_path / "run"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a process is done") == 2, done.stderr
    assert done.stdout.count("a record is written") == 1
    listeners = {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("listens at")}
    assert listeners == {"127.0.0.1"}, "their ports take commands from everyone"
    assert read_record(tmp_path / "run").execution == {"exit": "done", "micro_batch": 2, "threads": 1, "resumed_at": []}


@pytest.mark.parametrize("ema_decay", [None, 0.5], ids=["weights", "average"])
def test_a_run_keeps_and_scores_the_network_after_parts_of_the_training(
    tiny_run: MakeRun, tmp_path: Path, ema_decay: float | None
) -> None:
    """They are the networks of trainings that ended there."""
    settings: dict[str, Any] = {**TINY, "schedule": "constant", "ema_decay": ema_decay, "learning_rate": 5e-3}
    config = tiny_run(**settings, steps=4, checkpoints=[0.25, 0.5])
    train_and_score(config, tmp_path / "run", progress=False).write_record("some-study", "base")
    record = read_record(tmp_path / "run")
    (score,) = record.scores
    for part, steps in ((0.25, 1), (0.5, 2)):
        kept = load_checkpoint(tmp_path / "run" / CHECKPOINTS / f"{part}.safetensors")
        shorter = train(tiny_run(**settings, steps=steps), tmp_path / str(steps), progress=False)
        assert all(torch.equal(value, kept.state_dict()[name]) for name, value in shorter.state_dict().items())
        psnr = evaluate(shorter, config.model.scale, config.evaluate).scores["psnr"][0]
        assert score["psnr_at_checkpoints"][config.train.checkpoints.index(part)] == psnr != score["psnr"]
    assert check_run(tmp_path / "run")[1] == []
    (tmp_path / "run" / CHECKPOINTS / "0.5.safetensors").unlink()
    assert "missing" in check_run(tmp_path / "run")[1][0]
    with pytest.raises(ValueError, match="checkpoints"):
        train_and_score(config, tmp_path / "run", progress=False)


def test_parts_without_a_step_of_their_own_are_refused_before_the_training(tiny_run: MakeRun, tmp_path: Path) -> None:
    for parts in ([0.25, 0.3], [0.1]):
        with pytest.raises(ValueError, match="different steps"):
            train_and_score(tiny_run(**TINY, steps=4, checkpoints=parts), tmp_path, progress=False)
    assert not (tmp_path / CHECKPOINTS).exists()
