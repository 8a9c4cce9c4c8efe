"""How many CPU threads a training uses."""

import torch
import torch.nn.functional as F

from asid.config import RunConfig
from asid.model.network import ASID
from asid.process import fit_threads

_TRIAL_PIXELS = 1024
"""LR pixels of the step that is tried: a part of a batch."""
_TRIAL_SIDE = 32
"""Largest side of its patches, in LR pixels."""


def fit_training_threads(config: RunConfig) -> int:
    """Set the number of threads to what is fastest for this training now (:func:`asid.process.fit_threads`).

    The trial has a network of its own, and leaves the global random state as it is. With a GPU, or with several
    devices, the number stays as it is.
    """
    train = config.train
    on_gpu = train.accelerator not in ("auto", "cpu") or (train.accelerator == "auto" and torch.cuda.is_available())
    if on_gpu or (train.devices, train.num_nodes) != (1, 1):
        return torch.get_num_threads()
    side, scale = min(config.data.patch_size, _TRIAL_SIDE), config.model.scale
    batch = min(train.batch_size, max(1, _TRIAL_PIXELS // side**2))
    network = ASID(config.model, seed=config.seed)
    lr, hr = torch.zeros(batch, 3, side, side), torch.ones(batch, 3, scale * side, scale * side)
    return fit_threads(lambda: F.l1_loss(network(lr), hr).backward())
