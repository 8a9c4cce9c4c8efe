"""Training: it learns, resumes exactly after a kill or when memory runs out, and stops if it diverges."""

import csv
import errno
import shutil
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from asid.ablation.study.references import plain_cnn_run
from asid.config import ModelConfig, RunConfig, TrainConfig, preset
from asid.data.cache import FOLDER_VARIABLE
from asid.data.images import read_image
from asid.data.patches import PatchDataset, collate
from asid.data.sources import find_images
from asid.evaluation import metrics
from asid.evaluation.evaluate import bicubic_upscaler, evaluate
from asid.files import CHECKPOINT, CONFIG, HISTORY, WEIGHTS, read_json
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.training.checkpoints import read_execution
from asid.training.history import read_history
from asid.training.module import TrainingDivergedError, TrainingModule, learning_rate_factor, parameter_groups
from asid.training.threads import fit_training_threads
from asid.training.train import train

pytestmark = pytest.mark.process

MakeRun = Callable[..., RunConfig]
CURVES = ["step", "loss", "learning_rate", "psnr"]
"""Columns of the history that do not depend on the clock."""


class KilledError(Exception):
    """Interrupts a training."""


def weights(model: ASID) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def validations(folder: Path) -> list[int]:
    """The step of each validation."""
    with (folder / HISTORY).open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["psnr"]]


def train_until(step: int, config: RunConfig, folder: Path, part: int = 0) -> None:
    """Train, and die during ``step`` (from 0), after ``part`` of its micro-batches."""
    whole_step = TrainingModule.training_step

    def training_step(self: TrainingModule, batch: Any, index: int) -> Tensor:
        if self.trainer.global_step == step and index % self.trainer.accumulate_grad_batches == part:
            raise KilledError
        return whole_step(self, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", training_step)
        with pytest.raises(KilledError):
            train(config, folder, progress=False)


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(
    tiny_run: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the training fails, and later resumes from the older checkpoint to the same weights."""
    write, written = Path.write_bytes, []

    def fill_up(self: Path, content: bytes) -> int:
        if self.name != f"{CHECKPOINT}.partial":
            return write(self, content)
        written.append(self)
        if len(written) == 2:
            write(self, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    config = tiny_run()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(OSError, match=r"(?i)no space left"):
            train(config, tmp_path / "full", progress=False)
    assert torch.load(tmp_path / "full" / CHECKPOINT, weights_only=True)["global_step"] == 2
    assert not list((tmp_path / "full").glob("*.partial"))
    resumed = train(config, tmp_path / "full", progress=False).state_dict()
    expected = train(config, tmp_path / "roomy", progress=False).state_dict()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_the_loss_decreases_and_the_network_is_saved(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(steps=30, learning_rate=2e-3, validate_every=15)
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
    [
        {"model": {"num_groups": 2}, "ema_decay": 0.5, "optimizer": "muon", "start": "linear", "value_range": [-1, 1]}
        | {"rates": {"deep": 0.1}},
        {"warmup_steps": 3, "gradient_clip": 0.1, "schedule": "step", "loader_workers": 1},
        {"model": {"network": "plain-cnn", "num_features": 4}, "ema_decay": 0.5},
        {"pretrained": "given"},
    ],
    ids=["ema, muon and start", "options", "plain CNN", "pretrained"],
)
def test_a_killed_training_resumes_to_the_same_weights(
    options: dict[str, Any], tiny_run: MakeRun, tmp_path: Path
) -> None:
    if "pretrained" in options:
        given = ASID(tiny_run().model, seed=9)
        options = {"pretrained": str(save_checkpoint(given, tmp_path / "given.safetensors"))}
    config = tiny_run(**options)  # 6 steps, a checkpoint after every second
    whole = train(config, tmp_path / "whole", progress=False)
    train_until(1, config, tmp_path / "killed")  # before the first checkpoint: starts again
    assert not (tmp_path / "killed" / CHECKPOINT).exists()
    train_until(5, config, tmp_path / "killed")  # one step after a checkpoint
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    resumed = train(config, tmp_path / "killed", progress=False)
    assert same(weights(resumed), weights(whole))
    expected, actual = read_history(tmp_path / "whole"), read_history(tmp_path / "killed")
    pd.testing.assert_frame_equal(actual[CURVES], expected[CURVES], check_exact=True)
    assert actual["seconds"].is_monotonic_increasing
    assert read_execution(tmp_path / "whole") == {"micro_batch": 2, "threads": 1, "resumed_at": []}
    assert read_execution(tmp_path / "killed") == {"micro_batch": 2, "threads": 1, "resumed_at": [4]}


def test_a_compiled_training_compiles_each_kind_of_group_once_and_resumes(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler is one that changes nothing, so that neither time nor a C++ compiler is needed."""
    compiler = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compiler, fullgraph=True))
    torch.compiler.reset()
    options: dict[str, Any] = {
        "model": {"num_groups": 3, "distillation_steps": 1, "channel_windows": []},
        "ema_decay": 0.5,
    }
    whole = train(tiny_run(**options), tmp_path / "plain", progress=False)
    assert compiler.frame_count == 0
    config = tiny_run(**options, compile=True)
    train_until(5, config, tmp_path / "killed")
    assert compiler.frame_count == 2, "the group that makes maps, and those that reuse them; validation compiles none"
    assert same(weights(train(config, tmp_path / "killed", progress=False)), weights(whole))
    assert read_execution(tmp_path / "killed")["resumed_at"] == [4]


