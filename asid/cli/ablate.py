"""``asid ablate plan | run | status | watch | stop | resume | retry …``: studies of many runs."""

import json
import math
import re
import shlex
import sys
import time
from collections import Counter
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

import asid
from asid.cli.options import JsonOption, SafeConsole, console, say
from asid.cli.stopping import stops_cleanly
from asid.files import CONFIG, ERROR, NOTE, NOTEBOOK, RECORD, STUDY, json_text, read_note, write_text

if TYPE_CHECKING:
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.engine.outcome import Outcome
    from asid.ablation.engine.status import RunState
    from asid.ablation.study.expand import Study

app = typer.Typer(help="Plan, run, watch and resume studies of many variants.", no_args_is_help=True)

StudyArgument = Annotated[Path, typer.Argument(help="Study file, e.g. ablations/quick.yaml.")]
FolderArgument = Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]
ProfileOption = Annotated[
    str | None, typer.Option(help="Profile of the study file, e.g. laptop or paper. Default: its first one.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the study. Default: results/<study>, with a profile results/<study>-<profile>."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Runs at a time. Default: one per GPU, or one per CPU thread if there is no GPU."),
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of an existing Dask scheduler, e.g. tcp://host:8786.")
]
SlurmOption = Annotated[Path | None, typer.Option(help="YAML file with the arguments of dask_jobqueue.SLURMCluster.")]
RetryOption = Annotated[int, typer.Option(min=0, help="How many times to repeat a failed run.")]
SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Run every variant for four steps with one seed, in a separate folder.")
]

UntilOption = Annotated[
    Literal["decided"] | None,
    typer.Option(help="Add seeds until there is a verdict: at the looks of the study file, or at 3, 5 and 8 seeds."),
]

_NOTEBOOKS = Path(asid.__file__).resolve().parent.parent / "notebooks"
"""Those of the project, in a checkout."""
_COLOURS = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "stale": "yellow",
    "planned": "white",
    "spared": "white",
}


@app.command()
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
    smoke: SmokeOption = False,
) -> None:
    """Run a study: one notebook per run. Finished runs are skipped; a failed run does not stop the others."""
    from asid.ablation.study.expand import load_study

    study = _with_looks(load_study(study_file, profile), until)
    folder = output or _default_folder(study, smoke)
    notebook = study_file.parent / study.config.notebook
    cluster = _cluster_config(workers, scheduler, slurm)
    if smoke:
        from asid.ablation.engine.preflight import shorten

        study = shorten(study)
    runs = _runs_of(study, only) if only else None
    _execute(study, notebook, folder, cluster, retry=retry, only=runs, command=_this_command())


