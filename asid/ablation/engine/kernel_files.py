"""Temporary files of the kernels that this process starts: connection files, which hold keys, and IPython's own.

Left to the libraries, a connection file stays in the system's temporary folder if its study is killed, and no kernel
starts where IPython cannot write to the user's home folder. Its profile there, with startup scripts, is none of a run's
business either.
"""

import atexit
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_PREFIX = f"asid-kernels-{platform.node()}-"
"""With the name of the machine: others may share the temporary folder, and their processes cannot be seen from here."""


def connection_files() -> Path:
    """The folder of connection files. The first call deletes what processes have left that were killed."""
    folder = _own_folder() / "connections"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a machine may clean its temporary folder while we work
    return folder


def kernel_variables() -> dict[str, str]:
    """Variables of a kernel by which IPython writes to this folder instead of the user's home folder."""
    return {"IPYTHONDIR": str(_own_folder() / "ipython"), **worker_variables()}


def worker_variables() -> dict[str, str]:
    """Variables of a worker: without a home, the Matplotlib of its fork server would leave a folder of its own."""
    if "MPLCONFIGDIR" in os.environ:
        return {}
    try:
        with tempfile.TemporaryFile(dir=Path("~").expanduser()):
            return {}
    except OSError:
        return {"MPLCONFIGDIR": str(_own_folder() / "matplotlib")}


@cache
def _own_folder() -> Path:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)  # those of other users stay
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, pid: int) -> None:
    if pid == os.getpid():  # not in a fork
        with suppress(OSError):
            shutil.rmtree(folder)
