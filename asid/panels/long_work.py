"""Work that takes minutes, beside the kernel's other work: how far it is, the time that is left, and *Cancel*."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TypeVar

import ipywidgets as widgets

from asid.panels.panel import show_error

Result = TypeVar("Result")
OnPart = Callable[[int, int], None]
"""Called with the number of parts that are done, and of all."""


class LongWork:
    """A progress bar with the time that is left and a *Cancel* button, which show while something is being done."""

    def __init__(self) -> None:
        self.bar = widgets.IntProgress(min=0, layout=widgets.Layout(width="240px"))
        self.label = widgets.Label()
        self.cancel_button = widgets.Button(description="Cancel", icon="stop", layout=widgets.Layout(width="100px"))
        self.cancel_button.on_click(lambda _: self.cancel())
        self.error = widgets.HTML()
        self._row = widgets.HBox([self.bar, self.label, self.cancel_button])
        self._row.layout.display = "none"
        self.box = widgets.VBox([self._row, self.error])
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being done."""
        return self._row.layout.display is None

    def start(self, name: str, work: Callable[[OnPart], Result], done: Callable[[Result], None]) -> None:
        """Do ``work`` in a thread, and call ``done`` with its result; what was being done is cancelled.

        Args:
            name: What is being done, to show.
            work: Called with a function that it must call after each part of its work.
            done: Called in the thread, unless the work was cancelled or failed.
        """
        self.cancel()
        self._stop = stop = threading.Event()
        self.bar.value, self.bar.max, self.error.value, self.label.value = 0, 1, "", f"{name} …"
        self._row.layout.display = None
        began = time.monotonic()

        def on_part(finished: int, total: int) -> None:
            if stop.is_set():
                raise CancelledError
            self.bar.max, self.bar.value = total, finished
            left = (time.monotonic() - began) / finished * (total - finished)
            self.label.value = f"{name}: {finished} of {total} tiles, {describe_time(left)} left"

        def run() -> None:
            try:
                result = work(on_part)
                if stop.is_set():
                    return
            except CancelledError:
                return
            except Exception as error:
                self.error.value = show_error(error)
                self._hide(stop)
                return
            self._hide(stop)
            done(result)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the part in work, and throw away what was done."""
        self._stop.set()
        self._row.layout.display = "none"

    def wait(self) -> None:
        """Wait until the work has ended."""
        if self._thread:
            self._thread.join()

    def _hide(self, stop: threading.Event) -> None:
        if not stop.is_set():
            self._row.layout.display = "none"


def describe_time(seconds: float) -> str:
    """A time to come, roughly: ``40 s``, ``6 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
