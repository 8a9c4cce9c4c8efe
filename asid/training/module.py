"""What is optimised: L1 loss, AdamW or Muon, the learning rate over time, and PSNR as validation."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import RunConfig, TrainConfig
from asid.data.images import RGBImage
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import comparable, psnr
from asid.model.base import Network
from asid.model.build import build_network
from asid.model.network import ASID
from asid.training.checkpoints import recount_micro_batches, training_digest
from asid.training.muon import Muon, is_matrix


class TrainingDivergedError(ValueError):
    """The loss is no longer a finite number."""


TRAPEZOID_DECAY = 0.4
"""Fraction of the run over which the trapezoid schedule decays to zero."""


def learning_rate_factor(config: TrainConfig) -> Callable[[int], float]:
    """The learning rate at a step (from 0) as a fraction of the peak."""

    def factor(step: int) -> float:
        warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
        progress = min(1.0, step / config.steps)
        shape = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "step": 0.5 ** int(6 * progress),
            "constant": 1.0,
            "trapezoid": min(1.0, (1 - progress) / TRAPEZOID_DECAY),
        }[config.schedule]
        return warmup * shape

    return factor


def parameter_groups(model: Network, config: TrainConfig) -> list[dict[str, Any]]:
    """The parameters by learning rate, as an optimiser takes them: ``params``, ``lr``, ``rate``, the factor, ``muon``.

    Raises:
        ValueError: A name in ``config.rates`` is not the beginning of any parameter's name.
    """
    names = [name for name, _ in model.named_parameters()]
    parts = {".".join(path.split(".")[:depth]) for path in names for depth in range(1, path.count(".") + 2)}
    if unknown := [part for part in config.rates if part not in parts]:
        close = get_close_matches(unknown[0], sorted(parts), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"train.rates: no parameter of this network begins with '{unknown[0]}'{hint}")
    alike: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        fitting = [part for part in config.rates if f"{name}.".startswith(f"{part}.")]
        rate = config.rates[max(fitting, key=len)] if fitting else 1.0
        alike.setdefault((config.optimizer == "muon" and is_matrix(name, parameter), rate), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": (config.muon_rate if muon else config.learning_rate) * rate,
            "rate": rate,
            "muon": muon,
        }
        for (muon, rate), parameters in alike.items()
    ]


class TrainingModule(L.LightningModule):
    """The network with its loss and its optimiser, as Lightning expects them.

    If a batch does not fit into memory it is divided into equal micro-batches. Lightning counts these
    (``accumulate_grad_batches`` per step), while its ``global_step`` counts optimiser steps.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.run = config
        self.model = build_network(config.model, seed=config.seed, value_range=config.train.value_range)

    def on_train_start(self) -> None:
        """Mark what the first step compiles, if this is wanted.

        Groups are compiled apart: those that make maps once, those that reuse them once, however many there are.
        """
        if self.run.train.compile:
            for part in self.model.groups if isinstance(self.model, ASID) else [self.model]:
                part.compile(dynamic=False)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """L1 loss of a micro-batch: LR (B, 3, p, p) and HR (B, 3, sp, sp) in [0, 1]."""
        low, high = self.model.value_range
        lr, hr = (images * (high - low) + low for images in batch)
        loss = F.l1_loss(self.model(lr), hr)
        if not torch.isfinite(loss):
            train = self.run.train
            raise TrainingDivergedError(
                f"the loss is {loss.item()} at step {self.trainer.global_step}: lower train.learning_rate "
                f"(now {train.learning_rate:g}), raise train.warmup_steps (now {train.warmup_steps}), "
                f"or set train.gradient_clip (now {train.gradient_clip})"
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Stop after the last step, but validate first: the curve ends with the weights that are saved."""
        if self.trainer.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[RGBImage, RGBImage], index: int) -> None:
        """PSNR of one image by the default protocol: LR (h, w, 3) and HR (sh, sw, 3), uint8."""
        lr, hr = batch
        with torch.compiler.set_stance("force_eager"):  # images of many sizes are not worth compiling for
            sr = upscale(self.model, lr)
        value = psnr(*comparable(sr, hr, crop=self.run.model.scale))
        self.log("psnr", value, prog_bar=True, batch_size=1, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW or Muon, with learning rates that change after each step."""
        train = self.run.train
        groups = parameter_groups(self.model, train)
        # In float16, Lightning cannot clip the gradients of a fused optimiser, which would undo their scaling itself.
        fused = train.precision != "16-mixed"
        optimizer = (Muon if train.optimizer == "muon" else torch.optim.AdamW)(
            groups, betas=train.betas, weight_decay=train.weight_decay, fused=fused
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store which training this is, and how many micro-batches a step has, which Lightning's counts depend on."""
        checkpoint["training"] = training_digest(self.run)
        checkpoint["micro_batches"] = self.trainer.accumulate_grad_batches
        checkpoint["threads"] = torch.get_num_threads()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Convert Lightning's counts if a step has more micro-batches now, because memory ran out."""
        recount_micro_batches(checkpoint, self.trainer.accumulate_grad_batches)