@app.command()
def plan(
    study_file: Annotated[
        Path, typer.Argument(help="Study file, e.g. ablations/quick.yaml, or folder of a study: what is left of it.")
    ],
    profile: ProfileOption = None,
    output: OutputOption = None,
    workers: WorkersOption = None,
    budget: Annotated[str | None, typer.Option(help="Available time, e.g. 2h, 90m or 1.5d: reports what fits.")] = None,
    detect: Annotated[
        float | None,
        typer.Option(min=0.0001, max=100, help="A change in dB: reports the seeds and hours that find it."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=100,
            help="SD of a change from seed to seed, in dB. Default: that of finished studies of this base.",
        ),
    ] = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a study runs, costs and can detect: parameters, multiply-adds, hours, disk, dB. Trains nothing."""
    from asid.ablation.study.expand import expand, load_study
    from asid.ablation.study.plan import read_plan

    if (study_file / STUDY).is_file():
        if profile:
            raise ValueError(f"--profile {profile}: {study_file} is planned already: leave it out, or name the file")
        stored = read_plan(study_file)
        study, output, notebook = expand(stored.study), output or study_file, stored.notebook
    else:
        study = load_study(study_file, profile)
        notebook = study_file.parent / study.config.notebook
    study = _with_looks(study, until)
    hours = _read_duration(budget) if budget else None
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.engine.notebook import check_notebook
    from asid.ablation.engine.preflight import estimate_cost
    from asid.ablation.statistics.noise import find_noise
    from asid.ablation.statistics.power import StudyPower

    folder = output or _default_folder(study, smoke=False)
    check_notebook(notebook)
    with nullcontext() if as_json else SafeConsole(stderr=True).status("reading finished studies") as shown:
        power = StudyPower(study, find_noise(folder.parent, study.run_config(study.base_name)), noise)
        if detect:
            power.check()
        cost = estimate_cost(study, folder, ClusterConfig(workers=workers), shown.update if shown else lambda _: None)
    fit = cost.fit(hours) if hours is not None else None
    detectable, answer = power.detectable(), power.answer(detect, cost.hours_of) if detect else None
    if as_json:
        content = {
            "study": study.config.name,
            "profile": study.config.profile,
            "runs": study.run_count,
            "workers": cost.workers,
            "hours": cost.hours,
            "seeds": study.config.seeds,
            "variants": [vars(variant) for variant in cost.variants],
            "dropped": [vars(item) for item in study.dropped],
            "done": cost.done,
            "to_train": cost.left,
            "reused": cost.origins,
            "budget": vars(fit) if fit else None,
            "noise": None if math.isnan(power.spread) else power.spread,
            "detectable": detectable,
            "power": power.outlook(),
            "detect": answer,
        }
        typer.echo(json_text(content), nl=False)
        return
    table = Table(title=escape(study.config.question), title_justify="left")
    table.add_column("variant", overflow="fold")
    for name in ("params", "MACs (G)", "steps", "s/step", "hours", "MB", "detects (dB)"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in cost.variants:
        parameters, macs = f"{row.parameters:,}".replace(",", " "), f"{row.macs / 1e9:.2f}"
        numbers = (str(row.steps), f"{row.seconds_a_step:.3f}", _format_hours(row.hours), f"{row.megabytes:.0f}")
        smallest = detectable.get(row.variant)
        table.add_row(row.variant, parameters, macs, *numbers, f"{smallest:.3f}" if smallest else "–")
    console.print(table)
    say(power.outlook())
    if answer:
        say(answer["text"])
    for item in study.dropped:
        say(f"dropped by the rule {item.rule}: {item.variant}")
    what = ", ".join([f"{len(study.variants)} variants", *study.config.trained_references])
    most = "at most " if study.config.until else ""
    size = f"{what} × {most}{len(study.config.seeds)} seeds: {most}{study.run_count} runs"
    price = f"about {_format_time(cost.hours)} and " if cost.left else ""
    price += f"{cost.megabytes:.0f} MB in {folder}"
    say(f"{size}, {cost.workers} at a time: {price}, by speeds measured on this machine")
    if cost.done:
        say(f"{cost.done} done, {cost.left} to train" + (f": {_format_time(cost.hours)}" if cost.left else ""))
    for origin, count in Counter(cost.origins.values()).items():
        say(f"{count} of {study.run_count} runs are not trained again: from {origin}")
    if fit:
        say(fit.text)


@app.command()
def status(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Show the state of each run: planned, running, done, failed or stale."""
    states = _states(folder)
    if as_json:
        typer.echo(json_text([state.to_dict() for state in states]), nl=False)
        return
    if states:
        console.print(_state_table(states))
    for state in states:
        if state.note:
            say(f"{state.variant} seed {state.seed}, {state.state}: {state.note}")
    for what, place in [("study", folder), *((f"{state.variant} seed {state.seed}", state.folder) for state in states)]:
        if text := read_note(place):
            say(f"note on {what}: {text}")
    say(_summarise(states, folder))


@app.command()
def watch(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Follow the runs of a study while it runs. With --json, one line per change. Ctrl-C only stops watching."""
    from asid.ablation.engine.preparing import is_preparing
    from asid.ablation.engine.status import is_executed

    states = _states(folder)
    seen: Any = None
    with nullcontext() if as_json else Live(_state_table(states), console=console, auto_refresh=False) as live:
        while True:
            # Before the states are read: what ends in between is seen in the next round.
            is_busy = is_preparing(folder) or is_executed(folder)
            states = _states(folder, is_busy)
            now = [state.to_dict() for state in states]
            if now != seen and live:
                live.update(_state_table(states), refresh=True)
            elif now != seen:
                typer.echo(json_text(now, indent=None), nl=False)
            seen = now
            if not is_busy and not any(state.state == "running" for state in states):
                break
            time.sleep(2)
    if not as_json:
        if not console.is_terminal:  # there, the last table ends without a line break
            console.line()
        say(_summarise(states, folder))


@app.command()
def resume(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
    retry: RetryOption = 0,
    add_seeds: Annotated[int, typer.Option(min=0, max=100, help="Also run every variant with so many more seeds.")] = 0,
) -> None:
    """Continue a study after an interruption: everything that is not done, trainings from their last checkpoint."""
    _go_on(folder, _cluster_config(workers, scheduler, slurm), add_seeds=add_seeds, retry=retry)


@app.command()
def stop(folder: FolderArgument) -> None:
    """Stop a study that runs on this machine, as Ctrl-C does in its terminal. Resume continues it."""
    from asid.ablation.engine.background import stop

    stop(folder)
    say(f"{folder} is stopping. Next: asid ablate resume {shlex.quote(str(folder))}")


@app.command("retry")
def retry_failed(
    folder: FolderArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    slurm: SlurmOption = None,
) -> None:
    """Repeat the runs that failed or whose process died, and no others."""
    from asid.ablation.engine.status import study_states

    states = study_states(folder)
    ended = [state for state in states if state.in_plan and state.state in ("failed", "stale")]
    if not ended:
        say(f"no run in {folder} has failed or lost its process: {_summarise(states, folder)}")
        return
    only = frozenset((state.variant, state.seed) for state in ended)
    _go_on(folder, _cluster_config(workers, scheduler, slurm), only=only)


@app.command()
def note(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or of a run.")],
    text: Annotated[str | None, typer.Argument(help='What to remember; "" deletes the note. Default: show it.')] = None,
) -> None:
    """Show or write a note on a study or a run. Nothing is trained or scored again for it."""
    if not any((folder / name).is_file() for name in (STUDY, CONFIG, RECORD)):
        raise ValueError(f"no study and no run in {folder}: expected {STUDY}, {CONFIG} or {RECORD} there")
    if text == "":
        (folder / NOTE).unlink(missing_ok=True)
    elif text is not None:
        write_text(folder / NOTE, text + "\n")
    say(read_note(folder) or f"no note on {folder}")


@app.command()
def clean(
    folder: FolderArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete the folders of runs that are not in the study's plan any more, after asking."""
    from asid.ablation.engine.leftovers import delete_leftovers, find_leftovers

    leftovers = find_leftovers(folder)
    if not leftovers:
        say(f"nothing to clean in {folder}: every run folder is in the plan")
        return
    for leftover in leftovers:
        say(f"{leftover.folder}, {leftover.size / 1e6:.1f} MB: {leftover.note}")
    size = sum(leftover.size for leftover in leftovers) / 1e6
    if not yes and not typer.confirm(f"Delete these {len(leftovers)} folders, {size:.1f} MB, with what was trained?"):
        say("nothing was deleted")
        return
    delete_leftovers(folder, leftovers)
    say(f"{len(leftovers)} folders deleted, {size:.1f} MB")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="Folder of a study, or of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another one.")],
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two studies, or two runs: configuration, data, code; then what that did to scores."""
    kinds = [_kind_of(folder) for folder in (first, second)]
    if len(set(kinds)) > 1:
        raise ValueError(f"expected two studies or two runs, got the {kinds[0]} {first} and the {kinds[1]} {second}")
    if kinds[0] == "study":
        _diff_studies(first, second, as_json)
    else:
        _diff_runs(first, second, as_json)


def _kind_of(folder: Path) -> str:
    """Whether a folder is that of a study or of a run.

    Raises:
        ValueError: It is neither.
    """
    for file, kind in ((STUDY, "study"), (RECORD, "run")):
        if (folder / file).is_file():
            return kind
    what = "it has neither" if folder.is_dir() else "there is no such folder"
    raise ValueError(f"{folder}: expected the folder of a study ({STUDY}) or of a finished run ({RECORD}); {what}")


def _diff_studies(first: Path, second: Path, as_json: bool) -> None:
    from asid.ablation.report.results import load_results
    from asid.ablation.report.side_by_side import SideBySide
    from asid.ablation.report.tables import show_interval, show_number
    from asid.runs.record import to_rows

    both = SideBySide(load_results(first), load_results(second))
    if as_json:
        changed = {name: [before, after] for name, before, after in both.changed}
        content = {"studies": [str(first), str(second)], "changed": changed, "scores": to_rows(both.table)}
        typer.echo(json_text({**content, "left_out": both.left_out, "flipped": both.flipped}), nl=False)
        return
    table = Table("changed", escape(str(first)), escape(str(second)))
    for name, *values in both.changed:
        table.add_row(escape(name), *("–" if value in (None, "") else escape(str(value)) for value in values))
    if both.changed:
        console.print(table)
    else:
        say("nothing was changed")
    table = Table("set", "variant")
    for name in ("seeds", "PSNR (dB)", "then", "change", "95 %", "Δ dB", "then"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in to_rows(both.table):
        verdicts = [row[f"verdict_{which}"] or "–" for which in ("first", "second")]
        table.add_row(
            escape(row["data"]),
            escape(row["variant"]),
            show_number(row["seeds"], "{}"),
            *(f"{value:.2f}" for value in (row["psnr_first"], row["psnr_second"])),
            f"{row['change']:+z.3f}",
            show_interval(row["low"], row["high"]),
            *(show_number(value, "{:+z.3f}") for value in (row["delta_first"], row["delta_second"])),
            verdicts[0] if len(set(verdicts)) == 1 else " → ".join(verdicts),
        )
    console.print(table)
    say("Change: second minus first, over the seeds and images of both, with Student's t interval over seeds.")
    if both.flipped:
        say(f"Verdicts that depend on the changes: {', '.join(both.flipped)}")
    for name in both.left_out:
        say(f"{name} is not compared: its images are not the same")


def _diff_runs(first: Path, second: Path, as_json: bool) -> None:
    from asid.ablation.engine.compare import compare_runs

    differences = compare_runs(first, second)
    if as_json:
        typer.echo(json_text(differences), nl=False)
        return
    table = Table("what", escape(first.name), escape(second.name))
    for part in ("config", "data", "code"):
        for name, (mine, theirs) in differences[part].items():
            table.add_row(escape(f"{part}: {name}"), escape(str(mine)), escape(str(theirs)))
    for row in differences["scores"]:
        table.add_row(escape(f"PSNR of {row['data']}/{row['image']} (dB)"), *(f"{value:.2f}" for value in row["psnr"]))
    console.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from asid.ablation.study.study import StudyFile

    typer.echo(json.dumps(StudyFile.model_json_schema(), indent=2))


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


def _with_looks(study: "Study", until: str | None) -> "Study":
    """The study with the looks of its file, or if it is to have some and has none, with the usual ones."""
    from asid.ablation.study.until import Until

    return study.override(until=Until()) if until and study.config.until is None else study


def _execute(
    study: "Study",
    notebook: Path,
    folder: Path,
    cluster: "ClusterConfig",
    *,
    retry: int = 0,
    only: frozenset[tuple[str, int]] | None = None,
    command: str | None = None,
) -> None:
    from asid.ablation.engine.finished import finished_outcomes, stored_steps

    study = stored_steps(study, folder)
    if outcomes := finished_outcomes(study, folder):
        say("nothing to do")
        _print_outcomes(outcomes, study.run_count, folder)
        return
    from asid.ablation.engine.preflight import prepare
    from asid.ablation.engine.preparing import announced
    from asid.ablation.engine.runner import run_study

    with stops_cleanly(console), announced(folder):
        study = prepare(study, folder, cluster)
        outcomes = run_study(study, notebook, folder, cluster, retry=retry, only=only, command=command)
    _print_outcomes(outcomes, study.run_count, folder)


def _print_outcomes(outcomes: "list[Outcome]", total: int, folder: Path) -> None:
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
    say(f"{done} of {total} runs done ({', '.join(sources)}). Next: {next_command(counts, folder)}")
    if failed:
        raise typer.Exit(1)


def _default_folder(study: "Study", smoke: bool) -> Path:
    return Path("results") / (study.config.full_name + ("-smoke" if smoke else ""))


def _cluster_config(workers: int | None, scheduler: str | None, slurm: Path | None) -> "ClusterConfig":
    from asid.ablation.engine.cluster import ClusterConfig

    return ClusterConfig(workers=workers, scheduler=scheduler, slurm=slurm)


def _read_duration(text: str) -> float:
    """``2h``, ``90m`` or ``1.5d`` in hours."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", text.strip())
    if not match:
        raise ValueError(f"--budget {text}: expected a time such as 90m, 2h or 1.5d")
    if len(match[1]) > 9:
        raise ValueError(f"--budget {text[:50]}: expected a time of less than a million days")
    return float(match[1]) * {"m": 1 / 60, "h": 1.0, "d": 24.0}[match[2]]


