"""How many CPU threads a training uses."""

import torch

from asid.config import RunConfig
from asid.model.build import build_network
from asid.process import fit_threads
from asid.training.devices import device_type

_TRIAL_PIXELS = 1024
"""LR pixels of the forward pass that is tried: a part of a batch."""
_TRIAL_SIDE = 32
"""Largest side of its patches, in LR pixels."""


def fit_training_threads(config: RunConfig) -> int:
    """Set the number of threads to what is fastest for this training now (:func:`asid.process.fit_threads`).

    The trial has a network of its own, and leaves the global random state as it is. With a GPU, or with several
    devices, the number stays as it is.
    """
    train = config.train
    if device_type(train.accelerator) != "cpu" or (train.devices, train.num_nodes) != (1, 1):
        return torch.get_num_threads()
    side = min(config.data.patch_size, _TRIAL_SIDE)
    batch = min(train.batch_size, max(1, _TRIAL_PIXELS // side**2))
    return fit_threads(build_network(config.model, seed=config.seed), torch.zeros(batch, 3, side, side))
