"""How a process uses its machine: how many threads, and which memory it keeps. Importing this imports no torch.

Time depends on this, results do not, but for the last digits: threads decide in which order numbers are added.
"""

import ctypes
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

KEEP_MEMORY = "ASID_KEEP_MEMORY"
"""Environment variable: 0 returns freed memory to the system at once, as the C library does by default."""

THREADS = "ASID_THREADS"
"""Environment variable: the number of CPU threads, instead of a trial."""

_TRIAL = 1.0
"""Seconds that a trial takes at most."""
_GAIN = 0.9
"""More threads have to lower the time to this share of it: they take cores from other work."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


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
    # No block gets a mapping of its own, which would be unmapped when it is freed. A higher threshold for them
    # (M_MMAP_THRESHOLD) is not enough: glibc refuses more than 32 MiB, which is a feature map of 420×420 pixels.
    # -1 as trim threshold: the end of the heap is never returned.
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, -1))


def chosen_threads() -> int | None:
    """The number of threads that the user has chosen by :data:`THREADS`, or ``None``.

    Raises:
        ValueError: It is not a whole number above 0.
    """
    text = os.environ.get(THREADS)
    if not text:
        return None
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{THREADS}={text}: expected a whole number of threads above 0")
    return int(text)


def fit_threads(network: "nn.Module", image: "Tensor") -> int:
    """Set the number of torch's CPU threads to what is fastest for ``network`` on this machine, as loaded now.

    On a busy machine every operation waits for the thread that got no core, and many small operations take ten times
    as long with two threads as with one. So this tries 1, 2, 4 … threads, up to the number that torch is set to, and
    stops when more do not pay. What the user has set is kept: by :data:`THREADS`, ``OMP_NUM_THREADS``,
    ``MKL_NUM_THREADS``, or, as the most that is tried, by ``torch.set_num_threads``, also after an earlier trial.

    Args:
        network: What will be trained or applied, on the CPU.
        image: A small input (B, 3, H, W), to be repeated.

    Returns:
        The number of threads, as it is set now.
    """
    import torch

    if (chosen := chosen_threads()) is not None:
        set_threads(chosen)
    elif not ({"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ)) and (most := _most_threads()) > 1:
        deadline = time.perf_counter() + _TRIAL
        with torch.no_grad(), _stopping(network, deadline):
            fastest = _fastest(lambda: network(image), most, deadline)
        torch.set_num_threads(most)
        set_threads(fastest)
    return torch.get_num_threads()


_set_here: tuple[int, int] | None = None
"""The number of threads that this module has set last, and the number that the user had set before."""


def set_threads(number: int) -> None:
    """Set torch's number of CPU threads, so that a later trial does not take it for a choice of the user."""
    global _set_here
    import torch

    _set_here = (number, _most_threads())
    torch.set_num_threads(number)


def _most_threads() -> int:
    """The number of threads that the user, or torch by itself, has set."""
    import torch

    now = torch.get_num_threads()
    return _set_here[1] if _set_here and _set_here[0] == now else now


class _OutOfTimeError(Exception):
    """A trial takes too long: one pass with too many threads may take a minute."""


@contextmanager
def _stopping(network: "nn.Module", deadline: float) -> Iterator[None]:
    """Inside, ``network`` raises :class:`_OutOfTimeError` in whichever module it is at the ``deadline``."""

    def check(*_: object) -> None:
        if time.perf_counter() > deadline:
            raise _OutOfTimeError

    hooks = [module.register_forward_pre_hook(check) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _fastest(work: Callable[[], object], most: int, deadline: float) -> int:
    """The number of threads, up to ``most``, with which ``work`` is fastest."""
    import torch

    candidates = [threads for threads in (2**power for power in range(16)) if threads < most] + [most]
    fastest, least = 1, float("inf")
    for threads in candidates:
        torch.set_num_threads(threads)
        try:
            work()  # starts the threads, and allocates
            seconds = _seconds_each(work, min(deadline, time.perf_counter() + _TRIAL / len(candidates) / 2))
        except _OutOfTimeError:
            break
        if seconds > _GAIN * least:
            break
        fastest, least = threads, seconds
    return fastest


def _seconds_each(work: Callable[[], object], until: float) -> float:
    """Mean seconds of ``work``, repeated until the clock shows ``until``. The mean: what stalls now and then counts."""
    start, times = time.perf_counter(), 0
    while not times or time.perf_counter() < until:
        work()
        times += 1
    return (time.perf_counter() - start) / times
