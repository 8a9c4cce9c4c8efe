"""Checkpoints from which an interrupted training resumes exactly: when they are written, and how."""

import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import safe_open

from asid.config import RunConfig, digest
from asid.files import CHECKPOINTS, WEIGHTS, atomic_write
from asid.model.base import Network
from asid.model.checkpoint import save_checkpoint

LOGGER = logging.getLogger(__name__)

LIGHTNING_VERSIONS = ("2.6",)
"""Minor versions of Lightning with which :func:`recount_micro_batches` is tested."""


def ends_step(trainer: L.Trainer, index: int) -> bool:
    """Whether an optimiser step ends with micro-batch ``index``."""
    return (index + 1) % trainer.accumulate_grad_batches == 0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint completely or not at all: on a full disk, Lightning's own loses the previous one, too."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write ``checkpoint`` to ``path``.

        Raises:
            OSError: The disk is full. Written to the file directly, PyTorch would hide that behind a ``RuntimeError``.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_write(path) as partial:
            partial.write_bytes(content.getbuffer())


class StepCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint, written at the end of an optimiser step, not after each micro-batch.

    If a validation is due at that step it is written after the validation: resuming from there, Lightning would not
    validate, and the curve would lack a point. Never at the end of the last step, for the same reason.
    """

    def __init__(self, path: Path, every: int, validate_every: int) -> None:
        self.validate_every = validate_every
        # save_top_k=1 without a monitor keeps the newest.
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
        """Save if a step ends here, a checkpoint is due, and no validation."""
        validates = trainer.global_step % self.validate_every == 0
        if ends_step(trainer, index) and trainer.global_step < trainer.max_steps and not validates:
            super().on_train_batch_end(trainer, module, outputs, batch, index)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save after the validation of a step at which a checkpoint is due."""
        if trainer.global_step < trainer.max_steps:
            super().on_train_batch_end(trainer, module, None, None, 0)


class PartCheckpoints(Callback):
    """Keeps the network after each part of the training in ``train.checkpoints``: its average weights, if it has such.

    Args:
        folder: Folder of the training.
        config: Configuration of the run.
        average: The callback that averages the weights. It must be called before this one.
    """

    def __init__(self, folder: Path, config: RunConfig, average: WeightAveraging | None) -> None:
        self.folder, self.config, self.average = folder, config, average
        self.parts = {round(part * config.train.steps): part for part in config.train.checkpoints}

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save the network if a part ends with this step."""
        part = self.parts.get(trainer.global_step)
        if part is None or not ends_step(trainer, index):
            return
        if self.average:  # what a validation would see
            self.average.on_validation_epoch_start(trainer, module)
        if trainer.is_global_zero:
            assert isinstance(module.model, Network)
            path = part_checkpoint(self.folder, part)
            save_checkpoint(module.model, path, run=self.config.to_dict(), step=trainer.global_step)
        if self.average:
            self.average.on_validation_epoch_end(trainer, module)


def part_checkpoint(folder: str | Path, part: float) -> Path:
    """The network that the training in ``folder`` kept after ``part`` of its steps."""
    return Path(folder) / CHECKPOINTS / f"{part:g}.safetensors"


def training_digest(config: RunConfig) -> str:
    """What a checkpoint says about the training that wrote it."""
    return digest(config.training_settings())


def saved_execution(path: Path, config: RunConfig) -> tuple[int, int | None]:
    """How the training that wrote the checkpoint at ``path`` is executed.

    Returns:
        Micro-batches per step, 1 if there is no checkpoint; and CPU threads, ``None`` if there is no checkpoint.

    A checkpoint that is damaged or that another training wrote is deleted, with a warning: that costs time, no results.
    """
    if not path.exists():
        return 1, None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # PyTorch does not compare the checksums
        content = torch.load(path, map_location="cpu", weights_only=True)
        if damaged is None and content["training"] == training_digest(config):
            return int(content["micro_batches"]), content.get("threads")
        problem = "is damaged" if damaged else "is that of another training"
    except Exception:  # whatever an unpickler makes of damaged bytes
        problem = "is damaged"
    LOGGER.warning("the checkpoint %s %s: starting again from step 0", path, problem)
    path.unlink()
    return 1, None


def recount_micro_batches(checkpoint: dict[str, Any], now: int) -> None:
    """Convert the progress in ``checkpoint``, in place, to ``now`` micro-batches per step.

    Lightning counts micro-batches, and has no public way to resume with another number of them per step.

    Raises:
        RuntimeError: The counts have to change, and it is not known how this version of Lightning stores them.
    """
    before = checkpoint["micro_batches"]
    if before == now:
        return
    if not L.__version__.startswith(tuple(f"{version}." for version in LIGHTNING_VERSIONS)):
        raise RuntimeError(
            f"resuming with {now} instead of {before} micro-batches per step edits Lightning's progress counts, "
            f"which is tested with Lightning {', '.join(LIGHTNING_VERSIONS)}, not with {L.__version__}: "
            "install one of these, or delete the checkpoint and start again with a smaller train.batch_size"
        )
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        more = counts["ready"] // before * (now - before)
        counts.update({name: count + more for name, count in counts.items()})


def read_execution(folder: str | Path) -> dict[str, Any]:
    """How the finished training in ``folder`` was executed, from the metadata of its weights.

    Returns:
        ``micro_batch``: patches that a device held at once; ``threads``: CPU threads; ``resumed_at``: the steps of the
        checkpoints from which it was resumed, in order.
    """
    with safe_open(Path(folder) / WEIGHTS, framework="pt") as file:
        return json.loads(file.metadata().get("execution", "{}"))
