"""The time before the first run of a study, in which its networks and data are checked: visible to other processes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from asid.ablation.engine.heartbeat import heartbeat, is_alive
from asid.ablation.engine.status import is_executed


@contextmanager
def announced(folder: Path) -> Iterator[None]:
    """While the context is open, ``folder`` shows that a process works on its study.

    A folder that was not there before is deleted again if nothing was written into it.

    Raises:
        OSError: The folder cannot be written.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    with ExitStack() as beating:
        beating.callback(_remove_empty, new)  # last, when the heartbeat is gone
        try:
            beating.enter_context(heartbeat(folder, run_id=""))
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"cannot write to {folder}: {reason}; choose another folder with --output") from None
        yield


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it has content
            folder.rmdir()


def is_preparing(folder: Path) -> bool:
    """Whether a process works on the study in ``folder`` and has not begun to execute it."""
    return is_alive(folder) is True and not is_executed(folder)
