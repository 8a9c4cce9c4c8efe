"""The machine that a bench runs on: what it is, how busy it is, and what its matrix products reach."""

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from asid.bench.setting import available_cores
from asid.bench.timing import threads, time_in_turn
from asid.runs.record import provenance

_SIDE = 1536
"""Side of the matrices whose product is timed."""


@cache
def matmul_peak(number: int) -> float:
    """GFLOP/s of the product of two large matrices, float32, with ``number`` threads: the best of five."""
    a, b = torch.ones(_SIDE, _SIDE), torch.ones(_SIDE, _SIDE)
    with threads(number):
        times = time_in_turn({"product": lambda: a @ b}, 5)["product"]
    return 2 * _SIDE**3 / min(times) / 1e9


def load() -> float:
    """Processes that ran or waited for a core, mean over the last minute."""
    return round(psutil.getloadavg()[0], 2)


def describe_machine() -> dict[str, Any]:
    """Machine, versions and settings, as JSON values."""
    return {
        **provenance(),
        "cpu": _cpu_model(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": available_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "libc": " ".join(platform.libc_ver()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name in _SETTINGS},
        "matmul_gflops": {str(number): round(matmul_peak(number), 1) for number in sorted({1, available_cores()})},
    }


_SETTINGS = {"ASID_KEEP_MEMORY", "ASID_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS"}


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
