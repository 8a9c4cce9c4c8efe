"""One process at a time in the folder of a run. No torch in here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from asid.files import LOCK


@contextmanager
def exclusive(folder: Path, wait: float = 10) -> Iterator[None]:
    """Hold ``folder`` for this process. The lock is the operating system's, which releases it when the process dies.

    Args:
        folder: Folder of a run; created if it does not exist.
        wait: Seconds to wait for another process that holds it.

    Raises:
        ValueError: The other process did not end in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK).acquire(timeout=wait)
    except Timeout:
        raise ValueError(
            f"another process is training in {folder}, and did not end within {wait:g} s: "
            "wait until it is done, or choose another folder"
        ) from None
    with lock:
        yield
