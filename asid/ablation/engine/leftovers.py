"""Folders of runs that the current plan of a study does not contain."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from asid.ablation.engine.heartbeat import is_alive
from asid.ablation.engine.status import is_executed, study_states
from asid.ablation.study.study import StudyError


@dataclass(frozen=True)
class Leftover:
    """The folder of a run of an earlier plan."""

    folder: Path
    note: str
    """What distinguishes it from the current plan."""
    size: int
    """Bytes of its files."""


def find_leftovers(folder: Path) -> list[Leftover]:
    """The run folders in a study's folder that its plan does not contain, and that no process works in.

    Raises:
        FileNotFoundError: There is no study in ``folder``.
        ValueError: Its plan is damaged.
    """
    dead = [state for state in study_states(folder) if not state.in_plan and not is_alive(state.folder)]
    return [Leftover(state.folder, state.note, _size(state.folder)) for state in dead]


def delete_leftovers(folder: Path, leftovers: list[Leftover]) -> None:
    """Delete folders that :func:`find_leftovers` has found.

    Raises:
        StudyError: A process executes the study.
        OSError: A file cannot be deleted.
    """
    if is_executed(folder):
        raise StudyError(f"a process executes the study in {folder} now: wait for it, then clean up")
    for leftover in leftovers:
        shutil.rmtree(leftover.folder)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
