"""Training with Lightning, counted in steps: L1 loss, AdamW, validation PSNR, checkpoints from which a killed run goes on exactly."""

import gc
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader

from asid.config import RunConfig, TrainConfig
from asid.data.images import manifest_hash
from asid.data.patches import PatchDataset, ResumableSampler
from asid.data.resize import crop_to_multiple, downscale
from asid.data.sources import find_images
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import score
from asid.files import CHECKPOINT, CONFIG, WEIGHTS, atomic_write, read_json, write_json
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.network import ASID
from asid.training.history import append_row, read_rows, write_rows

LOGGER = logging.getLogger(__name__)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""LR and HR image of a validation photograph, uint8 (H, W, 3) and (sH, sW, 3)."""


class TrainingDivergedError(ValueError):
    """The loss is no longer a finite number."""


def learning_rate_factor(config: TrainConfig) -> Callable[[int], float]:
    """The learning rate at a step (from 0) as a fraction of the peak."""

    def factor(step: int) -> float:
        warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
        progress = min(1.0, step / config.steps)
        shape = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "step": 0.5 ** int(6 * progress),
            "constant": 1.0,
        }[config.schedule]
        return warmup * shape

    return factor


class TrainingModule(L.LightningModule):
    """The network with its loss and its optimiser, as Lightning wants them.

    A batch is taken in equal micro-batches where it does not fit into memory. Lightning counts those, as ``accumulate_grad_batches``
    to a step, and its ``global_step`` counts steps of the optimiser.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.run = config
        self.model = ASID(config.model, seed=config.seed)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        lr, hr = batch
        loss = F.l1_loss(self.model(lr), hr)
        if not torch.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss is {loss.item()} at step {self.trainer.global_step}: lower train.learning_rate "
                f"(now {self.run.train.learning_rate:g}), raise train.warmup_steps (now {self.run.train.warmup_steps}), "
                f"or set train.gradient_clip (now {self.run.train.gradient_clip})"
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        if self.trainer.global_step == self.trainer.max_steps:
            self.trainer.should_stop = (
                True  # Lightning then validates first, and the curve ends with the weights that are saved
            )

    def validation_step(self, batch: Pair, index: int) -> None:
        lr, hr = batch
        psnr, _ = score(upscale(self.model, lr), hr, crop=self.run.model.scale)
        self.log("psnr", psnr, prog_bar=True, batch_size=1, on_epoch=True)

    def configure_optimizers(self) -> Any:
        train = self.run.train
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=train.learning_rate, betas=train.betas, weight_decay=train.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["micro_batches"] = self.trainer.accumulate_grad_batches

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Where memory ran out since, a step has more micro-batches now than those that Lightning counted before the checkpoint.
        before, now = checkpoint["micro_batches"], self.trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            more = counts["ready"] // before * (now - before)
            counts.update({name: count + more for name, count in counts.items()})


def _ends_step(trainer: L.Trainer, index: int) -> bool:
    """Whether a step of the optimiser ends with micro-batch ``index``."""
    return (index + 1) % trainer.accumulate_grad_batches == 0


class History(Callback):
    """Appends to ``history.csv``: step, mean training loss since the row before, learning rate, validation PSNR, seconds trained.

    Lightning's CSV logger deletes the file of a run that is resumed; this one keeps what came before the checkpoint. The file is
    also how somebody outside the process sees how far a run is. ``resumed_at`` has the steps at which this history was resumed.
    """

    def __init__(self, folder: Path, every: int, on_history: Callable[[Path], None] | None = None) -> None:
        self.folder, self.every, self.on_history = folder, every, on_history
        self.losses: list[Tensor] = []
        self.resumed_at: list[int] = []
        self.seconds = 0.0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "seconds": self._elapsed(),
            "losses": [float(loss) for loss in self.losses],
            "resumed_at": self.resumed_at,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self.losses = state["seconds"], [torch.tensor(loss) for loss in state["losses"]]
        self.resumed_at = state["resumed_at"]

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._clock

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._clock = time.perf_counter()
        if trainer.global_step:
            self.resumed_at.append(trainer.global_step)
        if not trainer.is_global_zero:
            return
        write_rows(self.folder, [row for row in read_rows(self.folder) if int(row[0]) <= trainer.global_step])

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        loss = outputs["loss"].detach()  # the micro-batch's share of the mean over the batch
        if index % trainer.accumulate_grad_batches == 0:
            self.losses.append(loss)
        else:
            self.losses[-1] = self.losses[-1] + loss
        if _ends_step(trainer, index) and trainer.global_step % self.every == 0:
            self._write(trainer, psnr=None)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._write(trainer, psnr=float(trainer.callback_metrics["psnr"]))

    def _write(self, trainer: L.Trainer, psnr: float | None) -> None:
        if not trainer.is_global_zero:
            return
        loss = torch.stack(self.losses).mean().item() if self.losses else None
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.losses.clear()
        append_row(self.folder, [trainer.global_step, loss, rate, psnr, round(self._elapsed(), 3)])
        if self.on_history is not None:
            self.on_history(self.folder)


