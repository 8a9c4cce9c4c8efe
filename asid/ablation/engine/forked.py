"""Kernels that begin with the imports of their notebook: forked from a process that has done these once.

PyTorch and Lightning take four seconds to import, in every run of a study. Here a fork server (``multiprocessing``) in
each worker imports what the notebook imports, and every kernel is a fork of it. Only on Linux, and not with GPUs, whose
state cannot be forked; elsewhere a kernel is a new process.
"""

import ast
import ctypes
import json
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

_LAUNCHER = ["-m", "ipykernel_launcher"]
_KERNEL = ["ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib_inline.backend_inline"]


def imports_of(notebook: Path) -> list[str]:
    """The modules that the code cells of a notebook import, in order; cells that are not plain Python are skipped."""
    modules: dict[str, None] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
        with suppress(SyntaxError):
            for node in ast.parse("\n".join(line for line in lines if not line.startswith(("%", "!")))).body:
                if isinstance(node, ast.Import):
                    modules |= dict.fromkeys(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules[node.module] = None
    return list(modules)


class ForkedKernel:
    """A forked kernel, with the part of ``subprocess.Popen`` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self._process, self.pid = process, process.pid

    def poll(self) -> int | None:
        """Its exit status, or ``None`` while it lives."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Wait for its end; returns its exit status."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def fork_kernel(command: list[str], environment: dict[str, str], folder: str | None, modules: list[str]) -> Any:
    """Start the IPython kernel that ``command`` starts, as a fork. Returns ``None`` if that is not possible here.

    Args:
        command: Command line of the kernel.
        environment: All its variables.
        folder: Its working directory.
        modules: What is imported before the first fork; what cannot be imported is left to the kernel.
    """
    is_daemon = multiprocessing.current_process().daemon  # may not have children
    if not sys.platform.startswith("linux") or command[1:3] != _LAUNCHER or is_daemon or environment.get(_CHOOSES_GPUS):
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_KERNEL, *modules])
    process = context.Process(target=_serve, args=(command[3:], environment, folder))
    try:
        process.start()
    except OSError as error:
        if "AF_UNIX" in str(error):  # the path of the temporary folder is too long for the socket of the fork server
            return None
        raise
    return ForkedKernel(process)


_CHOOSES_GPUS = "CUDA_VISIBLE_DEVICES"
"""Variable by which a worker is given its GPU: kernels that use one start afresh, CUDA does not survive a fork."""


def _serve(arguments: list[str], environment: dict[str, str], folder: str | None) -> None:
    """The fork: from here on an IPython kernel."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: die with the fork server
    # The fork server dies when no process holds this end of its pipe: with the worker, if the kernel lets go of it.
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel_launcher", *arguments]
    IPKernelApp.launch_instance(arguments, parent_handle=os.getppid())  # it polls for the death of its parent, too
