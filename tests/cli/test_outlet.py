"""Output whose reader leaves, as in ``asid … | head -1``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from command_line import Call

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
