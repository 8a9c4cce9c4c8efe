"""``asid ablate run | resume | stop | retry``: execute a study, or what is left of it."""

import shlex
import sys
from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

import asid
from asid.cli.ablate.options import (
    FolderArgument,
    OutputOption,
    ProfileOption,
    RetryOption,
    SchedulerOption,
    SlurmOption,
    StudyArgument,
    UntilOption,
    WorkersOption,
    cluster_config,
    default_folder,
    with_looks,
)
from asid.cli.ablate.watch import summarise
from asid.cli.options import RootOption, console, say, use_data_root
from asid.cli.stopping import stops_cleanly
from asid.files import ERROR, NOTEBOOK, STUDY

if TYPE_CHECKING:
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.engine.outcome import Outcome
    from asid.ablation.study.expand import Study

app = typer.Typer()

_NOTEBOOKS = Path(asid.__file__).resolve().parent.parent / "notebooks"
"""Those of the project, in a checkout."""


@app.command(epilog="Example: asid ablate run ablations/quick.yaml")
def run(
    study_file: StudyArgument,
    profile: ProfileOption = None,
    output: OutputOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    retry: RetryOption = 0,
    until: UntilOption = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run this variant, or trained reference, and no other. Repeatable.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Run every variant for four steps with one seed, in a separate folder.")
    ] = False,
    data_root: RootOption = None,
) -> None:
    """Run a study: one notebook per run. Finished runs are skipped; a failed run does not stop the others."""
    repeat = use_data_root(data_root)
    from asid.ablation.study.expand import load_study

    study = with_looks(load_study(study_file, profile), until)
    folder = output or default_folder(study, smoke)
    notebook = study_file.parent / study.config.notebook
    cluster = cluster_config(workers, scheduler, slurm)
    if smoke:
        from asid.ablation.engine.preflight import shorten

        study = shorten(study)
    runs = _runs_of(study, only) if only else None
    _execute(study, notebook, folder, cluster, retry=retry, only=runs, command=_this_command(), repeat=repeat)


@app.command(epilog="Example: asid ablate resume results/quick --add-seeds 2")
def resume(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    retry: RetryOption = 0,
    add_seeds: Annotated[int, typer.Option(min=0, max=100, help="Also run every variant with so many more seeds.")] = 0,
    data_root: RootOption = None,
) -> None:
    """Continue a study after an interruption: everything that is not done, trainings from their last checkpoint."""
    repeat = use_data_root(data_root)
    _go_on(folder, cluster_config(workers, scheduler, slurm), add_seeds=add_seeds, retry=retry, repeat=repeat)


@app.command(epilog="Example: asid ablate stop results/quick")
def stop(folder: FolderArgument) -> None:
    """Stop a study that runs on this machine, as Ctrl-C does in its terminal. Resume continues it."""
    from asid.ablation.engine.background import stop

    stop(folder)
    say(f"{folder} is stopping. Next: asid ablate resume {shlex.quote(str(folder))}")


@app.command("retry", epilog="Example: asid ablate retry results/quick")
def retry_failed(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    data_root: RootOption = None,
) -> None:
    """Repeat the runs that failed or whose process died, and no others."""
    repeat = use_data_root(data_root)
    from asid.ablation.engine.status import study_states

    states = study_states(folder)
    ended = [state for state in states if state.in_plan and state.state in ("failed", "stale")]
    if not ended:
        say(f"no run in {folder} has failed or lost its process: {summarise(states, folder)}")
        return
    only = frozenset((state.variant, state.seed) for state in ended)
    _go_on(folder, cluster_config(workers, scheduler, slurm), only=only, repeat=repeat)


def _go_on(folder: Path, cluster: "ClusterConfig", *, add_seeds: int = 0, **options: Any) -> None:
    """Execute the study that was planned in ``folder``, perhaps with more seeds; see :func:`_execute`."""
    from asid.ablation.study.expand import expand
    from asid.ablation.study.plan import read_plan

    stored = read_plan(folder)
    study, command = stored.study, stored.command
    if add_seeds:
        study = study.with_more_seeds(add_seeds)
        command = " && ".join(filter(None, (command, _this_command())))
    if not stored.notebook.resolve().is_relative_to(_NOTEBOOKS):
        say(f"this executes {stored.notebook}, which {folder / STUDY} names: read it first if the study is not yours")
    _execute(expand(study), stored.notebook, folder, cluster, command=command, **options)


def _this_command() -> str:
    return shlex.join(["asid", *sys.argv[1:]])


def _runs_of(study: "Study", names: list[str]) -> frozenset[tuple[str, int]]:
    """The runs of some variants.

    Raises:
        ValueError: The study has no such variant.
    """
    for name in names:
        if name not in study.run_names:
            close = get_close_matches(name, study.run_names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(study.run_names)}"
            raise ValueError(f"--only {name}: the study has no such variant; {hint}")
    return frozenset((name, seed) for name in names for seed in study.config.seeds)


def _execute(
    study: "Study",
    notebook: Path,
    folder: Path,
    cluster: "ClusterConfig",
    *,
    retry: int = 0,
    only: frozenset[tuple[str, int]] | None = None,
    command: str | None = None,
    repeat: str = "",
) -> None:
    """Execute a study, or what is left of it, and print what to type next, which ends with ``repeat``."""
    from asid.ablation.engine.finished import finished_outcomes, stored_steps

    study = stored_steps(study, folder)
    if outcomes := finished_outcomes(study, folder):
        say("nothing to do")
        _print_outcomes(outcomes, study.run_count, folder, repeat)
        return
    from asid.ablation.engine.preflight import prepare
    from asid.ablation.engine.preparing import announced
    from asid.ablation.engine.runner import run_study

    with stops_cleanly(console), announced(folder):
        study = prepare(study, folder, cluster)
        outcomes = run_study(study, notebook, folder, cluster, retry=retry, only=only, command=command)
    _print_outcomes(outcomes, study.run_count, folder, repeat)


def _print_outcomes(outcomes: "list[Outcome]", total: int, folder: Path, repeat: str) -> None:
    from asid.ablation.engine.outcome import next_command

    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        error = escape(outcome.error or "")
        console.print(f"[red]failed[/red]: {outcome.label}: {error}", highlight=False, soft_wrap=True)
        if outcome.folder:  # a process that died may have left neither
            evidence = {"traceback": outcome.folder / ERROR, "executed notebook": outcome.folder / NOTEBOOK}
            if existing := [f"{what} in {path}" for what, path in evidence.items() if path.exists()]:
                say(f"        {', '.join(existing)}")
    spared = sum(outcome.spared for outcome in outcomes)
    done = sum(not outcome.error for outcome in outcomes) - spared
    counts = Counter(done=done, spared=spared, planned=total - len(outcomes))
    for outcome in failed:
        counts["failed" if outcome.folder and (outcome.folder / ERROR).exists() else "stale"] += 1
    sources = [f"{sum(outcome.skipped for outcome in outcomes)} before"]
    origins = Counter(outcome.origin for outcome in outcomes if outcome.origin)
    sources += [f"{count} from {origin}" for origin, count in origins.items()]
    sources += [f"{spared} not needed for the verdicts"] if spared else []
    say(f"{done} of {total} runs done ({', '.join(sources)}). Next: {next_command(counts, folder)}{repeat}")
    if failed:
        raise typer.Exit(1)
