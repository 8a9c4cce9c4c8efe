"""A study or a training killed at random moments loses nothing: one resume ends like an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from paths import TRAIN_VARIANT
from runs_here import run_here
from safetensors.torch import load_file

from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.runner import run_study
from asid.ablation.report.results import load_results
from asid.ablation.report.write import write_report
from asid.ablation.study.expand import load_study
from asid.ablation.study.plan import plan_runs
from asid.files import CHECKPOINT, RECORD, WEIGHTS
from asid.runs.record import Record, read_record

pytestmark = pytest.mark.process

STUDY = """
name: killed
question: Is anything lost?
preset: asid-tiny
base:
  model: {{num_groups: 2}}
  data: {{train: '{0}/train', validation: '{0}/validation', patch_size: 16}}
  train: {{steps: {2}, batch_size: 4, ema_decay: 0.9, start: linear, accelerator: cpu,
          validate_every: 20, checkpoint_every: 10}}
  evaluate: {{data: ['{0}/validation']}}
variants:
  no-sharing: {{model: {{attention_sharing: none}}}}
seeds: {3}
notebook: {1}
"""
TABLES = ("comparison.csv", "comparison.md", "comparison.tex", "comparison.json", "scores.csv")


def start(log: Path, *words: object) -> subprocess.Popen[bytes]:
    """``asid`` with these words as from a shell, one thread for each training."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("ab") as file:
        command = [sys.executable, "-m", "asid.cli", *map(str, words)]
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def start_study(study: Path, output: Path, workers: int) -> subprocess.Popen[bytes]:
    log = output.parent / f"{output.name}.log"
    return start(log, "ablate", "run", study, "--output", output, "--workers", workers)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A command's process with all that it has started: workers, kernels, data loaders."""
    processes = [psutil.Process(process.pid)]
    for child in processes[0].children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since
            processes += [] if "resource_tracker" in " ".join(child.cmdline()) else [child]
    return processes


def records(output: Path) -> dict[str, int]:
    """The finished runs, and when each record was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (output / "runs").glob(f"*/{RECORD}")}


def kill(process: subprocess.Popen[bytes], chance: random.Random, longest: float, after: Path | None = None) -> None:
    """Kill the command, or one of its processes and then the command, within so many seconds: none outlives it.

    With ``after``, the seconds begin when it has written this file.
    """
    begun = time.time()
    while after and process.poll() is None and not (after.exists() and after.stat().st_mtime > begun):
        time.sleep(0.1)
    time.sleep(chance.uniform(0, longest))
    alive = [] if process.poll() is not None else family(process)
    if alive:
        victim = chance.choice([alive[0], chance.choice(alive)])
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
        if victim.pid != process.pid:
            time.sleep(chance.uniform(0, 3))
            process.kill()
    process.wait()
    _, left = psutil.wait_procs(alive, timeout=10)
    left = [each for each in left if not ended(each)]
    assert not left, f"left behind: {left}"


def ended(process: psutil.Process) -> bool:
    """Whether it has ended, be it as a zombie: in a container nobody may collect what an orphan returned."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_at_random(study: Path, output: Path, workers: int, kills: int, seed: int) -> dict[str, int]:
    """Kill the study at random moments, restart it after each; returns the records."""
    chance = random.Random(seed)
    done: dict[str, int] = {}
    for _ in range(kills):
        longest = 15 if kills < 10 else 45  # many kills are to reach late steps, too
        kill(start_study(study, output, workers), chance, longest)
        now = records(output)
        assert {name: now[name] for name in done} == done, "a finished run was run again"
        done = now
    return done


@pytest.mark.parametrize(
    ("kills", "workers", "steps", "seeds"), [(1, 1, 40, 1), pytest.param(20, 2, 600, 2, marks=pytest.mark.slow)]
)
def test_a_killed_study_ends_like_an_undisturbed_one(
    kills: int, workers: int, steps: int, seeds: int, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow case compares two studies of the engine. The quick one is for what a resume does: its undisturbed study
    is trained in this process, without notebook and kernel, and a single worker's run is killed.
    """
    study = tmp_path / "killed.yaml"
    study.write_text(STUDY.format(crops, TRAIN_VARIANT, steps, list(range(seeds))))
    done = kill_at_random(study, tmp_path / "killed", workers, kills, seed=5)  # the first after nine seconds
    resumed = start_study(study, tmp_path / "killed", workers)
    assert resumed.wait() == 0, (tmp_path / "killed.log").read_text()
    now = records(tmp_path / "killed")
    assert {name: now[name] for name in done} == done, "a finished run was run again"
    if kills < 20:
        run_here(monkeypatch)
        run_study(load_study(study), TRAIN_VARIANT, tmp_path / "quiet", ClusterConfig(workers=workers))
    else:
        assert start_study(study, tmp_path / "quiet", workers).wait() == 0, (tmp_path / "quiet.log").read_text()
    for folder in ("killed", "quiet"):
        runs = plan_runs(load_study(study), tmp_path / folder)
        assert len(runs) == 2 * seeds
        assert all(run.is_done() for run in runs)
        write_report(load_results(tmp_path / folder))
    assert {name: (tmp_path / "killed" / name).read_bytes() for name in TABLES} == {
        name: (tmp_path / "quiet" / name).read_bytes() for name in TABLES
    }
    resumes = [
        read_record(run.folder).execution["resumed_at"] for run in plan_runs(load_study(study), tmp_path / "killed")
    ]
    assert kills < 20 or any(resumes), "no training was killed between its checkpoints: the test says little"


@pytest.mark.slow
def test_a_killed_training_ends_like_an_undisturbed_one(crops: Path, tmp_path: Path) -> None:
    """Twenty kills of the training or of one of its two data loaders."""
    settings = {
        "model.num_groups": 1,
        "data.train": crops / "train",
        "data.validation": crops / "validation",
        "data.patch_size": 16,
        "train.steps": 800,
        "train.batch_size": 2,
        "train.loader_workers": 2,
        "train.checkpoint_every": 10,
        "train.validate_every": 50,
        "train.ema_decay": 0.9,
        "train.accelerator": "cpu",
        "evaluate.data": f"['{crops / 'validation'}']",
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]

    def begin(name: str) -> subprocess.Popen[bytes]:
        return start(tmp_path / f"{name}.log", "train", tmp_path / name, "--preset", "asid-tiny", *changes)

    chance = random.Random(20)
    for index in range(20):  # every other one while it starts, which takes long on a busy machine
        kill(begin("killed"), chance, 6, tmp_path / "killed" / CHECKPOINT if index % 2 else None)
    for name in ("killed", "quiet"):
        assert begin(name).wait() == 0, (tmp_path / f"{name}.log").read_text()
    killed, quiet = (read_record(tmp_path / name) for name in ("killed", "quiet"))
    assert killed.execution["resumed_at"], "no kill came after a checkpoint: the test says little"
    assert (killed.scores, curves(killed)) == (quiet.scores, curves(quiet))
    trained, expected = (load_file(tmp_path / name / WEIGHTS) for name in ("killed", "quiet"))
    assert all(torch.equal(trained[name], expected[name]) for name in expected | trained)


def curves(record: Record) -> list[dict[str, Any]]:
    """The training curves without the seconds."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in record.history]
