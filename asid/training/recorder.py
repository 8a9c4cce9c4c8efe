"""Writes the curves of a training while it runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from asid.model.base import Network
from asid.training.checkpoints import ends_step
from asid.training.history import append_row, read_rows, write_rows


class HistoryRecorder(Callback):
    """Appends rows to ``history.csv`` (:mod:`asid.training.history`).

    Lightning's CSV logger deletes the file of a resumed training; this one writes the rows up to the checkpoint.

    Args:
        folder: Folder of the training.
        every: Steps between two rows; each validation adds one.
        on_history: Called with ``folder`` after each row.
    """

    def __init__(self, folder: Path, every: int, on_history: Callable[[Path], None] | None = None) -> None:
        self.folder, self.every, self.on_history = folder, every, on_history
        self.losses: list[Tensor] = []
        self.resumed_at: list[int] = []
        """Steps of the checkpoints from which this training was resumed."""
        self.rows: list[list[str]] = []
        """The rows up to the checkpoint, which keeps them: a power failure may damage the file."""
        self.seconds = 0.0
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint stores, so that a resumed training continues the curves exactly."""
        return {
            "seconds": self._elapsed(),
            "losses": [float(loss) for loss in self.losses],
            "resumed_at": self.resumed_at,
            "rows": read_rows(self.folder),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.seconds, self.losses = state["seconds"], [torch.tensor(loss) for loss in state["losses"]]
        self.resumed_at, self.rows = state["resumed_at"], state["rows"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock, and the file with the rows up to the checkpoint."""
        self._start = time.perf_counter()
        if trainer.global_step:
            self.resumed_at.append(trainer.global_step)
        if trainer.is_global_zero:
            write_rows(self.folder, self.rows)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Note the loss of the step, for images in [0, 1], and write a row if one is due."""
        assert isinstance(module.model, Network)
        low, high = module.model.value_range
        loss = outputs["loss"].detach() / (high - low)  # the micro-batch's share of the mean over the batch
        if index % trainer.accumulate_grad_batches == 0:
            self.losses.append(loss)
        else:
            self.losses[-1] = self.losses[-1] + loss
        if ends_step(trainer, index) and trainer.global_step % self.every == 0:
            self._write(trainer, psnr=None)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write a row with the validation PSNR."""
        if not trainer.sanity_checking:
            self._write(trainer, psnr=float(trainer.callback_metrics["psnr"]))

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._start

    def _write(self, trainer: L.Trainer, psnr: float | None) -> None:
        if not trainer.is_global_zero:
            return
        loss = torch.stack(self.losses).mean().item() if self.losses else None
        self.losses.clear()
        group = next(group for group in trainer.optimizers[0].param_groups if not group["muon"])
        rate = group["lr"] / group["rate"]  # without the factor of a part of the network
        append_row(self.folder, [trainer.global_step, loss, rate, psnr, round(self._elapsed(), 3)])
        if self.on_history is not None:
            self.on_history(self.folder)
