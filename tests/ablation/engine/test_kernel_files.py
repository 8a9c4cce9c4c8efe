"""Temporary files of kernels: where they are, and that none stays."""

import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asid.ablation.engine import kernel_files
from asid.ablation.engine.kernel import tied_kernel_manager


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of a process that has started no kernel yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kernel_files._own_folder.cache_clear()
    yield tmp_path
    kernel_files._own_folder.cache_clear()


def test_the_folders_of_dead_processes_are_deleted(temporary: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    pid, here = int(ended.stdout), f"asid-kernels-{platform.node()}"
    dead, alive = temporary / f"{here}-{pid}-x" / "connections", temporary / f"{here}-{os.getppid()}-x"
    elsewhere, strange = temporary / f"asid-kernels-other-{pid}-x", temporary / "asid-kernels-of-somebody"
    for folder in (dead, alive, elsewhere, strange):
        folder.mkdir(parents=True)
        (folder / "some.json").touch()
    connections = kernel_files.connection_files()
    assert stat.S_IMODE(connections.stat().st_mode) == 0o700
    assert {path.name for path in temporary.iterdir()} == {
        *(alive.name, elsewhere.name, strange.name),
        connections.parent.name,
    }
    connections.rmdir()  # what cleans a temporary folder may come at any time
    assert kernel_files.connection_files().is_dir()


def test_the_file_of_a_kernel_lies_there(temporary: Path) -> None:
    manager = tied_kernel_manager("some run", {})()
    assert Path(manager.connection_file).parent == kernel_files.connection_files()


def test_without_a_home_libraries_write_there(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("HOME", str(temporary))
    assert set(kernel_files.kernel_variables()) == {"IPYTHONDIR"}, "the user's font cache is used"
    monkeypatch.setenv("HOME", str(temporary / "missing"))
    variables = kernel_files.kernel_variables()
    assert set(variables) == {"IPYTHONDIR", "MPLCONFIGDIR"}
    assert all(Path(value).is_relative_to(temporary) for value in variables.values())
