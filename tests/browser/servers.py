"""Notebook servers that end with the test that started them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from paths import ROOT

STATE_VARIABLES = (
    "IPYTHONDIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
)

_set_process_option = getattr(ctypes.CDLL(None), "prctl", None)  # Linux


def _end_with_parent() -> None:
    """End this process if pytest is killed, which runs no ``finally``."""
    if _set_process_option:
        _set_process_option(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


@contextmanager
def serve(module: str, *options: str, cwd: Path, state: Path, ready: str) -> Iterator[str]:
    """Run ``python -m module`` with ``--port`` and ``options`` until its page ``ready`` responds; yield its address.

    ``state`` is an empty folder for Jupyter's settings, workspaces and logs, instead of the home directory.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **{name: str(state / name.lower()) for name in STATE_VARIABLES}}
    environment.pop("ASID_DATA", None)
    # As make lab and make dashboard do.
    environment |= dict.fromkeys(("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"), str(ROOT / ".jupyter"))
    with (state / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", module, f"--port={port}", "--no-browser", *options],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            if server.poll() is not None or _answers(address + ready):
                break
            time.sleep(0.2)
        assert _answers(address + ready), (state / "server.log").read_text()[-3000:]
        yield address
    finally:
        server.terminate()  # this also ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        return bool(urlopen(url, timeout=30).status == 200)
    except (URLError, OSError):
        return False