def _format_time(hours: float) -> str:
    return f"{max(1, round(hours * 60))} min" if hours < 1.5 else f"{_format_hours(hours)} h"


def _format_hours(hours: float) -> str:
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


def _summarise(states: "list[RunState]", folder: Path) -> str:
    """How many runs are in which state, and the next command to type."""
    from asid.ablation.engine.outcome import next_command
    from asid.ablation.engine.preparing import is_preparing

    counts = Counter(str(state.state) for state in states if state.in_plan)
    text = ", ".join(f"{counts[name]} {name}" for name in _COLOURS if counts[name])
    if is_preparing(folder):
        what = "Preparing: networks and data are checked, speeds are measured"
        return f"{text}. {what}".removeprefix(". ") + f". Follow it: asid ablate watch {shlex.quote(str(folder))}"
    return f"{text}. {'Follow it' if counts['running'] else 'Next'}: {next_command(counts, folder)}"


def _states(folder: Path, is_preparing: bool | None = None) -> "list[RunState]":
    """The state of each run; none while the study is being prepared for the first time."""
    from asid.ablation.engine import preparing
    from asid.ablation.engine.status import study_states

    try:
        return study_states(folder)
    except FileNotFoundError:
        if preparing.is_preparing(folder) if is_preparing is None else is_preparing:
            return []
        raise
