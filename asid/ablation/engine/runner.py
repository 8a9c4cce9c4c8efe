"""Executing a study: one notebook a run with papermill, each in a process of its own, several at a time on Dask."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asid.ablation.engine.cluster import (
    ClusterConfig,
    environment_of,
    gpu_count,
    open_cluster,
    runs_at_once,
    threads_each,
)
from asid.ablation.engine.execution import execute_run, kill_kernel
from asid.ablation.engine.progress import Progress
from asid.ablation.study.expand import Study
from asid.ablation.study.plan import PlannedRun, plan_study, write_plan
from asid.ablation.study.study import StudyError
from asid.config import RunConfig
from asid.files import GRID_LOCK, IMAGES
from asid.runs.identity import Identity, data_manifests, evaluation_ids, source_hash
from asid.runs.record import Record, RecordError, provenance, read_record, to_rows, write_record


@dataclass(frozen=True)
class Outcome:
    """How one run ended: ``error`` is ``None`` for a run that is done."""

    label: str
    error: str | None = None
    skipped: bool = False
    folder: Path | None = field(default=None, compare=False)


def run_study(
    study: Study,
    notebook: Path,
    output: str | Path,
    cluster: ClusterConfig | None = None,
    *,
    retry: int = 0,
    only: frozenset[tuple[str, int]] | None = None,
    command: str | None = None,
) -> list[Outcome]:
    """Execute the runs of a study that have no complete record yet, and write what the report needs.

    Parameters
    ----------
    study : the study.
    notebook : the notebook that executes one run.
    output : the study's folder.
    cluster : where runs are executed; on this machine the CPU threads and GPUs are shared out evenly.
    retry : how often a run that failed is tried again.
    only : variant and seed of the runs to execute; ``None``: all that are not done.
    command : the shell command that runs this study again, for the report.

    Returns
    -------
    One outcome a run, in the order of the study. A failed run does not stop the others.

    Raises
    ------
    FileNotFoundError, ValueError : no such notebook, or one that does not declare the parameters; a cluster that cannot be used.
    OSError : the folder cannot be written to, or its disk is full.
    StudyError : another process executes this study now.
    """
    cluster = cluster or ClusterConfig()
    notebook = Path(notebook)
    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook at {notebook}: the study's 'notebook' is relative to the study file")
    _check_parameters(notebook)
    output = Path(output)
    plan = plan_study(study, output, notebook, command)
    runs = plan.runs
    with _claim(output):
        write_plan(plan, output)
        _write_references(study, runs[0].config, output)
        outcomes = {run.label: Outcome(run.label, skipped=True, folder=run.folder) for run in runs if run.is_done()}
        pending = [
            run for run in runs if run.label not in outcomes and (only is None or (run.variant, run.seed) in only)
        ]
        with Progress(runs) as progress:
            for outcome in outcomes.values():
                progress.finish(outcome.label, "done before")
            if pending:
                local = not (cluster.scheduler or cluster.slurm)
                # Threads by the study, not by what is left of it: a sum has other last digits with another number of threads.
                at_once = runs_at_once(cluster, len(runs))
                workers = min(at_once, len(pending))
                with open_cluster(cluster, workers, threads_each(at_once)) as client:
                    progress.say(f"Dask dashboard: {client.dashboard_link}")
                    _Dispatcher(client, notebook, workers, local, retry, progress).execute(pending, outcomes)
    return [outcomes[run.label] for run in runs if run.label in outcomes]


class _Dispatcher:
    """Gives each worker one run at a time. No run waits on a worker: it would be lost with the worker if that one died."""

    def __init__(self, client: Any, notebook: Path, workers: int, local: bool, retry: int, progress: Progress) -> None:
        self.client, self.notebook, self.progress = client, notebook.resolve(), progress
        self.workers, self.local, self.retry = workers, local, retry
        self.gpus = gpu_count() if local else 0
        self.places: list[str] = []
        """Addresses of workers; the position of one decides its GPU."""
        self.running: dict[Any, tuple[PlannedRun, str]] = {}
        self.attempts: dict[str, int] = {}
        self.told = False
        """Whether the person knows that there is no worker yet."""

    def execute(self, pending: list[PlannedRun], outcomes: dict[str, Outcome]) -> None:
        waiting = list(pending)
        try:
            while waiting or self.running:
                alive = self._living_workers()
                busy = {place for _, place in self.running.values()}
                for place in [place for place in alive if place not in busy][: self.workers - len(busy)]:
                    if waiting:
                        self._submit(waiting.pop(0), place)
                for run, error in self._ended(alive):
                    self.attempts[run.label] = self.attempts.get(run.label, 0) + 1
                    if error and self.attempts[run.label] <= self.retry:
                        self.progress.say(
                            f"{run.label}: {error}; again, try {self.attempts[run.label] + 1} of {self.retry + 1}"
                        )
                        waiting.append(run)
                        continue
                    outcomes[run.label] = Outcome(run.label, error, folder=run.folder)
                    self.progress.finish(run.label, "failed" if error else "done")
        except BaseException:
            self._stop()
            raise

    def _living_workers(self) -> list[str]:
        """Addresses of the workers there are, those known longest first; a worker with other code of the package is an error."""
        alive = list(self.client.scheduler_info(n_workers=-1)["workers"])
        if new := [place for place in alive if place not in self.places]:
            for place, source in self.client.run(source_hash, workers=new, on_error="ignore").items():
                if source != source_hash():
                    raise ValueError(
                        f"the worker {place} has another version of this package: install the same on all machines"
                    )
            # A worker that replaces one that died takes its position, and so its GPU.
            gone = [index for index, place in enumerate(self.places) if place not in alive]
            for place in new:
                if gone:
                    self.places[gone.pop(0)] = place
                else:
                    self.places.append(place)
        return [place for place in self.places if place in alive]

    def _submit(self, run: PlannedRun, place: str) -> None:
        environment = environment_of(self.places.index(place), self.gpus)
        environment |= {name: value for name, value in os.environ.items() if name.startswith("ASID_")}
        absolute = run.model_copy(update={"folder": run.folder.resolve()})
        key = f"{run.label}, try {self.attempts.get(run.label, 0) + 1}"
        future = self.client.submit(
            execute_run,
            absolute,
            self.notebook,
            Path.cwd(),
            environment,
            key=key,
            pure=False,
            workers=[place],
            allow_other_workers=False,
        )
        self.running[future] = (run, place)

    def _ended(self, alive: list[str]) -> Iterator[tuple[PlannedRun, str | None]]:
        """Wait up to a second; the runs that have ended, each with its error."""
        from distributed import wait

        if not self.running:
            if not alive and not self.told:
                self.told = True
                self.progress.say("waiting for the first worker of the cluster")
            time.sleep(0.2)
            return
        try:
            ended = set(wait(list(self.running), timeout=1, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            ended = set()
            self.progress.refresh()
        for future, (run, place) in list(self.running.items()):
            if future in ended:
                del self.running[future]
                yield (
                    run,
                    (future.result() if future.status == "finished" else f"its process died ({future.exception()})"),
                )
            elif place not in alive:
                del self.running[future]
                future.cancel()
                yield run, f"its process died (the worker {place} is gone)"

    def _stop(self) -> None:
        """End what is running on the workers of a cluster that is not ours: they live on, while our own end with theirs."""
        if self.local:
            return
        try:
            self.client.cancel(list(self.running))
            for run, place in self.running.values():
                self.client.run(kill_kernel, str(run.folder.resolve()), workers=[place], on_error="ignore")
        except Exception:  # the cluster may be gone, too
            return


def _check_parameters(notebook: Path) -> None:
    """Refuse a notebook that does not declare what it will be given: papermill only warns, and the default would run."""
    import papermill

    declared = set(papermill.inspect_notebook(notebook))
    needed = {*RunConfig.model_fields, "study", "variant", "preset", "output", "progress", "expected_run_id"}
    if missing := sorted(needed - declared):
        raise ValueError(f"{notebook}: the cell tagged 'parameters' does not declare {', '.join(missing)}")


@contextmanager
def _claim(output: Path) -> Iterator[None]:
    """Hold the study's folder: one process executes it at a time, and it can be written to."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output / GRID_LOCK, timeout=5)  # a process that was killed a moment ago may still be letting go
        lock.acquire()
    except Timeout:
        raise StudyError(
            f"another process executes the study in {output} now: wait for it, or choose another --output"
        ) from None
    except OSError as error:
        raise OSError(
            f"cannot write to {output}: {error.strerror or error}; choose another folder with --output"
        ) from None
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                f"the disk of {output} is full: make room, then run the study again; what is done is kept"
            ) from None
        raise
    finally:
        lock.release()


