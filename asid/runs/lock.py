"""One process at a time in the folder of a run. No torch in here."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from asid.files import LOCK, OWNER, read_json, write_json
from asid.runs.owner import Owner

LOGGER = logging.getLogger(__name__)

_LEAVING = 10.0
"""Seconds in which the children of a process that was killed, such as data loaders, notice that and let go."""


@contextmanager
def exclusive(folder: Path, wait: float = 10) -> Iterator[None]:
    """Hold ``folder`` for this process. The lock is the operating system's, which releases it when the process dies.

    If another process holds it, that is said at once.

    Args:
        folder: Folder of a run; created if it does not exist.
        wait: Seconds to wait for another process that holds it.

    Raises:
        ValueError: The other process did not end in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _acquire(folder, wait):
        path = write_json(folder / OWNER, Owner.me().model_dump())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def check_free(folder: Path, wait: float = 10) -> None:
    """Raise ``ValueError`` if another process holds ``folder``, and does not let go within ``wait`` seconds."""
    if (folder / LOCK).exists():
        with _acquire(folder, wait):
            pass


def _acquire(folder: Path, wait: float) -> AbstractContextManager[object]:
    """Acquire the lock; leaving the context releases it."""
    lock = FileLock(folder / LOCK)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        owner = _owner(folder)
        if owner and owner.lives() is False:
            wait = max(wait, _LEAVING)
        who = f"{owner or 'another process'} is working in {folder}"
        if wait:
            LOGGER.warning("%s: waiting up to %g s for its end", who, wait)
        try:
            return lock.acquire(timeout=wait)
        except Timeout:
            raise ValueError(f"{who}: wait until it is done, or choose another folder") from None


def _owner(folder: Path) -> Owner | None:
    try:
        return Owner.model_validate(read_json(folder / OWNER))
    except (OSError, ValueError):
        return None
