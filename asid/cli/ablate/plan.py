"""``asid ablate plan | schema``: what a study runs, costs and can detect; what its file may say."""

import json
import math
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from asid.cli.ablate.options import (
    OutputOption,
    ProfileOption,
    UntilOption,
    WorkersOption,
    cluster_config,
    default_folder,
    with_looks,
)
from asid.cli.options import JsonOption, RootOption, SafeConsole, console, new_table, say, use_data_root
from asid.files import STUDY, grouped, json_text

app = typer.Typer()


@app.command(epilog="Example: asid ablate plan ablations/quick.yaml --budget 2h")
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
    data_root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a study runs, costs and can detect: parameters, multiply-adds, hours, disk, dB. Trains nothing."""
    use_data_root(data_root)
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
    study = with_looks(study, until)
    hours = _read_duration(budget) if budget else None
    from asid.ablation.engine.notebook import check_notebook
    from asid.ablation.engine.preflight import estimate_cost
    from asid.ablation.statistics.noise import find_noise
    from asid.ablation.statistics.power import StudyPower

    folder = output or default_folder(study)
    check_notebook(notebook)
    with nullcontext() if as_json else SafeConsole(stderr=True).status("reading finished studies") as shown:
        power = StudyPower(study, find_noise(folder.parent, study.run_config(study.base_name)), noise)
        if detect:
            power.check()
        cost = estimate_cost(study, folder, cluster_config(workers), shown.update if shown else lambda _: None)
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
    columns = ("params", "MACs (G)", "steps", "s/step", "hours", "MB", "detects (dB)")
    table = new_table("variant", numbers=columns, title=escape(study.config.question))
    for row in cost.variants:
        parameters, macs = grouped(row.parameters), f"{row.macs / 1e9:.2f}"
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


@app.command(epilog="Example: asid ablate schema")
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from asid.ablation.study.study import StudyFile

    typer.echo(json.dumps(StudyFile.model_json_schema(), indent=2))


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
