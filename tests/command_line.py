"""Commands of the package, called in the process of a test."""

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
import typer

from asid.cli import main as cli
from asid.cli.options import console

console.width = None  # that of COLUMNS at each moment: tests in parallel have another one when the console is made


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it wrote to standard output, however it was broken into lines."""
        return " ".join(self.out.split())


Call = Callable[..., Ended]


def parse(line: str) -> None:
    """Read ``asid report results/quick --zip``, with a comment or not, as a shell and the command would; run nothing.

    Raises:
        KeyError: There is no such command.
        Exception: The command has no such option or argument, or lacks one.
    """
    called, *words = shlex.split(line, comments=True)
    assert called == "asid"
    command: Any = typer.main.get_command(cli.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """Run ``asid`` with these words, as from a shell."""
    monkeypatch.setattr(sys, "argv", ["asid", *map(str, words)])
    capsys.readouterr()  # what was written before is not the command's
    with mock.patch.dict(os.environ), pytest.raises(SystemExit) as ended:  # options set variables
        cli.main()
    captured = capsys.readouterr()
    return Ended(int(ended.value.code or 0), captured.out, captured.err)
