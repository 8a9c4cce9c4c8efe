"""Which process works in a folder: written to a file, for processes on this and other machines. No torch in here."""

import socket
import time
from contextlib import suppress
from typing import Annotated

import psutil
from pydantic import BaseModel, Field


class Owner(BaseModel):
    """A process."""

    host: str
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    started: float
    """When it started, in seconds since 1970."""

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        process = psutil.Process()
        return cls(host=socket.gethostname(), pid=process.pid, started=process.create_time())

    def lives(self) -> bool | None:
        """Whether it lives; ``None`` if it is on another machine."""
        if self.host != socket.gethostname():
            return None
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        return False

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.started))
        return f"process {self.pid} on {self.host} (since {since})"
