"""Training with Lightning, counted in steps: L1 loss, AdamW, validation PSNR, checkpoints from which a killed run goes on exactly."""

import csv
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from asid.config import RunConfig, TrainConfig
from asid.data.images import find_images
from asid.data.patches import PatchDataset, ResumableSampler
from asid.data.resize import crop_to_multiple, downscale
from asid.files import CHECKPOINT, CONFIG, HISTORY, WEIGHTS
from asid.inference import upscale
from asid.metrics import score
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.network import ASID


class TrainingDivergedError(RuntimeError):
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


class _Training(L.LightningModule):
    """The network with its loss, optimiser and data, as Lightning wants them."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.run = config
        self.model = ASID(config.model, seed=config.seed)
        self.patches = PatchDataset(
            find_images(config.data.train, split="train"),
            scale=config.model.scale,
            patch_size=config.data.patch_size,
            augment=config.data.augment,
            border=config.data.border,
            seed=config.seed,
        )
        self.validation_pairs = []
        for photograph in find_images(config.data.validation):
            hr = crop_to_multiple(photograph.read(), config.model.scale)
            self.validation_pairs.append((downscale(hr, config.model.scale, config.data.border), hr))

    def train_dataloader(self) -> Iterable[Any]:
        train = self.run.train
        rank, devices = self.trainer.global_rank, self.trainer.world_size
        if train.batch_size % devices:
            raise ValueError(f"expected a train.batch_size that {devices} devices can share evenly, got {train.batch_size}")
        # Lightning does not rewind a loader on resume; the sampler starts where the optimiser stands.
        sampler = ResumableSampler(
            lambda: range(self.trainer.global_step * train.batch_size + rank, train.steps * train.batch_size, devices)
        )
        return DataLoader(self.patches, train.batch_size // devices, sampler=sampler, num_workers=train.loader_workers)

    def val_dataloader(self) -> Iterable[Any]:
        return DataLoader(range(len(self.validation_pairs)), batch_size=1)  # type: ignore[arg-type]

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

    def validation_step(self, batch: Tensor, index: int) -> None:
        lr, hr = self.validation_pairs[index]
        psnr, _ = score(upscale(self.model, lr), hr, crop=self.run.model.scale)
        self.log("psnr", psnr, prog_bar=True, batch_size=1, on_epoch=True)

    def configure_optimizers(self) -> Any:
        train = self.run.train
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=train.learning_rate, betas=train.betas, weight_decay=train.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class History(Callback):
    """Appends to ``history.csv``: step, mean training loss since the row before, learning rate, validation PSNR, seconds trained.

    Lightning's CSV logger deletes the file of a run that is resumed; this one keeps what came before the checkpoint. The file is
    also how somebody outside the process sees how far a run is.
    """

    COLUMNS = ("step", "loss", "learning_rate", "psnr", "seconds")

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.losses: list[Tensor] = []
        self.seconds = 0.0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._elapsed(), "losses": [float(loss) for loss in self.losses]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self.losses = state["seconds"], [torch.tensor(loss) for loss in state["losses"]]

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._clock

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._clock = time.perf_counter()
        if not trainer.is_global_zero:
            return
        kept = []
        if trainer.global_step and self.path.exists():
            kept = [row for row in csv.DictReader(self.path.open()) if int(row["step"]) <= trainer.global_step]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        self.losses.append(outputs["loss"].detach())
        if trainer.global_step % self.every == 0:
            self._write(trainer, psnr=None)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._write(trainer, psnr=float(trainer.callback_metrics["psnr"]))

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.losses:
            self._write(trainer, psnr=None)

    def _write(self, trainer: L.Trainer, psnr: float | None) -> None:
        if not trainer.is_global_zero:
            return
        loss = torch.stack(self.losses).mean().item() if self.losses else None
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.losses.clear()
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([trainer.global_step, loss, rate, psnr, round(self._elapsed(), 3)])


def read_history(folder: str | Path) -> pd.DataFrame:
    """The curves that a training in ``folder`` has written so far: one row a step with the columns of :class:`History`."""
    rows = pd.read_csv(Path(folder) / HISTORY)
    return rows.groupby("step", as_index=False).first()  # a validation adds a second row at its step


def train(config: RunConfig, folder: str | Path, *, progress: bool = True) -> ASID:
    """Train a network as ``config`` says, and leave it in ``folder``.

    A training that was interrupted goes on from its last checkpoint and ends with the weights it would have had; one that is done
    is not repeated: its network is returned. A folder belongs to one configuration.

    Raises
    ------
    ValueError : ``folder`` holds the training of another configuration.
    TrainingDivergedError : the loss is not finite; the message says what to change.
    ImageError : photographs that are missing, damaged or too small.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _check_owner(folder, config)
    if (folder / WEIGHTS).exists():
        return load_checkpoint(folder / WEIGHTS)
    module = _Training(config)
    (folder / CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    settings = config.train
    checkpoint = folder / CHECKPOINT
    callbacks: list[Callback] = [
        History(folder / HISTORY, every=max(1, settings.steps // 100)),
        # save_top_k=1 without a monitor keeps the newest; Lightning replaces the file in one step.
        ModelCheckpoint(
            folder,
            checkpoint.stem,
            every_n_train_steps=settings.checkpoint_every,
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        ),
    ]
    if settings.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=settings.ema_decay))
    with _quiet_lightning():
        trainer = L.Trainer(
            max_steps=settings.steps,
            max_epochs=-1,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            precision=settings.precision,
            gradient_clip_val=settings.gradient_clip,
            val_check_interval=min(settings.validate_every, settings.steps),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            logger=False,
            callbacks=callbacks,
            default_root_dir=folder,
        )
        trainer.fit(module, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    model = module.model.cpu().eval()
    if trainer.is_global_zero:
        save_checkpoint(model, folder / WEIGHTS, run=config.to_dict())
        checkpoint.unlink(missing_ok=True)
    return model


def _check_owner(folder: Path, config: RunConfig) -> None:
    """Raise where ``folder`` holds the training of another configuration."""
    path = folder / CONFIG
    if path.exists() and json.loads(path.read_text()) != config.to_dict():
        raise ValueError(f"{folder} holds the training of another configuration (see {path}): choose another folder or delete it")


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
