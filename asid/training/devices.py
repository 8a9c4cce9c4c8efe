"""On which device a training runs, and whether this machine can train as a configuration says."""

import os
from typing import Literal

import torch

from asid.config import TrainConfig

LAUNCHERS = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_SIZE", "LSB_JOBID")
"""Variables by which Lightning finds the other machines."""


def device_type(accelerator: str) -> Literal["cuda", "mps", "cpu"]:
    """Where Lightning trains with this ``train.accelerator`` on this machine; ``cpu`` if it lacks what is asked for."""
    if accelerator in ("auto", "gpu") and torch.cuda.device_count():
        return "cuda"
    return "mps" if accelerator != "cpu" and torch.backends.mps.is_available() else "cpu"


def check_devices(settings: TrainConfig) -> None:
    """Raise ``ValueError`` if this machine does not have the devices, or nothing starts the other machines.

    Otherwise a training on several machines waits for them for half an hour, and one on too many processes starts them
    until memory is gone.
    """
    kind, device = settings.accelerator, device_type(settings.accelerator)
    if kind in ("gpu", "mps") and device == "cpu":
        raise ValueError(f"train.accelerator: expected a device of this machine, got {kind}, which it lacks: set auto")
    most = {"cuda": torch.cuda.device_count(), "mps": 1, "cpu": os.cpu_count() or 1}[device]
    if settings.devices != "auto" and settings.devices > most:
        raise ValueError(
            f"train.devices: expected at most the {most} {'CPU cores' if device == 'cpu' else 'GPUs'} of this machine, "
            f"got {settings.devices}"
        )
    if settings.num_nodes > 1 and not any(name in os.environ for name in LAUNCHERS):
        raise ValueError(
            f"train.num_nodes: expected to be started on each of {settings.num_nodes} machines, by torchrun or SLURM "
            "(srun), got a plain command, which would wait for the others: set 1, or use one of these"
        )
