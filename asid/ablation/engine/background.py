"""A study as a process of its own, which outlives who started it: started, found again, stopped as by Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from asid.ablation.engine.heartbeat import is_alive, read_owner
from asid.files import STUDY_LOG

_OF_THE_NOTEBOOK = ("JPY_", "VOILA_", "MPLBACKEND", "CLICOLOR", "FORCE_COLOR")
"""Beginnings of the variables that Jupyter sets for a kernel, and that would mislead a program started from it."""
_TAIL = 20_000
"""Bytes of a log that are read."""


def start(arguments: Sequence[str], folder: Path, root: Path) -> "subprocess.Popen[bytes]":
    """Start ``asid`` with some arguments as a process that lives on when this one ends.

    What it prints is added to ``study.log`` in the study's folder.

    Args:
        arguments: The command, e.g. ``ablate run ablations/quick.yaml``.
        folder: Folder of the study.
        root: Working folder, to which relative paths in the command and in the study refer.

    Raises:
        ValueError: A process works on the study already.
        OSError: The folder cannot be written.
    """
    if is_alive(folder):
        raise ValueError(f"{read_owner(folder)} works on the study in {folder}: wait for it, or stop it first")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / STUDY_LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "asid.cli", *arguments],
            cwd=root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # what ends the kernel, the server or the terminal does not reach it
        )


def stop(folder: Path) -> None:
    """Ask the process that works on the study in ``folder`` to end, as Ctrl-C does. It needs a moment to do so.

    Raises:
        ValueError: No process works on it, or one on another machine.
    """
    owner = read_owner(folder)
    if owner is None or not is_alive(folder):
        raise ValueError(f"no process works on a study in {folder}: there is nothing to stop")
    if owner.lives() is None:
        raise ValueError(f"{owner} works on the study in {folder}: stop it on that machine")
    os.kill(owner.pid, signal.SIGINT)


class Question:
    """An ``asid`` command that answers within seconds, run in a process that nobody has to wait for.

    Args:
        arguments: The command, e.g. ``ablate plan ablations/quick.yaml --json``.
        root: Working folder.
    """

    def __init__(self, arguments: Sequence[str], root: Path) -> None:
        self._out, self._errors = TemporaryFile(), TemporaryFile()  # noqa: SIM115  # pipes could fill up, and stop it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asid.cli", *arguments],
            cwd=root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._errors,
        )

    def answer(self) -> str | None:
        """What it has printed; ``None`` while it runs.

        Raises:
            ValueError: It failed; with what it said.
        """
        if self._process.poll() is None:
            return None
        with self._out, self._errors:
            out, errors = (_read(file) for file in (self._out, self._errors))
        if self._process.returncode:
            raise ValueError(errors.strip().removeprefix("error: ") or out.strip() or "it was ended")
        return out

    def cancel(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def read_log(folder: Path) -> list[str]:
    """The last lines of what a study said that was started in the background."""
    try:
        with (folder / STUDY_LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _environment() -> dict[str, str]:
    """The environment as a terminal would give it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_NOTEBOOK)}
