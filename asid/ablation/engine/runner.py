"""Executing a study: one notebook per run with papermill, each in its own process, several at a time on Dask."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from asid.ablation.engine.cluster import ClusterConfig, open_cluster, runs_at_once, threads_each
from asid.ablation.engine.dispatcher import Dispatcher
from asid.ablation.engine.notebook import check_notebook
from asid.ablation.engine.outcome import Outcome
from asid.ablation.engine.progress import Progress
from asid.ablation.engine.references import score_references
from asid.ablation.engine.reuse import reuse, trained_elsewhere
from asid.ablation.statistics.looks import read_standing
from asid.ablation.study.expand import Study
from asid.ablation.study.plan import Plan, PlannedRun, plan_study, read_plan, write_plan
from asid.ablation.study.study import StudyError
from asid.files import STUDY_LOCK


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

    A training that another study in the same results folder has finished is taken over instead of repeated.

    Args:
        study: The study.
        notebook: Notebook that executes one run.
        output: The study's folder.
        cluster: Where runs are executed; on this machine the CPU threads and GPUs are divided evenly.
        retry: How many times a failed run is repeated.
        only: Variant and seed of the runs to execute; ``None``: all that are not done.
        command: Shell command that runs this study again, for the report.

    Returns:
        One outcome per run, in the order of the study. A failed run does not stop the others.

    Raises:
        FileNotFoundError: There is no such notebook.
        ValueError: The notebook does not declare the parameters, or the cluster cannot be used.
        OSError: The folder cannot be written, or its disk is full.
        StudyError: Another process executes this study now.
    """
    cluster = cluster or ClusterConfig()
    notebook, output = Path(notebook), Path(output)
    check_notebook(notebook)
    plan = plan_study(study, output, notebook, command)
    with _claim(output):
        plan = _declare_looks(plan, output)
        write_plan(plan, output)
        score_references(plan, output)
        outcomes = {
            run.label: Outcome(run.label, skipped=True, folder=run.folder) for run in plan.runs if run.is_done()
        }
        # Threads depend on the whole study, not on what is left of it: they change the last digits of sums.
        at_once = runs_at_once(cluster, len(plan.runs))
        threads = threads_each(at_once)
        with _progress(study, plan, output, at_once, threads) as progress, ExitStack() as opened:
            for label in outcomes:
                progress.finish(label, "already done")
            if only is not None:
                progress.drop(run.label for run in plan.runs if (run.variant, run.seed) not in only)
            if left := progress.time_left({}):
                progress.say(left)
            dispatcher = None
            while pending := _next_runs(plan, outcomes, only, progress):
                for run in list(pending):
                    if outcome := _reuse(run, output, progress):
                        outcomes[run.label] = outcome
                        pending.remove(run)
                if pending and dispatcher is None:
                    local = not (cluster.scheduler or cluster.slurm)
                    workers = at_once if study.config.until else min(at_once, len(pending))
                    client = opened.enter_context(open_cluster(cluster, workers, threads))
                    progress.say(f"Dask dashboard: {client.dashboard_link}")
                    dispatcher = Dispatcher(client, notebook, workers, local, retry, progress)
                if pending and dispatcher:
                    with closing(dispatcher.execute(pending)) as ended:
                        for run, error in ended:
                            outcomes[run.label] = Outcome(run.label, error, folder=run.folder)
                            progress.finish(run.label, "failed" if error else "done", failed=bool(error))
        if found := read_standing(plan, _finished(outcomes)):
            for run in found.spared:
                outcomes.setdefault(run.label, Outcome(run.label, spared=True, folder=run.folder))
    return [outcomes[run.label] for run in plan.runs if run.label in outcomes]


def _progress(study: Study, plan: Plan, output: Path, at_once: int, threads: int) -> Progress:
    """Progress that begins with the speeds that a plan has measured."""
    from asid.ablation.engine.cost import known_speeds  # torch takes seconds

    speeds = known_speeds(study, threads, output)
    known = {name: speed.seconds_a_step for name, speed in speeds.items()}
    return Progress(plan.runs, at_once=at_once, speeds=known)


def _declare_looks(plan: Plan, output: Path) -> Plan:
    """The plan, with the number of runs that were finished before its looks were declared, as far as it is known.

    A run counts wherever it was trained: somebody may have looked at the other study.
    """
    if plan.study.until is None:
        return plan
    try:
        before = read_plan(output)
    except (FileNotFoundError, ValueError):
        before = None
    if before and before.study.until == plan.study.until:
        finished = before.finished_before_looks
    else:
        finished = sum(bool(run.is_done() or trained_elsewhere(run, output)) for run in plan.runs)
    return plan.model_copy(update={"finished_before_looks": finished})


def _next_runs(
    plan: Plan, outcomes: Mapping[str, Outcome], only: frozenset[tuple[str, int]] | None, progress: Progress
) -> list[PlannedRun]:
    """The runs to execute now: all that have not ended, or those that the next look of the study needs."""
    pending = [
        run for run in plan.runs if run.label not in outcomes and (only is None or (run.variant, run.seed) in only)
    ]
    found = read_standing(plan, _finished(outcomes))
    if found is None:
        return pending
    progress.drop(run.label for run in found.spared)
    failed = {run.variant for run in plan.runs if run.label in {*outcomes} - _finished(outcomes)}
    wanted = {run.label for run in found.wanted(failed)}
    pending = [run for run in pending if run.label in wanted]
    if pending:
        progress.say(found.describe_next(failed))
    return pending


def _finished(outcomes: Mapping[str, Outcome]) -> set[str]:
    """The labels of the runs that have a record."""
    return {label for label, outcome in outcomes.items() if not outcome.error}


def _reuse(run: PlannedRun, output: Path, progress: Progress) -> Outcome | None:
    """Take over a finished run with the same training; the outcome if nothing is left to do, otherwise ``None``."""
    try:
        trained = reuse(run, output)
    except ValueError as error:
        progress.say(f"{run.label}: cannot reuse a finished training: {error}")
        return None
    if trained is None:
        return None
    origin = trained.study if trained.study != run.study else None
    source = f"from {origin}" if origin else "trained before"
    if not trained.is_complete(run.identity):
        progress.say(f"{run.label}: weights {source}; only what is missing is scored")
        return None
    progress.finish(run.label, source)
    return Outcome(run.label, origin=origin, folder=run.folder)


@contextmanager
def _claim(output: Path) -> Iterator[None]:
    """Hold the study's folder: only one process executes it at a time, and it can be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output / STUDY_LOCK, timeout=5)  # a process that was just killed may still hold it
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
                f"the disk of {output} is full: make room, then run the study again; finished runs are kept"
            ) from None
        raise
    finally:
        lock.release()
