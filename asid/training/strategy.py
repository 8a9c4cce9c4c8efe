"""How the processes of a training on several devices of one machine find each other."""

import atexit
import os
import socket
import sys
from typing import Any

import psutil
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from asid.config import TrainConfig
from asid.training.devices import LAUNCHERS, device_type


def strategy_of(settings: TrainConfig) -> Any:
    """Lightning's ``strategy``: ours if the processes of a training are all started by it on this machine."""
    devices = settings.devices
    if devices == "auto":
        devices = torch.cuda.device_count() if device_type(settings.accelerator) == "cuda" else 1
    launched = any(name in os.environ for name in LAUNCHERS if name != "NODE_RANK")  # Lightning sets this one, too
    if devices == 1 or settings.num_nodes > 1 or launched:
        return "auto"
    return LocalStrategy(start_method="fork" if hasattr(sys, "ps1") else "popen")  # as Lightning does in notebooks


class LocalStrategy(DDPStrategy):
    """Data parallel on one machine, over the loopback interface.

    By default PyTorch's key-value store, by which the processes find each other, listens on all interfaces, and takes
    commands from everyone (``MASTER_ADDR`` says only where the others look for it). So do the processes among each
    other, at the address of the machine's name.
    """

    def setup_distributed(self) -> None:
        """Connect the processes; Lightning's own set-up finds them connected."""
        self.set_world_ranks()
        environment = self.cluster_environment
        assert environment is not None
        assert self._timeout is not None
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", _loopback())
        rank, world, port = environment.global_rank(), environment.world_size(), environment.main_port
        listener = socket.create_server(("127.0.0.1", port)).detach() if rank == 0 else None
        store = distributed.TCPStore("127.0.0.1", port, world, rank == 0, self._timeout, master_listen_fd=listener)
        distributed.init_process_group(
            self._get_process_group_backend(), store=store, rank=rank, world_size=world, timeout=self._timeout
        )
        atexit.register(_leave)
        super().setup_distributed()


def _loopback() -> str:
    """The name of the loopback interface."""
    addresses = psutil.net_if_addrs()
    return next((name for name in addresses if any(item.address == "127.0.0.1" for item in addresses[name])), "lo")


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
