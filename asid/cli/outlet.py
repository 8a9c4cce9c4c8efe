"""Output to a pipe whose reader may leave, as in ``asid upscale … | head -1``: the work goes on in silence."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO


class Outlet:
    """A text stream that writes to nowhere once its reader has left; otherwise it is ``stream``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text`` as a text stream does."""
        with self._silenced():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._silenced():
            self._stream.flush()

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # takes what is in the buffer, also at the end of the process
            os.close(nowhere)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Inside, no command ends because nobody reads what it says."""
    out: Any = Outlet(sys.stdout)
    errors: Any = Outlet(sys.stderr)
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            yield
        finally:
            for stream in (out, errors):
                with suppress(OSError, ValueError):  # a full disk, or a stream that was closed
                    stream.flush()