def test_a_resumed_training_keeps_the_number_of_threads(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run()
    try:
        torch.set_num_threads(2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("asid.training.train.fit_training_threads", lambda _: torch.set_num_threads(2))
            train_until(5, config, tmp_path)
        torch.set_num_threads(1)
        train(config, tmp_path, progress=False)
    finally:
        torch.set_num_threads(1)
    assert read_execution(tmp_path) == {"micro_batch": 2, "threads": 2, "resumed_at": [4]}


def test_the_trial_of_threads_trains_nothing_and_keeps_the_random_state(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def try_once(network: ASID, image: Tensor) -> int:
        tried.append(network(image))
        return 1

    monkeypatch.setattr("asid.training.threads.fit_threads", try_once)
    state = torch.get_rng_state()
    assert fit_training_threads(tiny_run()) == 1
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert fit_training_threads(tiny_run(accelerator="auto")) == fit_training_threads(tiny_run(devices=2)) == 1
    assert len(tried) == 1


def test_a_plain_cnn_learns_more_than_bicubic_in_a_few_steps(tmp_path: Path) -> None:
    """With the recipe that it has as a reference, on the sample photographs."""
    small = RunConfig(model=preset("asid-tiny", num_features=8))
    train_settings = {"steps": 80, "batch_size": 2, "validate_every": 80, "ema_decay": 0.9, "accelerator": "cpu"}
    config = plain_cnn_run(small.override(train=train_settings, data={"patch_size": 32}))
    model = train(config, tmp_path, progress=False)
    loss = read_history(tmp_path)["loss"].dropna()
    assert loss.iloc[-5:].mean() < 0.6 * loss.iloc[:5].mean()
    upscalers: dict[str, Any] = {"cnn": model, "bicubic": bicubic_upscaler(2)}
    psnr = {name: evaluate(upscaler, 2).scores["psnr"].mean() for name, upscaler in upscalers.items()}
    assert psnr["cnn"] > psnr["bicubic"] + 0.2


def test_a_resumed_training_does_not_repeat_what_is_done(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(5, tiny_run(), tmp_path)
    steps, whole_step = [], TrainingModule.training_step

    def training_step(self: TrainingModule, batch: Any, index: int) -> Tensor:
        steps.append(self.trainer.global_step)
        return whole_step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", training_step)
    train(tiny_run(), tmp_path, progress=False)
    assert steps == [4, 5]


def test_settings_that_are_not_in_the_identity_change_neither_weights_nor_curves(
    tiny_run: MakeRun, tmp_path: Path
) -> None:
    """See :meth:`asid.config.RunConfig.training_settings`."""
    configs = [tiny_run(ema_decay=0.5), tiny_run(ema_decay=0.5, checkpoint_every=3, loader_workers=1)]
    assert configs[0].training_settings() == configs[1].training_settings()
    models = [train(config, tmp_path / str(index), progress=False) for index, config in enumerate(configs)]
    assert same(weights(models[0]), weights(models[1]))
    first, second = (read_history(tmp_path / name)[CURVES] for name in "01")
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_folder_takes_another_evaluation_and_a_data_set_that_was_moved(
    tiny_run: MakeRun, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, moved = tiny_run(steps=1), shutil.copytree(crops, tmp_path / "moved")
    train(config, tmp_path / "run", progress=False)
    monkeypatch.setattr(TrainingModule, "training_step", None)  # nothing is trained
    data = {**config.data.to_dict(), "train": str(moved / "train"), "validation": str(moved / "validation")}
    again = config.override(evaluate={"ensemble": True}, data=data)
    train(again, tmp_path / "run", progress=False)
    written = read_json(tmp_path / "run" / CONFIG)
    assert (written["evaluate"], written["data"]) == (again.evaluate.to_dict(), data)
    (moved / "train" / "0.png").write_bytes((moved / "train" / "1.png").read_bytes())
    with pytest.raises(ValueError, match="holds another training"):
        train(again, tmp_path / "run", progress=False)


def test_validation_decodes_its_photographs_once_also_without_a_cache(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def decode(path: Path) -> Any:
        decoded.append(path.name)
        return read_image(path)

    monkeypatch.setattr("asid.data.photographs.read_image", decode)
    counts = []
    for every in (6, 2):
        monkeypatch.setenv(FOLDER_VARIABLE, "off")
        train(tiny_run(validate_every=every), tmp_path / str(every), progress=False)
        counts.append(len(decoded))
    assert counts[1] == 2 * counts[0]


def test_validation_computes_psnr_only(tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "structural_similarity", None)
    train(tiny_run(steps=1), tmp_path, progress=False)
    assert read_history(tmp_path)["psnr"].notna().all()


def test_average_weights_are_what_is_saved(tiny_run: MakeRun, tmp_path: Path) -> None:
    plain = train(tiny_run(), tmp_path / "plain", progress=False)
    average = train(tiny_run(ema_decay=0.9), tmp_path / "ema", progress=False)
    assert not same(weights(average), weights(plain))
    start = weights(ASID(tiny_run().model, seed=0))
    name = "shallow.weight"
    moved, moved_less = ((model.state_dict()[name] - start[name]).norm() for model in (plain, average))
    assert 0 < moved_less < moved


@pytest.mark.parametrize(
    ("steps", "validate_every", "expected"),
    [(4, 2, [2, 4]), (5, 2, [2, 4, 5]), (2, 9, [2])],
    ids=["multiple", "no multiple", "one"],
)
def test_the_curve_ends_with_one_validation_of_what_is_saved(
    steps: int, validate_every: int, expected: list[int], tiny_run: MakeRun, tmp_path: Path
) -> None:
    config = tiny_run(steps=steps, validate_every=validate_every, ema_decay=0.9, learning_rate=5e-3)
    model = train(config, tmp_path, progress=False)
    assert validations(tmp_path) == expected
    scores = evaluate(model, 2, config.evaluate).scores
    # To the last pixel: the indices of the position bias were once averaged, too, which scored another network.
    assert read_history(tmp_path)["psnr"].iloc[-1] == pytest.approx(scores["psnr"].mean(), rel=1e-6)


def validate_until(step: int, config: RunConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the validation at a step, which kills the training."""
    validate = TrainingModule.validation_step

    def validation_step(self: TrainingModule, batch: Any, index: int) -> None:
        if self.trainer.global_step == step:
            raise KilledError
        validate(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "validation_step", validation_step)
        with pytest.raises(KilledError):
            train(config, folder, progress=False)


def test_a_training_killed_in_its_last_validation_resumes_to_the_same_weights(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(ema_decay=0.5)  # a checkpoint and a validation are due at the last step
    whole = train(config, tmp_path / "whole", progress=False)
    validate_until(config.train.steps, config, tmp_path / "killed", monkeypatch)
    resumed = train(config, tmp_path / "killed", progress=False)
    assert same(weights(resumed), weights(whole))
    assert validations(tmp_path / "killed") == [3, 6]


def test_a_kill_during_a_validation_loses_no_point_of_the_curve(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(ema_decay=0.5, checkpoint_every=1)  # a checkpoint is due at each step, a validation at 3 and 6
    whole = train(config, tmp_path / "whole", progress=False)
    validate_until(3, config, tmp_path / "killed", monkeypatch)
    train_until(3, config, tmp_path / "killed")  # resumes, validates, and dies right after the checkpoint of step 3
    (tmp_path / "killed" / HISTORY).write_bytes(b"\0" * 100)  # as after a power failure
    resumed = train(config, tmp_path / "killed", progress=False)
    assert read_execution(tmp_path / "killed")["resumed_at"] == [2, 3]
    assert same(weights(resumed), weights(whole))
    assert validations(tmp_path / "killed") == [3, 6]
    expected, actual = read_history(tmp_path / "whole"), read_history(tmp_path / "killed")
    pd.testing.assert_frame_equal(actual[CURVES], expected[CURVES], check_exact=True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Flip one bit of a tensor."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


def replace(path: Path) -> None:
    path.write_bytes(b"not what it was")


def exchange(path: Path) -> None:
    """The checkpoint of another training."""
    content = torch.load(path, weights_only=True)
    torch.save({**content, "training": "000000000000"}, path)


@pytest.mark.parametrize("damage", [cut, flip, replace, exchange])
def test_a_checkpoint_that_cannot_be_used_costs_time_only(
    damage: Callable[[Path], None], tiny_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_run(steps=4)
    whole = train(config, tmp_path / "whole", progress=False)
    train_until(3, config, tmp_path / "run")
    damage(tmp_path / "run" / CHECKPOINT)
    (tmp_path / "run" / CONFIG).write_text("{")
    resumed = train(config, tmp_path / "run", progress=False)
    assert same(weights(resumed), weights(whole))
    assert read_execution(tmp_path / "run")["resumed_at"] == []
    assert read_json(tmp_path / "run" / CONFIG)["seed"] == 0
    assert [CONFIG in caplog.text, f"{CHECKPOINT} is" in caplog.text, "starting again" in caplog.text] == [True] * 3


def test_weights_of_another_training_are_refused(tiny_run: MakeRun, tmp_path: Path) -> None:
    """They would be scored under the name of the planned one."""
    for seed, name in ((0, "mine"), (1, "other")):
        train(tiny_run(steps=1, seed=seed), tmp_path / name, progress=False)
    shutil.copy(tmp_path / "other" / WEIGHTS, tmp_path / "mine" / WEIGHTS)
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold the weights of this training"):
        train(tiny_run(steps=1), tmp_path / "mine", progress=False)


def test_a_finished_training_is_not_repeated(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tiny_run(steps=2), tmp_path, progress=False)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(TrainingModule, "training_step", never)
    again = train(tiny_run(steps=2), tmp_path, progress=False)
    assert same(weights(again), weights(first))
    assert not again.training
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_seed_decides(tiny_run: MakeRun, tmp_path: Path) -> None:
    first, again, other = (
        weights(train(tiny_run(steps=2, seed=seed), tmp_path / name, progress=False))
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    assert same(first, again)
    assert not same(first, other)


def test_a_folder_belongs_to_one_training(tiny_run: MakeRun, tmp_path: Path) -> None:
    train(tiny_run(steps=1), tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds another training"):
        train(tiny_run(steps=1, learning_rate=1e-4), tmp_path, progress=False)


def test_divergence_is_reported_with_settings_to_change(tiny_run: MakeRun, tmp_path: Path) -> None:
    config = tiny_run(learning_rate=0.5, weight_decay=1e38)
    with pytest.raises(TrainingDivergedError) as caught:
        train(config, tmp_path, progress=False)
    message = str(caught.value)
    assert all(
        word in message
        for word in ("train.learning_rate", "0.5", "train.warmup_steps", "train.gradient_clip", "at step")
    ), message
    assert not (tmp_path / WEIGHTS).exists()


Memory = Callable[..., list["weakref.ref[ASID]"]]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Memory for k patches: ``memory(k, spared=n)`` fails every batch of more than k in training, except the first n.

    Returns the networks that failed. All of them have to be gone when one succeeds.
    """
    whole_forward = ASID.forward

    def limit(patches: int, spared: int = 0, allocate: Callable[[], Any] | None = None) -> list["weakref.ref[ASID]"]:
        failed: list[weakref.ref[ASID]] = []
        large = 0

        def forward(self: ASID, x: Tensor) -> Tensor:
            nonlocal large
            if self.training and len(x) > patches:
                large += 1
                if large > spared:
                    failed.append(weakref.ref(self))
                    if allocate:
                        allocate()
                    raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB.")
            assert not [model for model in failed if model() not in (None, self)], (
                "a network that failed still holds its memory"
            )
            return whole_forward(self, x)

        monkeypatch.setattr(ASID, "forward", forward)
        return failed

    return limit


def train_by_hand(config: RunConfig, micro_batch: Callable[[int], int]) -> dict[str, Tensor]:
    """Train in plain PyTorch, with micro-batches of ``micro_batch(step)`` patches at each step (from 0)."""
    settings, data = config.train, config.data
    photographs = find_images(data.train, split="train")
    patches = PatchDataset(
        photographs, scale=2, patch_size=data.patch_size, augment=True, border=data.border, seed=config.seed
    )
    model = ASID(config.model, seed=config.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(settings))
    for step in range(settings.steps):
        optimizer.zero_grad()
        batch = [patches[step * settings.batch_size + index] for index in range(settings.batch_size)]
        size = micro_batch(step)
        for first in range(0, settings.batch_size, size):
            lr, hr = collate(batch[first : first + size])
            (F.l1_loss(model(lr), hr) * size / settings.batch_size).backward()
        optimizer.step()
        schedule.step()
    return weights(model)


@pytest.mark.parametrize(
    ("batch_size", "patches", "sizes", "allocate"),
    [(4, 1, [4, 2, 1], None), (6, 2, [6, 3, 1], lambda: torch.empty(2**60, dtype=torch.uint8)), (9, 4, [9, 3], None)],
    ids=["halves", "6: 3, 1, and on a CPU, for real", "9: 3"],
)
def test_out_of_memory_makes_the_micro_batch_smaller(
    batch_size: int,
    patches: int,
    sizes: list[int],
    allocate: Callable[[], Any] | None,
    memory: Memory,
    tiny_run: MakeRun,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = tiny_run(steps=4, batch_size=batch_size, validate_every=2, gradient_clip=0.1)
    whole = train(config, tmp_path / "whole", progress=False)
    failed = memory(patches, allocate=allocate)
    small = train(config, tmp_path / "small", progress=False)
    assert len(failed) == len(sizes) - 1
    assert [(record.name, record.levelname) for record in caplog.records] == [("asid.training.train", "WARNING")] * len(
        failed
    )
    for before, after, message in zip(sizes, sizes[1:], caplog.messages, strict=False):
        assert f"from the start with micro-batches of {after} instead of {before} patches" in message
        assert message.endswith(f"the batch stays at {batch_size}")
        assert "\n" not in message
    assert read_execution(tmp_path / "small") == {"micro_batch": sizes[-1], "threads": 1, "resumed_at": []}

    # The same sums in another order: 1e-7 of a gradient in float32, 1e-6 of a weight after four steps of 1e-3.
    expected, actual = read_history(tmp_path / "whole"), read_history(tmp_path / "small")
    pd.testing.assert_frame_equal(actual[CURVES], expected[CURVES], rtol=0, atol=2e-5)
    assert len((tmp_path / "small" / HISTORY).read_text().splitlines()) == 1 + 4 + 2, (
        "a row a step, and one a validation"
    )
    assert validations(tmp_path / "small") == [2, 4]
    start, end = ASID(config.model, seed=0).state_dict(), weights(whole)
    assert max((tensor - start[name]).abs().max() for name, tensor in end.items()) > 1e-3
    assert max((tensor - small.state_dict()[name]).abs().max() for name, tensor in end.items()) < 1e-5


@pytest.mark.parametrize(("spared", "resumed_at"), [(0, []), (5, [3])], ids=["at the start", "after a checkpoint"])
def test_after_running_out_of_memory_a_training_continues_in_micro_batches(
    spared: int,
    resumed_at: list[int],
    memory: Memory,
    tiny_run: MakeRun,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To the last bit. The checkpoint is at step 3: an odd number of whole batches precedes the halves."""
    config = tiny_run(batch_size=4, checkpoint_every=3)
    switch = resumed_at[0] if resumed_at else 0
    expected = train_by_hand(config, lambda step: 4 if step < switch else 2)
    assert not same(expected, train_by_hand(config, lambda _: 4))
    memory(2, spared=spared)
    model = train(config, tmp_path, progress=False)
    assert same(weights(model), expected)
    assert read_execution(tmp_path) == {"micro_batch": 2, "threads": 1, "resumed_at": resumed_at}
    assert ("from the last checkpoint" in caplog.text) == bool(resumed_at)
    assert list(read_history(tmp_path)["step"]) == [1, 2, 3, 4, 5, 6]
    assert validations(tmp_path) == [3, 6]


def test_an_untested_version_of_lightning_is_refused_where_its_counts_are_edited(
    memory: Memory, tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not elsewhere: a training that resumes with the same micro-batches needs no edit."""
    monkeypatch.setattr(L, "__version__", "2.99.0")
    config = tiny_run()
    train_until(5, config, tmp_path)
    train_until(5, config, tmp_path)
    memory(1)
    with pytest.raises(RuntimeError, match=r"Lightning 2\.6, not with 2\.99\.0"):
        train(config, tmp_path, progress=False)


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.5, "gradient_clip": 0.1}], ids=["plain", "options"])
def test_a_killed_training_with_micro_batches_resumes_to_the_same_weights(
    options: dict[str, Any], memory: Memory, tiny_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_run(**options)  # batches of 2
    memory(1)
    whole = train(config, tmp_path / "whole", progress=False)
    train_until(3, config, tmp_path / "killed")  # one step after the first checkpoint
    caplog.clear()
    train_until(
        2, config, tmp_path / "killed", part=1
    )  # between the micro-batches of the first step after a checkpoint
    train_until(5, config, tmp_path / "killed", part=1)  # one step and a half after the second checkpoint
    resumed = train(config, tmp_path / "killed", progress=False)
    assert not caplog.records, "a resumed training knows its micro-batch"
    assert same(weights(resumed), weights(whole))
    expected, actual = read_history(tmp_path / "whole"), read_history(tmp_path / "killed")
    pd.testing.assert_frame_equal(actual[CURVES], expected[CURVES], check_exact=True)
    assert read_execution(tmp_path / "killed") == {"micro_batch": 1, "threads": 1, "resumed_at": [2, 4]}


def test_out_of_memory_with_one_patch_is_reported_with_settings_to_change(
    memory: Memory, tiny_run: MakeRun, tmp_path: Path
) -> None:
    failed = memory(0)
    with pytest.raises(MemoryError) as caught:
        train(tiny_run(), tmp_path, progress=False)
    message = str(caught.value)
    assert all(
        word in message for word in ("1 × 16×16 LR pixels", "data.patch_size", "model.num_features", "--workers")
    ), message
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert len(failed) == 2
    assert not (tmp_path / WEIGHTS).exists()


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("training_step", RuntimeError("shapes do not match")),
        ("validation_step", torch.OutOfMemoryError("CUDA out of memory.")),
    ],
    ids=["another error", "in a validation"],
)
def test_errors_that_smaller_micro_batches_do_not_cure_are_raised(
    method: str, error: RuntimeError, tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(self: TrainingModule, batch: Any, index: int) -> None:
        calls.append(index)
        raise error

    monkeypatch.setattr(TrainingModule, method, fail)
    with pytest.raises(RuntimeError, match=str(error)):
        train(tiny_run(validate_every=1), tmp_path, progress=False)
    assert calls == [0]


def test_history_has_its_columns_and_no_gaps(tiny_run: MakeRun, tmp_path: Path) -> None:
    train(tiny_run(steps=7, validate_every=2), tmp_path, progress=False)
    with (tmp_path / HISTORY).open() as file:
        assert next(csv.reader(file)) == ["step", "loss", "learning_rate", "psnr", "seconds"]
    history = read_history(tmp_path)
    assert list(history["step"]) == [1, 2, 3, 4, 5, 6, 7]
    assert history[["loss", "learning_rate", "seconds"]].notna().all(axis=None)
    assert list(history.dropna(subset="psnr")["step"]) == [2, 4, 6, 7]
    assert history["seconds"].is_monotonic_increasing


def test_a_long_history_is_thinned_and_has_no_gaps(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cheap(self: TrainingModule, batch: Any, index: int) -> Tensor:
        return (self.model.deep.bias.sum() - self.trainer.global_step) ** 2 + 1

    monkeypatch.setattr(TrainingModule, "training_step", cheap)
    train(tiny_run(steps=203, batch_size=1, validate_every=101, checkpoint_every=50), tmp_path, progress=False)
    history = read_history(tmp_path)
    assert set(range(2, 204, 2)) <= set(history["step"])
    assert validations(tmp_path) == [101, 202, 203]
    assert history["loss"].notna().all()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, {0: 1, 50: 1, 119: 1}),
        ({"schedule": "cosine"}, {0: 1, 60: 0.5, 120: 0, 200: 0}),
        ({"schedule": "step"}, {0: 1, 19: 1, 20: 0.5, 40: 0.25, 119: 1 / 32}),
        ({"schedule": "trapezoid"}, {0: 1, 72: 1, 96: 0.5, 120: 0}),
        ({"schedule": "constant", "warmup_steps": 9}, {0: 0.1, 4: 0.5, 9: 1, 100: 1}),
        ({"schedule": "cosine", "warmup_steps": 119}, {60: 0.5 * 61 / 120}),
    ],
)
def test_learning_rate_over_time(settings: dict[str, Any], expected: dict[int, float]) -> None:
    factor = learning_rate_factor(TrainConfig(steps=120, **settings))
    assert {step: factor(step) for step in expected} == pytest.approx(expected)


def test_parts_of_the_network_have_their_own_learning_rates() -> None:
    model = ASID(ModelConfig(num_features=16))
    config = TrainConfig(learning_rate=0.01, rates={"deep": 0.5, "groups": 2, "groups.1": 3, "groups.2.esa": 2})
    rates = {
        id(parameter): (group["lr"], group["rate"])
        for group in parameter_groups(model, config)
        for parameter in group["params"]
    }
    expected = {"shallow": 1, "groups.0": 2, "groups.1": 3, "groups.2": 2, "deep": 0.5, "upsample": 1}
    for name, parameter in model.named_parameters():
        (factor,) = [factor for part, factor in expected.items() if name.startswith(part)]
        assert rates.pop(id(parameter)) == (pytest.approx(0.01 * factor), factor)
    assert not rates


def test_a_rate_changes_how_far_its_part_moves_and_nothing_in_the_curve(tiny_run: MakeRun, tmp_path: Path) -> None:
    start, moved = weights(ASID(tiny_run().model, seed=0)), {}
    for name, rates in (("plain", {}), ("slow", {"shallow": 0.01})):
        model = train(tiny_run(steps=2, rates=rates), tmp_path / name, progress=False)
        moved[name] = {key: (value - start[key]).norm().item() for key, value in weights(model).items()}
        assert read_history(tmp_path / name)["learning_rate"].iloc[0] == pytest.approx(2.5e-4)
    assert moved["slow"]["shallow.weight"] == pytest.approx(0.01 * moved["plain"]["shallow.weight"], rel=0.05)
    assert moved["slow"]["deep.weight"] == pytest.approx(moved["plain"]["deep.weight"], rel=0.2)


@pytest.mark.parametrize(
    ("part", "hint"), [("groups.3", "groups.2"), ("groups.0.blok", "groups.0.block"), ("deep.weigh", "deep.weight")]
)
def test_a_rate_for_an_unknown_part_is_refused(part: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"'{part}'; did you mean '{hint}'"):
        parameter_groups(ASID(ModelConfig(num_features=16)), TrainConfig(rates={part: 0.1}))


def test_the_value_range_is_that_of_images_in_training_and_of_the_saved_network(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    whole_forward = ASID.forward

    def forward(self: ASID, x: Tensor) -> Tensor:
        seen.append(x.detach())
        return whole_forward(self, x)

    monkeypatch.setattr(ASID, "forward", forward)
    model = train(tiny_run(steps=2, value_range=[-1, 1]), tmp_path, progress=False)
    assert model.value_range == (-1, 1)
    assert len(seen) == 3, "two steps and a validation"
    for images in seen:
        assert -1 <= images.min() < -0.5
        assert images.max() <= 1
