"""Checkpoints from which an interrupted training resumes exactly: when they are written, and how."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import safe_open

from asid.files import WEIGHTS, atomic_write

LIGHTNING_VERSIONS = ("2.6",)
"""Minor versions of Lightning with which :func:`recount_micro_batches` is tested."""


def ends_step(trainer: L.Trainer, index: int) -> bool:
    """Whether an optimiser step ends with micro-batch ``index``."""
    return (index + 1) % trainer.accumulate_grad_batches == 0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint completely or not at all: on a full disk, Lightning's own loses the previous one, too."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        with atomic_write(path) as partial:
            torch.save(checkpoint, partial)


class StepCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint, written at the end of an optimiser step, not after each micro-batch.

    Not at the end of the last step: resuming from there, Lightning would neither validate nor average the weights.
    """

    def __init__(self, path: Path, every: int) -> None:
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
        """Save if a step ends here and a checkpoint is due."""
        if ends_step(trainer, index) and trainer.global_step < trainer.max_steps:
            super().on_train_batch_end(trainer, module, outputs, batch, index)


def saved_micro_batches(path: Path) -> int:
    """Micro-batches per step of the training that wrote the checkpoint; 1 if there is no checkpoint."""
    return torch.load(path, map_location="cpu", weights_only=True)["micro_batches"] if path.exists() else 1


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
        ``micro_batch``: patches that a device held at once; ``resumed_at``: the steps of the checkpoints from which it
        was resumed, in order.
    """
    with safe_open(Path(folder) / WEIGHTS, framework="pt") as file:
        return json.loads(file.metadata().get("execution", "{}"))
