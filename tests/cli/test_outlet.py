"""Output whose reader leaves, as in ``asid … | head -1``."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import pytest
from command_line import Call

from asid.cli import progress
from asid.cli.options import SafeConsole, say
from asid.cli.outlet import Outlet


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1, encoding="utf-8") as stream:
        yield stream


def test_what_nobody_reads_is_written_to_nowhere(unread: TextIO) -> None:
    outlet = Outlet(unread)
    for line in ("a\n", "b", "c" * 100_000):
        assert outlet.write(line) == len(line)
        outlet.flush()
    assert outlet.encoding == "utf-8"


def test_images_are_upscaled_though_nobody_reads_their_names(
    unread: TextIO, cli: Call, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdout", unread)
    ended = cli("upscale", "--model", "asid-tiny", folders[1], "--output", tmp_path / "out")
    assert (ended.status, ended.err.strip()) == (0, "")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_progress_bar_leaves_the_output_to_a_file_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ``asid upscale … > names`` in a terminal."""
    monkeypatch.setattr(progress, "SafeConsole", partial(SafeConsole, force_terminal=True))
    with progress.progress_bar("images") as advance:
        advance(0, 2)
        say("a.png")
        advance(2, 2)
    captured = capsys.readouterr()
    assert captured.out == "a.png\n"
    assert "2/2" in captured.err
