"""Whether this machine can train as a configuration says, before anything is loaded or started."""

import os

import torch

from asid.config import TrainConfig

_LAUNCHERS = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_SIZE", "LSB_JOBID")
"""Variables by which Lightning finds the other machines."""


def check_devices(settings: TrainConfig) -> None:
    """Raise ``ValueError`` if this machine does not have the devices, or nothing starts the other machines.

    Otherwise a training on several machines waits for them for half an hour, and one on too many processes starts them
    until memory is gone.
    """
    cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    kind = settings.accelerator
    if (kind == "gpu" and not (cuda or mps)) or (kind == "mps" and not mps):
        raise ValueError(f"train.accelerator: expected a device of this machine, got {kind}, which it lacks: set auto")
    on_gpu = kind != "cpu" and (cuda or mps)
    most = (cuda or 1) if on_gpu else os.cpu_count() or 1
    if settings.devices != "auto" and settings.devices > most:
        raise ValueError(
            f"train.devices: expected at most the {most} {'GPUs' if on_gpu else 'CPU cores'} of this machine, "
            f"got {settings.devices}"
        )
    if settings.num_nodes > 1 and not any(name in os.environ for name in _LAUNCHERS):
        raise ValueError(
            f"train.num_nodes: expected to be started on each of {settings.num_nodes} machines, by torchrun or SLURM "
            "(srun), got a plain command, which would wait for the others: set 1, or use one of these"
        )