class _WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside the one before and then takes its name: on a full disk, Lightning's own way loses both."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        with atomic_write(path) as partial:
            torch.save(checkpoint, partial)


class _StepCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint, written at the end of a step, which is not after each micro-batch.

    Not at the end of the last step: from there, Lightning would neither validate nor average the weights.
    """

    def __init__(self, path: Path, every: int) -> None:
        # save_top_k=1 without a monitor keeps the newest; Lightning replaces the file in one step.
        super().__init__(
            path.parent,
            path.stem,
            every_n_train_steps=every,
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if _ends_step(trainer, index) and trainer.global_step < trainer.max_steps:
            super().on_train_batch_end(trainer, module, outputs, batch, index)


def read_execution(folder: str | Path) -> dict[str, Any]:
    """How the training that is done in ``folder`` was executed.

    ``micro_batch``: patches that a device held at once; ``resumed_at``: the steps at which it was resumed from a checkpoint, in order
    (what was trained after a checkpoint and lost is no part of it).
    """
    with safe_open(Path(folder) / WEIGHTS, framework="pt") as file:
        return json.loads(file.metadata().get("execution", "{}"))


def train(
    config: RunConfig, folder: str | Path, *, progress: bool = True, on_history: Callable[[Path], None] | None = None
) -> ASID:
    """Train a network as ``config`` says, and leave it in ``folder``.

    A training that was interrupted goes on from its last checkpoint and ends with the weights it would have had; one that is done
    is not repeated: its network is returned. A folder belongs to one configuration. ``on_history`` is called with ``folder`` each time
    that there is more for :func:`asid.training.history.read_history` to read: a hundred times, and after each validation.

    Where a step runs out of memory, the training goes on from its last checkpoint, or starts again, and takes each batch in
    micro-batches of half the size: the gradient is the same mean over the whole batch, but for the order in which it is summed.

    Raises
    ------
    ValueError : ``folder`` holds the training of another configuration.
    TrainingDivergedError : the loss is not finite; the message says what to change.
    MemoryError : a step does not fit into memory, not even patch by patch; on several devices, it is not tried in smaller parts.
    ImageError : photographs that are missing, damaged or too small.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, config)
    if (folder / WEIGHTS).exists():
        return load_checkpoint(folder / WEIGHTS)
    patches, pairs = _read_photographs(config)
    batch, checkpoint = config.train.batch_size, folder / CHECKPOINT
    parts = torch.load(checkpoint, map_location="cpu", weights_only=True)["micro_batches"] if checkpoint.exists() else 1
    while True:
        try:
            _fit(config, patches, pairs, folder, parts, progress, on_history)
            return load_checkpoint(folder / WEIGHTS)  # what is evaluated next is what was saved
        except _StepOutOfMemoryError:
            micro_batch = batch // parts
        smaller = max(size for size in range(1, micro_batch // 2 + 1) if batch % size == 0)
        LOGGER.warning(
            "out of memory in a training step: trying again %s with micro-batches of %d instead of %d patches; the batch stays at %d",
            "from the last checkpoint" if checkpoint.exists() else "from the start",
            smaller,
            micro_batch,
            batch,
        )
        parts = batch // smaller
        gc.collect()  # the failed attempt is held by cycles of references
        torch.cuda.empty_cache()


def _read_photographs(config: RunConfig) -> tuple[PatchDataset, list[Pair]]:
    patches = PatchDataset(
        find_images(config.data.train, split="train"),
        scale=config.model.scale,
        patch_size=config.data.patch_size,
        augment=config.data.augment,
        border=config.data.border,
        seed=config.seed,
    )
    pairs = []
    for photograph in find_images(config.data.validation):
        hr = crop_to_multiple(photograph.read(), config.model.scale)
        pairs.append((downscale(hr, config.model.scale, config.data.border), hr))
    return patches, pairs


class _StepOutOfMemoryError(Exception):
    """A training step of more than one patch ran out of memory."""


def _fit(
    config: RunConfig,
    patches: PatchDataset,
    pairs: list[Pair],
    folder: Path,
    parts: int,
    progress: bool,
    on_history: Callable[[Path], None] | None,
) -> None:
    """Train from the last checkpoint, or from the start, with each device's share of a batch in ``parts`` micro-batches."""
    settings = config.train
    checkpoint = folder / CHECKPOINT
    module = TrainingModule(config)
    history = History(folder, every=max(1, settings.steps // 100), on_history=on_history)
    callbacks: list[Callback] = [history, _StepCheckpoint(checkpoint, settings.checkpoint_every)]
    if settings.ema_decay is not None:
        # Not the buffers: they hold indices of the position bias, and the mean of equal integers need not be that integer.
        callbacks.append(EMAWeightAveraging(decay=settings.ema_decay, use_buffers=False))
    with _quiet_lightning():
        trainer = L.Trainer(
            max_steps=settings.steps,
            max_epochs=-1,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            precision=settings.precision,
            accumulate_grad_batches=parts,
            gradient_clip_val=settings.gradient_clip,
            val_check_interval=settings.validate_every * parts,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            logger=False,
            plugins=[_WholeFiles()],
            callbacks=callbacks,
            default_root_dir=folder,
        )
        devices = trainer.world_size
        if settings.batch_size % (devices * parts):
            raise ValueError(
                f"expected a train.batch_size that {devices} devices can share evenly, in {parts} micro-batches each, "
                f"got {settings.batch_size}"
            )
        micro_batch = settings.batch_size // (devices * parts)
        # Lightning does not rewind a loader on resume; the sampler starts where the optimiser stands.
        sampler = ResumableSampler(
            lambda: range(
                trainer.global_step * settings.batch_size + trainer.global_rank,
                settings.steps * settings.batch_size,
                devices,
            )
        )
        try:
            trainer.fit(
                module,
                DataLoader(patches, micro_batch, sampler=sampler, num_workers=settings.loader_workers),
                DataLoader(pairs, batch_size=None, collate_fn=lambda pair: pair),  # type: ignore[arg-type]
                ckpt_path=checkpoint if checkpoint.exists() else None,
                weights_only=True,
            )
        except RuntimeError as error:
            if not (_is_out_of_memory(error) and module.training):  # in a validation, micro-batches are no remedy
                raise
            if micro_batch > 1 and devices == 1:
                raise _StepOutOfMemoryError from error
            size = config.data.patch_size
            raise MemoryError(
                f"expected memory for a training step with {micro_batch} × {size}×{size} LR pixels on a device, got too little: lower "
                f"data.patch_size, choose a smaller network (model.num_features, model.num_groups), run fewer trainings at a time "
                f"(--workers), or, on several devices, lower train.batch_size"
            ) from error
    if trainer.is_global_zero:
        execution = {"micro_batch": micro_batch, "resumed_at": history.resumed_at}
        save_checkpoint(module.model.cpu(), folder / WEIGHTS, run=config.to_dict(), execution=execution)
        checkpoint.unlink(missing_ok=True)
    trainer.strategy.barrier()  # the processes of the other devices read what the first has written


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether ``error`` is one of those that torch raises when a device has no memory left: there is no single one."""
    signs = (
        "out of memory",
        "can't allocate memory",
        "DefaultCPUAllocator",
    )  # Apple's GPUs; the CPU on Linux; on Windows
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def _claim(folder: Path, config: RunConfig) -> None:
    """Write the configuration to ``folder``, with hashes of the images; raise if it holds another training."""
    path = folder / CONFIG
    images = {
        "train": manifest_hash(find_images(config.data.train, split="train")),
        "validation": manifest_hash(find_images(config.data.validation)),
    }
    content = {**config.to_dict(), "images": images}
    before = read_json(path) if path.exists() else content
    if before == content and path.exists():
        return
    if _training_in(before) != _training_in(content):
        raise ValueError(f"{folder} holds another training (see {path}): choose another folder or delete it")
    write_json(path, content)


def _training_in(content: dict[str, Any]) -> dict[str, Any] | None:
    """What decides the weights and the curves, of a configuration file; ``None`` for one that cannot be read."""
    fields = dict(content)
    images = fields.pop("images", None)
    try:
        return {**RunConfig.model_validate(fields).training_settings(), "images": images}
    except ValueError:
        return None


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silences Lightning's hints about devices, workers and folders; errors still show."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
