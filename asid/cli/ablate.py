"""``asid ablate plan | run | status | watch | resume | retry | diff | schema``: grids of runs."""

import json
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from asid.ablation.study.expand import Study, expand, load_study
from asid.ablation.study.plan import read_plan
from asid.ablation.study.study import StudyFile
from asid.files import ERROR, NOTEBOOK, SPEEDS, read_json, write_json

if TYPE_CHECKING:
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.engine.preflight import Estimate, Speed
    from asid.ablation.engine.runner import Outcome
    from asid.ablation.engine.status import RunState

app = typer.Typer(help="Plan, run, watch and resume grids of variants.", no_args_is_help=True)
console = Console()

StudyArgument = Annotated[Path, typer.Argument(help="Study file, e.g. ablations/quick.yaml.")]
FolderArgument = Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]
ProfileOption = Annotated[
    str | None, typer.Option(help="Profile of the study file, e.g. laptop or paper. By default its first.")
]
OutputOption = Annotated[
    Path | None, typer.Option(help="Folder of the study. By default results/<name of the study and profile>.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time. By default one for each GPU, else for each CPU.")
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of an existing Dask scheduler, e.g. tcp://host:8786.")
]
SlurmOption = Annotated[Path | None, typer.Option(help="YAML file with the arguments of dask_jobqueue.SLURMCluster.")]
RetryOption = Annotated[int, typer.Option(min=0, help="How often a run that failed is tried again.")]
SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Run every cell for four steps with one seed, in a folder of its own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "stale": "yellow", "planned": "white"}
_SMOKE_STEPS = 4


@app.command()
def run(
    study_file: StudyArgument,
    profile: ProfileOption = None,
    output: OutputOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    retry: RetryOption = 0,
    smoke: SmokeOption = False,
) -> None:
    """Run the grid of a study: one notebook a run. What is done is skipped; a failed run does not stop the others."""
    study = load_study(study_file, profile)
    folder = output or _default_folder(study, smoke)
    if smoke:
        study = _smoke(study)
    cluster = _cluster_config(workers, scheduler, slurm)
    _execute(
        study,
        study_file.parent / study.config.notebook,
        folder,
        cluster,
        retry,
        command=shlex.join(["asid", *sys.argv[1:]]),
    )


