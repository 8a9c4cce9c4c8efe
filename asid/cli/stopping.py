"""Ctrl-C and SIGTERM: the first stops a command cleanly, the second at once. Either way no process is left behind."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from rich.console import Console


@contextmanager
def stops_cleanly(console: Console) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM ends the command with status 130 or 143 after it has closed what it opened.

    It raises ``SystemExit``, which libraries let pass: Lightning turns a ``KeyboardInterrupt`` into status 1 and, left
    alone, a SIGTERM into status 0, which a scheduler takes for a finished job. The second signal kills.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import psutil  # noqa: F401  # now: not in a signal handler, which may interrupt another import

    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _kill_all(128 + number)
        asked = True
        with suppress(RuntimeError, OSError):  # it interrupts another print, or the terminal is gone
            console.print("stopping; interrupt again to stop immediately", highlight=False)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill_all(status: int) -> NoReturn:
    import psutil  # loaded by now

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(status)
