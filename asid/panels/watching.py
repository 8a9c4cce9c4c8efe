"""Looking at something again and again, beside a notebook's cells and callbacks."""

import threading
import time
from collections.abc import Callable

_SHARE = 0.1
"""Largest share of the time that is spent on looking."""


class Watcher:
    """A thread that calls a function at intervals, which grow if the function is slow.

    Args:
        look: Called without arguments. What it raises ends the thread.
        seconds: The interval.
    """

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="asid-watcher")

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def look_now(self) -> None:
        """Cut the present interval short."""
        self._wanted.set()

    def stop(self) -> None:
        """End after the present look."""
        self._ended.set()
        self._wanted.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            start = time.perf_counter()
            self._look()
            self._wanted.wait(max(self._seconds, (time.perf_counter() - start) / _SHARE))
            self._wanted.clear()