@app.command()
def plan(
    study_file: StudyArgument,
    profile: ProfileOption = None,
    output: OutputOption = None,
    workers: WorkersOption = None,
    budget: Annotated[str | None, typer.Option(help="Time there is, e.g. 2h, 90m or 1.5d: says what fits.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a study runs and costs: parameters, multiply-adds, measured seconds a step, hours, disk. Trains nothing."""
    study = load_study(study_file, profile)
    hours = _read_duration(budget) if budget else None
    from asid.ablation.engine.cluster import ClusterConfig, runs_at_once, threads_each
    from asid.ablation.engine.preflight import check_networks, estimate

    parameters = check_networks(study)
    runs = study.run_count
    at_a_time = runs_at_once(ClusterConfig(workers=workers), runs)
    folder = output or _default_folder(study, smoke=False)
    speeds = _speeds(study, threads_each(at_a_time), folder, keep=False)
    study = _with_steps(study, speeds)
    rows = estimate(study, parameters, speeds)
    total = sum(row.hours for row in rows) / at_a_time
    fits = _what_fits(study, rows, at_a_time, hours) if hours is not None else None
    dropped = [{"variant": item.variant, "rule": item.rule} for item in study.dropped]
    if as_json:
        content = {
            "study": study.config.name,
            "profile": study.config.profile,
            "runs": runs,
            "workers": at_a_time,
            "hours": total,
            "seeds": study.config.seeds,
        }
        typer.echo(
            json.dumps(
                {**content, "variants": [row.to_dict() for row in rows], "dropped": dropped, "budget": fits}, indent=1
            )
        )
        return
    table = Table(title=escape(study.config.question), title_justify="left")
    table.add_column("variant", overflow="fold")
    for name in ("params", "MACs (G)", "steps", "s/step", "hours", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = (
            f"{row.parameters:,}".replace(",", " "),
            f"{row.macs / 1e9:.2f}",
            str(row.steps),
            f"{row.seconds_a_step:.3f}",
        )
        table.add_row(row.variant, *numbers, _hours(row.hours), f"{row.megabytes:.0f}")
    console.print(table)
    for item in dropped:
        _say(f"dropped by the rule {item['rule']}: {item['variant']}")
    grid = f"{len(study.variants)} variants × {len(study.config.seeds)} seeds: {runs} runs, {at_a_time} at a time"
    size = sum(row.megabytes for row in rows)
    _say(f"{grid}: about {_hours(total)} h and {size:.0f} MB in {folder}, by speeds measured on this machine")
    if fits:
        _say(fits["text"])


@app.command()
def status(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Show the state of each run: planned, running, done, failed or stale."""
    from asid.ablation.engine.status import study_states

    states = study_states(folder)
    if as_json:
        typer.echo(json.dumps([state.to_dict() for state in states], indent=1))
        return
    console.print(_state_table(states))
    for state in states:
        if state.note:
            _say(f"{state.variant} seed {state.seed}, {state.state}: {state.note}")
    _say(_summary(states, folder))


@app.command()
def watch(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Follow the runs of a study while it is executed. With --json a line each time something changes. Ctrl-C stops watching only."""
    from asid.ablation.engine.status import is_executed, study_states

    states = study_states(folder)
    seen: Any = None
    with Live(_state_table(states), console=console, auto_refresh=False) if not as_json else _Nothing() as live:
        while True:
            going_on = is_executed(
                folder
            )  # asked before the states are read: what ends in between is seen in the next round
            states = study_states(folder)
            now = [state.to_dict() for state in states]
            if now != seen:
                if as_json:
                    typer.echo(json.dumps(now))
                else:
                    live.update(_state_table(states), refresh=True)
            seen = now
            if not going_on and not any(state.state == "running" for state in states):
                break
            time.sleep(2)
    if not as_json:
        if not console.is_terminal:  # there, the last table ends without a line break
            console.line()
        _say(_summary(states, folder))


class _Nothing:
    """A context that does nothing, with the face of a live table."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


@app.command()
def resume(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    retry: RetryOption = 0,
) -> None:
    """Go on with a study after an interruption: whatever is not done, an interrupted training from its last checkpoint."""
    plan = read_plan(folder)
    cluster = _cluster_config(workers, scheduler, slurm)
    _execute(expand(plan.study), plan.notebook, folder, cluster, retry, command=plan.command)


@app.command("retry")
def retry_failed(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
) -> None:
    """Run again what has failed, and nothing else."""
    from asid.ablation.engine.status import study_states

    failed = frozenset((state.variant, state.seed) for state in study_states(folder) if state.state == "failed")
    if not failed:
        _say(f"no run in {folder} has failed")
        return
    plan = read_plan(folder)
    cluster = _cluster_config(workers, scheduler, slurm)
    _execute(expand(plan.study), plan.notebook, folder, cluster, 0, only=failed, command=plan.command)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another.")],
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two finished runs: configuration, data, code, scores."""
    from asid.ablation.engine.status import compare_runs

    found = compare_runs(first, second)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    table = Table("what", escape(first.name), escape(second.name))
    for part in ("config", "data", "code"):
        for name, (mine, theirs) in found[part].items():
            table.add_row(escape(f"{part}: {name}"), escape(str(mine)), escape(str(theirs)))
    for row in found["scores"]:
        table.add_row(escape(f"PSNR of {row['data']}/{row['image']} (dB)"), *(f"{value:.2f}" for value in row["psnr"]))
    console.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    typer.echo(json.dumps(StudyFile.model_json_schema(), indent=2))


def _execute(
    study: Study,
    notebook: Path,
    folder: Path,
    cluster: "ClusterConfig",
    retry: int,
    *,
    only: frozenset[tuple[str, int]] | None = None,
    command: str | None = None,
) -> None:
    from asid.ablation.engine.cluster import runs_at_once, threads_each
    from asid.ablation.engine.preflight import check_networks, disk_megabytes
    from asid.ablation.engine.runner import check_disk, run_study
    from asid.ablation.engine.stopping import stops_cleanly

    check_disk(folder, disk_megabytes(study, check_networks(study)))
    if study.config.minutes is not None and not set(study.variants) <= set(
        study.config.steps_of
    ):  # a study that is resumed has its steps
        at_once = runs_at_once(cluster, study.run_count)
        study = _with_steps(study, _speeds(study, threads_each(at_once), folder, keep=True))
    with stops_cleanly(console):
        outcomes = run_study(study, notebook, folder, cluster, retry=retry, only=only, command=command)
    _print_outcomes(outcomes, study.run_count, folder)


def _print_outcomes(outcomes: "list[Outcome]", total: int, folder: Path) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        console.print(
            f"[red]failed[/red]: {outcome.label}: {escape(outcome.error or '')}", highlight=False, soft_wrap=True
        )
        if outcome.folder:  # a process that died may have left neither
            evidence = {"traceback": outcome.folder / ERROR, "executed notebook": outcome.folder / NOTEBOOK}
            if found := [f"{what} in {path}" for what, path in evidence.items() if path.exists()]:
                _say(f"        {', '.join(found)}")
    done = sum(not outcome.error for outcome in outcomes)
    next_command = f"asid ablate retry {folder}" if failed else f"asid report {folder}"
    if not failed and done < total:
        next_command = f"asid ablate resume {folder}"
    _say(f"{done} of {total} runs done ({sum(outcome.skipped for outcome in outcomes)} before). Next: {next_command}")
    if failed:
        raise typer.Exit(1)


def _default_folder(study: Study, smoke: bool) -> Path:
    return Path("results") / "-".join(
        [study.config.name, *([study.config.profile] if study.config.profile else []), *(["smoke"] if smoke else [])]
    )


def _cluster_config(workers: int | None, scheduler: str | None, slurm: Path | None) -> "ClusterConfig":
    from asid.ablation.engine.cluster import ClusterConfig

    return ClusterConfig(workers=workers, scheduler=scheduler, slurm=slurm)


def _smoke(study: Study) -> Study:
    """Four steps a cell; where cells differ in their steps, the next longer ones get five, and so on: they stay different runs."""
    lengths = {name: study.run_config(name).train.steps for name in study.variants}
    ranks = sorted(set(lengths.values()))
    steps = {name: _SMOKE_STEPS + ranks.index(length) for name, length in lengths.items()}
    varied = {key for variant in study.variants.values() for key in variant.delta.get("train", {})}
    short = {"validate_every": _SMOKE_STEPS, "checkpoint_every": _SMOKE_STEPS, "warmup_steps": 0}
    train = {**study.config.base.get("train", {}), **{key: value for key, value in short.items() if key not in varied}}
    return study.override(
        base={**study.config.base, "train": train}, seeds=study.config.seeds[:1], minutes=None, steps_of=steps
    )


def _speeds(study: Study, threads: int, folder: Path, *, keep: bool) -> "dict[str, Speed]":
    """The measured speed of each variant. Kept in the study's folder, the steps of ``minutes`` are the same when it is resumed."""
    from asid.ablation.engine.preflight import Speed, measure_speed

    path = folder / SPEEDS
    if keep:  # told before it takes time
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot write to {folder}: {error.strerror}; choose another folder with --output") from None
    kept: dict[str, Any] = read_json(path) if path.is_file() else {}
    speeds = {}
    for name in study.variants:
        config = study.run_config(name)
        key = f"{config.model.digest()} {config.train.batch_size}×{config.data.patch_size} {threads} threads"
        kept[key] = kept.get(key) or vars(measure_speed(config, threads))
        speeds[name] = Speed(**kept[key])
    if keep:
        write_json(path, kept)
    return speeds


def _with_steps(study: Study, speeds: "dict[str, Speed]") -> Study:
    """``minutes`` of training as steps of each variant."""
    if study.config.minutes is None:
        return study
    return study.override(
        steps_of={name: max(1, int(study.config.minutes * 60 / speed.seconds_a_step)) for name, speed in speeds.items()}
    )


def _read_duration(text: str) -> float:
    """``2h``, ``90m``, ``1.5d`` in hours."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", text.strip())
    if not match:
        raise ValueError(f"--budget {text}: expected a time such as 90m, 2h or 1.5d")
    return float(match[1]) * {"m": 1 / 60, "h": 1.0, "d": 24.0}[match[2]]


def _what_fits(study: Study, rows: "list[Estimate]", workers: int, hours: float) -> dict[str, Any]:
    """Whether a study fits into ``hours``, and else what would: fewer seeds, or fewer steps."""
    total = sum(row.hours for row in rows) / workers
    one_seed = total / len(study.config.seeds)
    seeds = min(len(study.config.seeds), int(hours / one_seed))
    training = sum(row.seeds * row.steps * row.seconds_a_step for row in rows) / 3600 / workers
    share = min(1.0, max(0.0, (hours - (total - training)) / training)) if training else 1.0
    content = {"hours": hours, "fits": total <= hours, "seeds": seeds, "share_of_steps": share}
    if total <= hours:
        return {**content, "text": f"it fits into {hours:g} h"}
    options = [f"{seeds} of {len(study.config.seeds)} seeds"] if seeds else []
    options += [f"{share:.0%} of the steps with all seeds"] if share > 0.01 else []
    return {
        **content,
        "text": f"it does not fit into {hours:g} h; what fits: {' or '.join(options) or 'not one run of each variant'}",
    }


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:.0f}"


def _state_table(states: "list[RunState]") -> Table:
    table = Table("variant", "seed", "state")
    table.add_column("steps", justify="right")
    table.add_column("PSNR (dB)", justify="right")
    for state in states:
        steps = f"{state.step or 0}/{state.steps}" if state.steps else ""
        psnr = f"{state.psnr:.2f}" if state.psnr is not None else ""
        colour = _COLOURS[state.state]
        table.add_row(escape(state.variant), str(state.seed), f"[{colour}]{state.state}[/{colour}]", steps, psnr)
    return table


def _summary(states: "list[RunState]", folder: Path) -> str:
    planned = [state for state in states if not state.note.startswith("not in the plan")]
    counts = {name: sum(state.state == name for state in planned) for name in _COLOURS}
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if counts["done"] == len(planned):
        return f"{text}. Next: asid report {folder}"
    if counts["running"]:
        return f"{text}. Follow it: asid ablate watch {folder}"
    if counts["failed"] and counts["failed"] + counts["done"] == len(planned):
        return f"{text}. Next: asid ablate retry {folder}"
    return f"{text}. Next: asid ablate resume {folder}"


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
