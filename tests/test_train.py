"""Training: it learns, it goes on exactly where it was killed, it keeps its records, and it stops when it diverges."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from asid.config import RunConfig, TrainConfig
from asid.evaluate import evaluate
from asid.files import CHECKPOINT, CONFIG, HISTORY, WEIGHTS
from asid.model.network import ASID
from asid.train import TrainingDivergedError, _Training, learning_rate_factor, read_history, train

MakeRun = Callable[..., RunConfig]


class KilledError(Exception):
    """What interrupts a training here."""


def weights(model: ASID) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train_until(step: int, config: RunConfig, folder: Path) -> None:
    """Train, and die at ``step`` (from 0) before it is done."""
    whole_step = _Training.training_step

    def training_step(self: _Training, batch: Any, index: int) -> Tensor:
        if self.trainer.global_step == step:
            raise KilledError
        return whole_step(self, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Training, "training_step", training_step)
        with pytest.raises(KilledError):
            train(config, folder, progress=False)


def test_loss_goes_down_and_the_network_is_left_in_the_folder(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(model={"num_groups": 1}, steps=30, learning_rate=2e-3, validate_every=15)
    model = train(config, tmp_path, progress=False)
    history = read_history(tmp_path)
    assert history["loss"].tail(5).mean() < 0.6 * history["loss"].head(5).mean()
    psnr = history["psnr"].dropna()
    assert list(psnr.index + 1) == [15, 30]
    scores = evaluate(model, 2, config.evaluate).scores
    assert psnr.iloc[-1] == pytest.approx(scores["psnr"].mean(), abs=1e-4)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([CONFIG, HISTORY, WEIGHTS])
    assert not model.training


@pytest.mark.parametrize(
    "options",
    [{}, {"ema_decay": 0.5}, {"warmup_steps": 3, "gradient_clip": 0.1, "schedule": "step", "loader_workers": 1}],
    ids=["plain", "ema", "options"],
)
def test_a_killed_training_ends_as_if_it_had_not_been(options: dict[str, Any], tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(**options)  # 6 steps, a checkpoint after each second
    whole = train(config, tmp_path / "whole", progress=False)
    train_until(1, config, tmp_path / "killed")  # before the first checkpoint: from the start again
    assert not (tmp_path / "killed" / CHECKPOINT).exists()
    train_until(5, config, tmp_path / "killed")  # one step after a checkpoint
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    resumed = train(config, tmp_path / "killed", progress=False)
    assert same(weights(resumed), weights(whole))
    columns = ["step", "loss", "learning_rate", "psnr"]
    expected, found = read_history(tmp_path / "whole"), read_history(tmp_path / "killed")
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_exact=True)
    assert found["seconds"].is_monotonic_increasing


def test_a_resumed_training_does_not_repeat_what_is_done(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_until(5, tiny_run(), tmp_path)
    steps, whole_step = [], _Training.training_step

    def training_step(self: _Training, batch: Any, index: int) -> Tensor:
        steps.append(self.trainer.global_step)
        return whole_step(self, batch, index)

    monkeypatch.setattr(_Training, "training_step", training_step)
    train(tiny_run(), tmp_path, progress=False)
    assert steps == [4, 5]


def test_average_weights_are_what_is_saved(tiny_run: MakeRun, tmp_path: Path) -> None:
    plain = train(tiny_run(), tmp_path / "plain", progress=False)
    average = train(tiny_run(ema_decay=0.9), tmp_path / "ema", progress=False)
    assert not same(weights(average), weights(plain))
    start = weights(ASID(tiny_run().model, seed=0))
    name = "shallow.weight"
    moved, moved_less = ((model.state_dict()[name] - start[name]).norm() for model in (plain, average))
    assert 0 < moved_less < moved


def test_a_done_training_is_not_repeated(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tiny_run(steps=2), tmp_path, progress=False)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(_Training, "training_step", never)
    again = train(tiny_run(steps=2), tmp_path, progress=False)
    assert same(weights(again), weights(first))
    assert not again.training
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_seed_decides(tiny_run: MakeRun, tmp_path: Path) -> None:
    first, again, other = (
        weights(train(tiny_run(steps=2, seed=seed), tmp_path / name, progress=False)) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    assert same(first, again)
    assert not same(first, other)


def test_a_folder_belongs_to_one_configuration(tiny_run: MakeRun, tmp_path: Path) -> None:
    train(tiny_run(steps=1), tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds the training of another configuration"):
        train(tiny_run(steps=1, learning_rate=1e-4), tmp_path, progress=False)


def test_divergence_is_told_with_what_to_change(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(learning_rate=0.5, weight_decay=1e38)
    with pytest.raises(TrainingDivergedError) as caught:
        train(config, tmp_path, progress=False)
    message = str(caught.value)
    assert all(word in message for word in ("train.learning_rate", "0.5", "train.warmup_steps", "train.gradient_clip", "at step")), message
    assert not (tmp_path / WEIGHTS).exists()


def test_history_has_its_columns_and_no_gaps(tiny_run: MakeRun, tmp_path: Path) -> None:
    train(tiny_run(steps=7, validate_every=2), tmp_path, progress=False)
    with (tmp_path / HISTORY).open() as file:
        assert next(csv.reader(file)) == ["step", "loss", "learning_rate", "psnr", "seconds"]
    history = read_history(tmp_path)
    assert list(history["step"]) == [1, 2, 3, 4, 5, 6, 7]
    assert history[["loss", "learning_rate", "seconds"]].notna().all(axis=None)
    assert list(history.dropna(subset="psnr")["step"]) == [2, 4, 6]
    assert history["seconds"].is_monotonic_increasing


def test_a_long_history_is_thinned_and_has_no_gaps(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cheap(self: _Training, batch: Any, index: int) -> Tensor:
        return (self.model.deep.bias.sum() - self.trainer.global_step) ** 2 + 1

    monkeypatch.setattr(_Training, "training_step", cheap)
    train(tiny_run(steps=203, batch_size=1, validate_every=101, checkpoint_every=50), tmp_path, progress=False)
    history = read_history(tmp_path)
    assert set(range(2, 204, 2)) <= set(history["step"])
    assert {101, 202} <= set(history["step"])
    assert history["loss"].notna().all()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, {0: 1, 50: 1, 119: 1}),
        ({"schedule": "cosine"}, {0: 1, 60: 0.5, 120: 0, 200: 0}),
        ({"schedule": "step"}, {0: 1, 19: 1, 20: 0.5, 40: 0.25, 119: 1 / 32}),
        ({"schedule": "constant", "warmup_steps": 9}, {0: 0.1, 4: 0.5, 9: 1, 100: 1}),
        ({"schedule": "cosine", "warmup_steps": 119}, {60: 0.5 * 61 / 120}),
    ],
)
def test_learning_rate_over_time(settings: dict[str, Any], expected: dict[int, float]) -> None:
    factor = learning_rate_factor(TrainConfig(steps=120, **settings))
    assert {step: factor(step) for step in expected} == pytest.approx(expected)
