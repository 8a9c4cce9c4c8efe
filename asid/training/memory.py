"""A training step that does not fit into memory: how it is recognised, and how its batch is divided further."""

import torch


class StepOutOfMemoryError(Exception):
    """A training step ran out of memory, and smaller micro-batches may help."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether ``error`` says that a device has no memory left. PyTorch has no single class for it."""
    signs = (
        "out of memory",  # Apple's GPUs
        "can't allocate memory",  # the CPU on Linux
        "DefaultCPUAllocator",  # the CPU on Windows
    )
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def smaller_micro_batch(batch: int, micro_batch: int) -> int:
    """The largest divisor of ``batch`` that is at most half of ``micro_batch``, in patches."""
    return max(size for size in range(1, micro_batch // 2 + 1) if batch % size == 0)
