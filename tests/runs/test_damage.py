"""Damage to the files of a run, file by file and way by way: what it costs, and whether it is found.

``make damage`` prints the counts; docs/reliability.md holds them.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from asid.config import RunConfig, preset
from asid.files import CHECKPOINT, CONFIG, HISTORY, LOCK, OWNER, RECORD, WEIGHTS
from asid.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from asid.model.network import ASID
from asid.runs.check import check_run
from asid.runs.record import Record
from asid.runs.run import train_and_score
from asid.training.history import read_history
from asid.training.module import TrainingModule

pytestmark = pytest.mark.slow

MakeRun = Callable[..., RunConfig]


def flipped(content: bytes, place: float) -> bytes:
    damaged = bytearray(content)
    damaged[int(place * (len(content) - 1))] ^= 1
    return bytes(damaged)


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "lost": lambda _: None,
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "end cut": lambda content: content[:-9],
    "zeros at the end": lambda content: content[:-64] + bytes(min(64, len(content))),
    "zeros in the middle": lambda content: content[: len(content) // 2] + bytes(16) + content[len(content) // 2 + 16 :],
    "a bit in the first tenth": lambda content: flipped(content, 0.1),
    "a bit in the middle": lambda content: flipped(content, 0.5),
    "a bit at the end": lambda content: flipped(content, 0.98),
    "doubled": lambda content: content * 2,
    "text": lambda _: b"text\n",
    "random bytes": lambda content: np.random.default_rng(0).bytes(len(content)),
}


def do_damage(path: Path, damage: Callable[[bytes], bytes | None]) -> None:
    damaged = damage(path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)


def finish(config: RunConfig, folder: Path) -> Record:
    return train_and_score(config, folder, progress=False).write_record("study", "base")


def outcome(folder: Path, record: Record) -> tuple[dict[str, bytes], pd.DataFrame, Any]:
    """Weights, curve without times, and scores."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / WEIGHTS).items()}
    return weights, read_history(folder).drop(columns="seconds"), record.scores


def assert_same(first: Any, second: Any) -> None:
    assert first[0] == second[0]
    pd.testing.assert_frame_equal(first[1], second[1])
    assert first[2] == second[2]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows a count though the test passes."""

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return show


@pytest.fixture
def config(tiny_run: MakeRun) -> RunConfig:
    torch.set_num_threads(1)
    return tiny_run(model={"num_groups": 1}, steps=6)


def test_damage_to_a_stopped_training_costs_time_only(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    whole_step = TrainingModule.training_step

    def stop(self: TrainingModule, batch: Any, index: int) -> Any:
        if self.trainer.global_step == 5:
            raise KeyboardInterrupt
        return whole_step(self, batch, index)

    expected = outcome(tmp_path / "whole", finish(config, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", stop)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            finish(config, tmp_path / "stopped")
    same, refused = 0, []
    for name in (CONFIG, HISTORY, CHECKPOINT):
        for way, damage in DAMAGES.items():
            folder = shutil.copytree(tmp_path / "stopped", tmp_path / f"{name} {way}")
            do_damage(folder / name, damage)
            try:
                record = finish(config, folder)
            except ValueError as error:
                refused.append(str(error))
                continue
            assert_same(outcome(folder, record), expected)
            same += 1
    tell(f"a stopped training, a file damaged, resumed: {same} ended with the same bytes, {len(refused)} were refused")
    for reason in refused:  # a changed configuration that is valid
        assert "holds another training" in reason
    assert len(refused) < 4


def test_damage_to_a_finished_run_is_found(config: RunConfig, tmp_path: Path, tell: Callable[[str], None]) -> None:
    finish(config, tmp_path / "run")
    assert check_run(tmp_path / "run")[1] == []
    names = [path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*") if path.is_file()]
    names = [name for name in names if name.name not in (LOCK, OWNER)]
    assert {str(name) for name in names} >= {CONFIG, HISTORY, WEIGHTS, RECORD}
    for name in names:
        for way, damage in DAMAGES.items():
            folder = tmp_path / "damaged"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(tmp_path / "run", folder)
            do_damage(folder / name, damage)
            assert [str(folder / name) in line for line in check_run(folder)[1]] == [True], (name, way)
    tell(f"a finished run: {len(names)} files × {len(DAMAGES)} damages, each found by asid check")


def test_each_flipped_bit_of_weights_is_noticed(tmp_path: Path, tell: Callable[[str], None]) -> None:
    path = save_checkpoint(ASID(preset("asid-tiny")), tmp_path / WEIGHTS)
    content, random = path.read_bytes(), np.random.default_rng(0)
    for position in random.integers(0, 8 * len(content), 400):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
    tell("400 of 400 flipped bits of weights noticed")


def test_a_full_disk_at_each_write_leaves_nothing_cut(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    expected = outcome(tmp_path / "whole", finish(config, tmp_path / "whole"))
    fsync, calls, reasons = os.fsync, 0, []
    for full_at in range(1, 100):
        calls, folder = 0, tmp_path / str(full_at)

        def fill_up(file: int, full_at: int = full_at) -> None:
            nonlocal calls
            calls += 1
            if calls == full_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(file)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fill_up)
            try:
                finish(config, folder)
            except OSError as error:
                reasons.append(str(error))
        assert not list(folder.rglob("*.partial"))
        if calls < full_at:
            break
        assert_same(outcome(folder, finish(config, folder)), expected)
        assert check_run(folder)[1] == []
    tell(f"{len(reasons)} writes of a run, each onto a full disk: complete and the same after making room")
    assert all("make room" in reason for reason in reasons)
    assert len(reasons) > 4
