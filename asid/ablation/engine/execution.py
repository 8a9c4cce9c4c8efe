"""Executing one run in a worker process: its notebook with papermill, and the evidence if something goes wrong."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from asid.ablation.engine.heartbeat import heartbeat
from asid.ablation.engine.notebook import without_iri_checks
from asid.ablation.study.plan import PlannedRun
from asid.files import ERROR, NOTEBOOK
from asid.runs.record import read_record

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")
_PATIENCE = 600
_STOPPED: set[str] = set()
"""Folders of runs that a person has stopped, which is not a failure."""


def execute_run(
    run: PlannedRun, notebook: Path, working_folder: Path | None = None, environment: dict[str, str] | None = None
) -> str | None:
    """Execute the notebook for one run. It stays in the run's folder, after an error with the traceback.

    Args:
        run: The run.
        notebook: The notebook.
        working_folder: Working directory of the kernel, to which relative paths in the configuration refer.
        environment: Variables that are added to the environment of the kernel.

    Returns:
        ``None`` if the record of the run is complete, otherwise the error as text.
    """
    with without_iri_checks():
        import papermill
        from papermill.exceptions import PapermillExecutionError

    from asid.ablation.engine.forked import imports_of
    from asid.ablation.engine.kernel import forget_kernel, tied_kernel_manager

    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / ERROR).unlink(missing_ok=True)
        with heartbeat(run.folder, run.run_id):
            papermill.execute_notebook(
                _literal(notebook),
                _literal(run.folder / NOTEBOOK),
                parameters=notebook_parameters(run),
                cwd=working_folder,
                kernel_name="python3",
                kernel_manager_class=tied_kernel_manager(str(run.folder), environment or {}, imports_of(notebook)),
                progress_bar=False,
                # Seconds that a busy machine may take to start a kernel, and to deliver what a cell has printed.
                start_timeout=_PATIENCE,
                iopub_timeout=_PATIENCE,
                shutdown_kernel="immediate",  # the record is written; a regular shutdown takes two seconds
                extra_arguments=["--IPKernelApp.log_level=40"],  # hides a warning about TCP on the loopback interface
            )
        read_record(run.folder, run.run_id)
    except PapermillExecutionError as error:
        return _store_error(run, f"{error.ename}: {error.evalue}", _TERMINAL_CODES.sub("", "\n".join(error.traceback)))
    except Exception as error:
        return _store_error(run, f"{type(error).__name__}: {error}")
    finally:
        forget_kernel(str(run.folder))
    return None


def _literal(path: Path) -> str:
    """``path`` for papermill, which fills in ``{parameter}``."""
    return str(path).replace("{", "{{").replace("}", "}}")


def stop_run(folder: str) -> bool:
    """Stop the run that this process executes in ``folder``; returns whether there was one."""
    from asid.ablation.engine.kernel import kill_kernel

    _STOPPED.add(folder)  # first: the kernel's death is noticed at once
    stopped = kill_kernel(folder)
    if not stopped:
        _STOPPED.discard(folder)
    return stopped


def notebook_parameters(run: PlannedRun) -> dict[str, Any]:
    """The values of the notebook's parameters cell for one run, as JSON values."""
    return {
        "study": run.study,
        "variant": run.variant,
        "preset": "asid",
        **run.config.to_dict(),
        "output": str(run.folder.resolve()),
        "progress": False,
        "expected_run_id": run.run_id,
    }


def _store_error(run: PlannedRun, error: str, traceback: str = "") -> str:
    """Write the error to the run's folder if possible (a full disk prevents it), unless the run was stopped."""
    if str(run.folder) in _STOPPED:
        _STOPPED.discard(str(run.folder))
        return "stopped"
    with suppress(OSError):
        (run.folder / ERROR).write_text((traceback or error) + "\n", encoding="utf-8", errors="replace")
    return error
