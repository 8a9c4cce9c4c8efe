"""Executing one run in a worker process: papermill, a kernel that dies with its process, and evidence of what went wrong."""

import ctypes
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from asid.ablation.engine.status import heartbeat
from asid.ablation.study.plan import PlannedRun
from asid.files import ERROR, NOTEBOOK
from asid.runs.record import read_record

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")
_KERNELS: dict[str, int] = {}
"""Process of the kernel of each run that this process executes, by the run's folder."""
_STOPPED: set[str] = set()
"""Folders of runs that a person has stopped: that is no failure."""


def execute_run(
    run: PlannedRun, notebook: Path, folder: Path | None = None, environment: dict[str, str] | None = None
) -> str | None:
    """Execute the notebook for one run; ``None`` when its record is complete, else the error in words.

    Evidence stays in the run's folder: the executed notebook, and the error with its traceback. ``folder`` is the working folder of
    the kernel, to which relative paths in the configuration refer; ``environment`` is added to the kernel's.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # an optional format check that takes two seconds to import
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / ERROR).unlink(missing_ok=True)
        with heartbeat(run.folder, run.run_id):
            papermill.execute_notebook(
                notebook,
                run.folder / NOTEBOOK,
                parameters=notebook_parameters(run),
                cwd=folder,
                kernel_name="python3",
                kernel_manager_class=_tied_kernel_manager(str(run.folder), environment or {}),
                progress_bar=False,
                shutdown_kernel="immediate",  # the record is written; to ask a kernel to leave takes it two seconds
                extra_arguments=[
                    "--IPKernelApp.log_level=40"
                ],  # its warning about TCP on the loopback interface helps nobody
            )
        read_record(run.folder, run.run_id)
    except PapermillExecutionError as error:
        return _keep(run, f"{error.ename}: {error.evalue}", _TERMINAL_CODES.sub("", "\n".join(error.traceback)))
    except Exception as error:
        return _keep(run, f"{type(error).__name__}: {error}")
    finally:
        _KERNELS.pop(str(run.folder), None)
    return None


def _keep(run: PlannedRun, error: str, traceback: str = "") -> str:
    """Keep the error in the run's folder, where that can be written to: on a full disk it cannot. A stopped run has not failed."""
    if str(run.folder) in _STOPPED:
        _STOPPED.discard(str(run.folder))
        return "stopped"
    with suppress(OSError):
        (run.folder / ERROR).write_text((traceback or error) + "\n")
    return error


def notebook_parameters(run: PlannedRun) -> dict[str, Any]:
    """The values of the notebook's parameters cell for one run: JSON only."""
    return {
        "study": run.study,
        "variant": run.variant,
        "preset": "asid",
        **run.config.to_dict(),
        "output": str(run.folder.resolve()),
        "progress": False,
        "expected_run_id": run.run_id,
    }


def kill_kernel(folder: str) -> bool:
    """End the kernel that this process has started for the run in ``folder``; whether there was one."""
    pid = _KERNELS.get(folder)
    if pid is not None:
        _STOPPED.add(folder)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pid is not None


def _tied_kernel_manager(folder: str, environment: dict[str, str]) -> type:
    """A kernel manager whose kernels die with the process that started them, even while they hold the interpreter's lock."""
    from jupyter_client.manager import AsyncKernelManager

    tie = None
    if sys.platform.startswith("linux"):
        prctl = ctypes.CDLL(None).prctl  # bound before the fork

        def tie() -> None:
            prctl(1, signal.SIGKILL)

    class TiedKernelManager(AsyncKernelManager):
        async def _async_start_kernel(self, **options: Any) -> None:
            options["env"] = {**os.environ, **options.get("env", {}), **environment}
            await super()._async_start_kernel(preexec_fn=tie, **options)
            if pid := getattr(self.provisioner, "pid", None):
                _KERNELS[folder] = pid

        start_kernel = _async_start_kernel

    return TiedKernelManager
