"""A study killed at random moments loses nothing: one resume completes it, with the tables of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from paths import TRAIN_VARIANT

from asid.ablation.report.results import load_results
from asid.ablation.report.write import write_report
from asid.ablation.study.expand import load_study
from asid.ablation.study.plan import plan_runs
from asid.files import RECORD
from asid.runs.record import read_record

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


def start(study: Path, output: Path) -> subprocess.Popen[bytes]:
    """The study as from a shell, two runs at a time, one thread each."""
    words = [sys.executable, "-m", "asid.cli", "ablate", "run", str(study), "--output", str(output), "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (output.parent / f"{output.name}.log").open("ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process of the study, its workers and their kernels."""
    processes = [psutil.Process(process.pid)]
    for child in processes[0].children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since
            processes += [] if "resource_tracker" in " ".join(child.cmdline()) else [child]
    return processes


def records(output: Path) -> dict[str, int]:
    """The finished runs, and when each record was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (output / "runs").glob(f"*/{RECORD}")}


def kill_at_random(study: Path, output: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill single processes of the study at random moments, restart it after each; returns the records."""
    chance = random.Random(seed)
    done: dict[str, int] = {}
    for _ in range(kills):
        process = start(study, output)
        time.sleep(chance.uniform(1, 15 if kills < 10 else 45))  # many kills are to reach late steps, too
        alive = [] if process.poll() is not None else family(process)
        if alive:
            victim = chance.choice([alive[0], chance.choice(alive)])
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
            if victim.pid != process.pid:
                time.sleep(chance.uniform(0, 3))
                process.kill()
        process.wait()
        _, left = psutil.wait_procs(alive, timeout=20)
        assert not left, f"left behind: {left}"
        now = records(output)
        assert {name: now[name] for name in done} == done, "a finished run was run again"
        done = now
    return done


@pytest.mark.parametrize(("kills", "steps", "seeds"), [(2, 40, 1), pytest.param(10, 600, 2, marks=pytest.mark.slow)])
def test_a_killed_study_ends_like_an_undisturbed_one(
    kills: int, steps: int, seeds: int, crops: Path, tmp_path: Path
) -> None:
    study = tmp_path / "killed.yaml"
    study.write_text(STUDY.format(crops, TRAIN_VARIANT, steps, list(range(seeds))))
    done = kill_at_random(study, tmp_path / "killed", kills, seed=kills)
    resumed = start(study, tmp_path / "killed")
    assert resumed.wait() == 0, (tmp_path / "killed.log").read_text()
    now = records(tmp_path / "killed")
    assert {name: now[name] for name in done} == done, "a finished run was run again"
    assert start(study, tmp_path / "quiet").wait() == 0, (tmp_path / "quiet.log").read_text()
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
    assert kills < 10 or any(resumes), "no training was killed between its checkpoints: the test says little"
