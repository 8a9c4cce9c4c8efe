"""The heartbeat of a run: a file that shows other processes, also on other machines, whether the run is alive."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asid.files import HEARTBEAT, read_json, write_json
from asid.runs.owner import Owner

BEAT = 5.0
"""Seconds between two heartbeats of a running run."""
LOST = 60.0
"""Seconds without a heartbeat after which a run on another machine counts as dead."""


@contextmanager
def heartbeat(folder: Path, run_id: str) -> Iterator[None]:
    """While the context is open, ``folder`` shows that this process executes the run."""
    path = write_json(folder / HEARTBEAT, {"run_id": run_id, **Owner.me().model_dump()})
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def read_owner(folder: Path) -> Owner | None:
    """The process that has started what is done in ``folder``, dead or alive; ``None`` if the last one ended normally.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return Owner.model_validate(read_json(folder / HEARTBEAT))
    except FileNotFoundError:
        return None


def is_alive(folder: Path) -> bool | None:
    """Whether the process that started the run in ``folder`` still executes it.

    Returns:
        ``None`` if no process has started it, or the last one exited normally.
    """
    try:
        owner, beaten = read_owner(folder), (folder / HEARTBEAT).stat().st_mtime
    except OSError:
        return None
    except ValueError:  # damaged
        return False
    if owner is None:
        return None
    alive = owner.lives()
    return abs(time.time() - beaten) < LOST if alive is None else alive  # the clock of another machine may be ahead
