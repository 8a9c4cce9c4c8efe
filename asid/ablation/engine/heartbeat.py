"""The heartbeat of a run: a file that shows other processes, also on other machines, whether the run is alive."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, Field

from asid.files import HEARTBEAT, read_json, write_json

BEAT = 5.0
"""Seconds between two heartbeats of a running run."""
LOST = 60.0
"""Seconds without a heartbeat after which a run on another machine counts as dead."""


class _Beat(BaseModel):
    """Content of the file."""

    host: str
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    started: float


@contextmanager
def heartbeat(folder: Path, run_id: str) -> Iterator[None]:
    """While the context is open, ``folder`` shows that this process executes the run."""
    me = psutil.Process()
    content = {"run_id": run_id, "host": socket.gethostname(), "pid": me.pid, "started": me.create_time()}
    path = write_json(folder / HEARTBEAT, content)
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


def is_alive(folder: Path) -> bool | None:
    """Whether the process that started the run in ``folder`` still executes it.

    Returns:
        ``None`` if no process has started it, or the last one exited normally.
    """
    path = folder / HEARTBEAT
    try:
        beat, beaten = _Beat.model_validate(read_json(path)), path.stat().st_mtime
    except OSError:
        return None
    except ValueError:  # damaged
        return False
    if beat.host != socket.gethostname():
        return abs(time.time() - beaten) < LOST  # its clock may be ahead
    with suppress(psutil.Error):
        process = psutil.Process(beat.pid)
        return abs(process.create_time() - beat.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    return False
