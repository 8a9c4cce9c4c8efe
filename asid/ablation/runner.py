"""Executing a study: one notebook a run with papermill, each in a process of its own, several at a time on Dask."""

import ctypes
import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asid.ablation.grid import StudyConfig, describe_delta
from asid.ablation.progress import Progress
from asid.ablation.records import Record, RecordError, data_manifests, provenance, read_record, run_identity, to_rows, write_record
from asid.config import RunConfig
from asid.files import ERROR, IMAGES, NOTEBOOK, STUDY

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Run:
    """One cell of the grid."""

    study: str
    variant: str
    seed: int
    run_id: str
    config: RunConfig
    folder: Path

    @property
    def label(self) -> str:
        return f"{self.variant} seed {self.seed}"

    def is_done(self) -> bool:
        """Whether the complete record of this very run exists."""
        try:
            read_record(self.folder, self.run_id)
        except (FileNotFoundError, RecordError):
            return False
        return True


@dataclass(frozen=True)
class Outcome:
    """How one run ended: ``error`` is ``None`` for a run that is done."""

    label: str
    error: str | None = None
    skipped: bool = False


def plan(study: StudyConfig, output: str | Path) -> list[Run]:
    """The runs of a study, in the order of its file. A run's folder carries its identity: a changed run gets a new folder."""
    runs = []
    for variant in study.variants:
        for seed in study.seeds:
            config = study.config(variant, seed)
            run_id = run_identity(config)
            folder = Path(output) / "runs" / f"{variant}-seed{seed}-{run_id}"
            runs.append(Run(study.name, variant, seed, run_id, config, folder))
    return runs


def run_study(study: StudyConfig, notebook: Path, output: str | Path, workers: int | None = None) -> list[Outcome]:
    """Execute the runs of a study that have no complete record yet, and write what the report needs.

    Parameters
    ----------
    study : the study.
    notebook : the notebook that executes one run.
    output : the study's folder.
    workers : runs at a time; the machine's CPU threads are shared out evenly. By default one for each CPU.

    Returns
    -------
    One outcome a run, in the order of the study. A failed run does not stop the others.
    """
    from dask.system import CPU_COUNT
    from distributed import wait

    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook at {notebook}: the study's 'notebook' is relative to the study file")
    _check_parameters(notebook)
    output = Path(output)
    runs = plan(study, output)
    _write_study(study, runs, output)
    _write_references(study, runs[0].config, output)

    outcomes = {run.label: Outcome(run.label, skipped=True) for run in runs if run.is_done()}
    pending = [run for run in runs if run.label not in outcomes]
    workers = min(workers or CPU_COUNT, max(1, len(pending)))
    with Progress(runs) as progress:
        for outcome in outcomes.values():
            progress.finish(outcome.label, "done before")
        if pending:
            with _cluster(workers, threads=max(1, CPU_COUNT // workers)) as client:
                futures: dict[Any, Run] = {}
                while pending or futures:
                    # No run waits on a worker: it would be lost with the worker if that one died.
                    while pending and len(futures) < workers:
                        run = pending.pop(0)
                        futures[client.submit(execute_run, run, notebook, key=run.label, pure=False)] = run
                    try:
                        ended = wait(list(futures), timeout=1, return_when="FIRST_COMPLETED").done
                    except TimeoutError:
                        progress.refresh()
                        continue
                    for future in ended:
                        run = futures.pop(future)
                        error = future.result() if future.status == "finished" else f"its process died ({future.exception()})"
                        outcomes[run.label] = Outcome(run.label, error)
                        progress.finish(run.label, "failed" if error else "done")
    return [outcomes[run.label] for run in runs]


def execute_run(run: Run, notebook: Path) -> str | None:
    """Execute the notebook for one run; ``None`` when its record is complete, else the error in words.

    Evidence stays in the run's folder: the executed notebook, and the error with its traceback.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # an optional format check that takes two seconds to import
    import papermill
    from papermill.exceptions import PapermillExecutionError

    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / ERROR).unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            notebook,
            run.folder / NOTEBOOK,
            parameters=notebook_parameters(run),
            kernel_name="python3",
            kernel_manager_class=_tied_kernel_manager(),
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=40"],  # its warning about TCP on the loopback interface helps nobody
        )
        read_record(run.folder, run.run_id)
    except PapermillExecutionError as error:
        (run.folder / ERROR).write_text(_TERMINAL_CODES.sub("", "\n".join(error.traceback)) + "\n")
        return f"{error.ename}: {error.evalue}"
    except Exception as error:
        (run.folder / ERROR).write_text(f"{type(error).__name__}: {error}\n")
        return f"{type(error).__name__}: {error}"
    return None


def notebook_parameters(run: Run) -> dict[str, Any]:
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


def _check_parameters(notebook: Path) -> None:
    """Refuse a notebook that does not declare what it will be given: papermill only warns, and the default would run."""
    import papermill

    declared = set(papermill.inspect_notebook(notebook))
    needed = {*RunConfig.model_fields, "study", "variant", "preset", "output", "progress", "expected_run_id"}
    if missing := sorted(needed - declared):
        raise ValueError(f"{notebook}: the cell tagged 'parameters' does not declare {', '.join(missing)}")


def _write_study(study: StudyConfig, runs: list[Run], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    content = {
        "name": study.name,
        "question": study.question,
        "preset": study.preset,
        "base": study.base_name,
        "references": list(study.references),
        "variants": {name: describe_delta(delta) for name, delta in study.variants.items()},
        "runs": [
            {"variant": run.variant, "seed": run.seed, "run_id": run.run_id, "folder": run.folder.relative_to(output).as_posix()}
            for run in runs
        ],
    }
    (output / STUDY).write_text(json.dumps(content, indent=2) + "\n")


def _write_references(study: StudyConfig, config: RunConfig, output: Path) -> None:
    """Score what needs no training, on the base's evaluation sets."""
    from asid.evaluate import bicubic, evaluate

    manifests = data_manifests(config)
    for name in study.references:
        folder = output / "references" / name
        scale = config.model.scale
        scores = evaluate(bicubic(scale, config.evaluate), scale, config.evaluate, save_to=folder / IMAGES).scores
        record = Record(
            study=study.name,
            variant=name,
            run_id=run_identity(config, manifests),
            config=config,
            protocol=config.evaluate.protocol,
            data={use: manifest for use, manifest in manifests.items() if use.startswith("evaluate")},
            complexity=None,
            scores=to_rows(scores),
            history=[],
            seconds={},
            provenance=provenance(),
        )
        write_record(record, folder)


@contextmanager
def _cluster(workers: int, threads: int) -> Iterator[Any]:
    """A Dask cluster on this machine whose workers run one task at a time."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 0,  # a run whose worker died is reported, not silently run again
        "distributed.worker.daemon": False,
        "distributed.nanny.environ": {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _tied_kernel_manager() -> type:
    """A kernel manager whose kernels die with the process that started them, even while they hold the interpreter's lock."""
    from jupyter_client.manager import AsyncKernelManager

    if not sys.platform.startswith("linux"):
        return AsyncKernelManager
    prctl = ctypes.CDLL(None).prctl

    class TiedKernelManager(AsyncKernelManager):
        async def _async_start_kernel(self, **options: Any) -> None:
            await super()._async_start_kernel(preexec_fn=lambda: prctl(1, signal.SIGKILL), **options)

        start_kernel = _async_start_kernel

    return TiedKernelManager
