"""How a process uses its machine: which memory it keeps. Results do not depend on it, time does. No torch in here."""

import ctypes
import os
import platform
from functools import cache

KEEP_MEMORY = "ASID_KEEP_MEMORY"
"""Environment variable: 0 returns freed memory to the system at once, as the C library does by default."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024**2
"""Bytes; glibc refuses more on 64-bit machines."""


@cache
def keep_freed_memory() -> bool:
    """Keep the memory of freed tensors for the next ones, instead of returning it to the system after every layer.

    By default glibc returns large blocks at once, and the system has to clear the pages of the next ones: hundreds of
    thousands of page faults in the forward pass of one large image. The price is a higher peak. Only glibc (Linux) has
    these settings (``man mallopt``); the effect is measured in ``docs/execution.md``.

    Returns:
        Whether memory is kept: not on other systems, nor if the environment variable :data:`KEEP_MEMORY` is 0.
    """
    if os.environ.get(KEEP_MEMORY) == "0" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # -1 as trim threshold: the end of the heap is never returned.
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, -1))