def check_disk(output: Path, megabytes: float) -> None:
    """Raise ``OSError`` where the disk of ``output`` has less room than a study needs."""
    place = next(folder for folder in [output, *output.absolute().parents] if folder.exists())
    free = shutil.disk_usage(place).free / 1e6
    if free < megabytes:
        raise OSError(
            f"the study needs about {megabytes:.0f} MB in {output}, {free:.0f} MB are free: make room, or choose another --output"
        )


def _write_references(study: Study, config: RunConfig, output: Path) -> None:
    """Score what needs no training, on the base's evaluation sets; what was scored before is kept."""
    from asid.evaluation.evaluate import bicubic_upscaler, evaluate

    manifests = data_manifests(config)
    evaluations = evaluation_ids(config, manifests, upscaler="bicubic")
    identity = Identity(training="bicubic", evaluations=evaluations)
    for name in study.config.references:
        folder = output / "references" / name
        try:
            read_record(folder, identity.run_id)
            continue
        except (FileNotFoundError, RecordError):
            pass
        scale = config.model.scale
        scores = evaluate(
            bicubic_upscaler(scale, config.evaluate), scale, config.evaluate, save_to=folder / IMAGES
        ).scores
        record = Record(
            study=study.config.name,
            variant=name,
            identity=identity,
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
