"""The command line: ``asid train | ablate | report | complexity``. Each command is a thin call into the package."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from asid.config import PRESETS, Config, RunConfig, build_run, describe_errors

app = typer.Typer(
    help="Train, compare and look inside variants of ASID, the attention-sharing information distillation transformer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()

PresetOption = Annotated[str, typer.Option("--preset", help=f"Network to start from: {', '.join(PRESETS)}.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one field, e.g. model.attention_sharing=none or train.steps=2000. Repeatable. See 'asid fields'."),
]


@app.command()
def train(
    output: Annotated[Path, typer.Argument(help="Folder of the run: weights, curves, SR images, record.")],
    preset_name: PresetOption = "asid",
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the patches.")] = 0,
) -> None:
    """Train one variant, score it, and write its record. Run it again to go on after an interruption."""
    config = build_run(preset_name, _sections(changes), seed)
    from asid.ablation.experiment import run_experiment

    record = run_experiment(config, output).write_record(study="single", variant=output.name)
    _print_scores(record.score_table)
    console.print(f"[green]done[/green]: {escape(str(output))}/record.json")


@app.command()
def ablate(
    study_file: Annotated[Path, typer.Argument(help="Study file, e.g. ablations/quick.yaml.")],
    output: Annotated[Path | None, typer.Option(help="Folder of the study. By default results/<name of the study>.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time. By default one for each CPU.")] = None,
) -> None:
    """Run the grid of a study: one notebook a run. What is done is skipped; a failed run does not stop the others."""
    from asid.ablation.grid import load_study

    study = load_study(study_file)
    folder = output or Path("results") / study.name
    from asid.ablation.runner import ERROR, NOTEBOOK, plan, run_study

    outcomes = run_study(study, study_file.parent / study.notebook, folder, workers)
    failed = [(run, outcome) for run, outcome in zip(plan(study, folder), outcomes, strict=True) if outcome.error]
    for run, outcome in failed:
        console.print(f"[red]failed[/red]: {outcome.label}: {escape(outcome.error or '')}", highlight=False)
        console.print(
            f"        traceback in {escape(str(run.folder / ERROR))}, executed notebook in {escape(str(run.folder / NOTEBOOK))}",
            highlight=False,
        )
    done = sum(not outcome.error for outcome in outcomes)
    console.print(
        f"{done} of {len(outcomes)} runs done ({sum(outcome.skipped for outcome in outcomes)} before). "
        f"Next: asid report {escape(str(folder))}"
    )
    if failed:
        raise typer.Exit(1)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]) -> None:
    """Write a study's comparison table (Markdown, CSV, LaTeX) and figures (PNG, SVG) from its records."""
    from asid.ablation.report import comparison, describe, load_results, to_text, write_report

    files = write_report(folder)
    study = load_results(folder)
    shown = to_text(comparison(study)).drop(columns="change")
    if shown["data"].nunique() == 1:
        shown = shown.drop(columns="data")
    table = Table(title=escape(study.plan["question"]), title_justify="left")
    for name in shown.columns:
        table.add_column(name, justify="left" if name in ("variant", "data") else "right", no_wrap=True)
    for row in shown.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)
    for sentence in describe(study):
        console.print(f"  {escape(sentence)}", highlight=False)
    console.print(f"Written: {len(files)} files in {escape(str(folder))}; start with comparison.md there", highlight=False)


@app.command()
def complexity(
    preset_name: PresetOption = "asid",
    changes: SetOption = None,
    width: Annotated[int, typer.Option(min=1, help="Width of the output, in pixels.")] = 1280,
    height: Annotated[int, typer.Option(min=1, help="Height of the output, in pixels.")] = 720,
) -> None:
    """Count parameters and multiply-adds of a network by fvcore, ptflops and torch."""
    config = build_run(preset_name, _sections(changes)).model
    from asid.complexity import measure_complexity

    cost = measure_complexity(config, (width, height))
    table = Table(title=f"{preset_name} ×{config.scale}, output {width}×{height}", title_justify="left")
    for name in ("parameters", "torch (G MACs)", "ptflops (G MACs)", "fvcore (G MACs)"):
        table.add_column(name, justify="right")
    macs = (cost.macs_torch, cost.macs_ptflops, cost.macs_fvcore)
    table.add_row(f"{cost.parameters:,}".replace(",", " "), *(f"{count / 1e9:.2f}" for count in macs))
    console.print(table)


@app.command()
def fields() -> None:
    """List every field that --set and study files can change, with its default and meaning."""
    table = Table("field", "default", "meaning")
    for section, info in RunConfig.model_fields.items():
        inner = info.annotation
        if not (isinstance(inner, type) and issubclass(inner, Config)):
            continue
        for name, field in inner.model_fields.items():
            table.add_row(f"{section}.{name}", str(inner().to_dict()[name]), field.description or "")
    console.print(table)


def _sections(changes: list[str] | None) -> dict[str, dict[str, Any]]:
    """``['model.esa=false']`` to ``{'model': {'esa': False}}``; values are read as YAML."""
    sections: dict[str, dict[str, Any]] = {}
    for change in changes or []:
        name, separator, value = change.partition("=")
        section, dot, field = name.partition(".")
        if not (separator and dot and field):
            raise ValueError(f"--set {change}: expected section.field=value, e.g. model.attention_sharing=none")
        try:
            sections.setdefault(section, {})[field] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--set {change}: {value} is no YAML value: {' '.join(str(error).split())}") from None
    return sections


def _print_scores(scores: Any) -> None:
    table = Table("data", "image")
    table.add_column("PSNR-Y (dB)", justify="right")
    table.add_column("SSIM-Y", justify="right")
    for row in scores.itertuples():
        table.add_row(row.data, row.image, f"{row.psnr:.2f}", f"{row.ssim:.4f}")
    table.add_section()
    table.add_row("mean", "", f"{scores['psnr'].mean():.2f}", f"{scores['ssim'].mean():.4f}")
    console.print(table)


def main() -> None:
    """Run the command line; what a user can mend is one clear line and exit status 2, not a traceback."""
    errors = Console(stderr=True)
    try:
        app()
    except ValidationError as error:
        for line in describe_errors(error):
            errors.print(f"[red]error[/red]: {escape(line)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except (ValueError, OSError) as error:
        errors.print(f"[red]error[/red]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == 130:  # Typer turns Ctrl-C into this
            errors.print("interrupted; the same command goes on where it stopped")
        raise


if __name__ == "__main__":
    main()
