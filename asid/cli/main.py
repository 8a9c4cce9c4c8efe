"""The command line ``asid``. Each command is a thin call into the package, which it imports when it is called."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from asid.cli import ablate, data, score
from asid.cli.options import DEFAULT_PRESET, PresetOption, SetOption, console, help_of, read_changes, say
from asid.config import Config, RunConfig, build_run, describe_errors

app = typer.Typer(
    help="Train, compare and look inside variants of ASID, the attention-sharing information distillation transformer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.add_typer(ablate.app, name="ablate")
for command in (score.evaluate, score.score, score.upscale, score.verify):
    app.command()(command)


@app.command()
def train(
    output: Annotated[Path, typer.Argument(help="Folder of the run: weights, curves, SR images, record.")],
    preset_name: PresetOption = DEFAULT_PRESET,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help=help_of(RunConfig, "seed"))] = RunConfig().seed,
) -> None:
    """Train one variant, score it, and write its record. After an interruption the same command resumes it."""
    config = build_run(preset_name, read_changes(changes), seed)
    from asid.runs.run import train_and_score

    record = train_and_score(config, output).write_record(study="single", variant=output.name)
    _print_scores(record.score_table)
    console.print(f"[green]done[/green]: {escape(str(output))}/record.json")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]) -> None:
    """Write a study's report: a page (HTML), tables (Markdown, LaTeX, CSV, JSON) and figures (PNG, SVG)."""
    from asid.ablation.report.results import load_results
    from asid.ablation.report.sentences import conclude, describe, explain
    from asid.ablation.report.tables import alignment, to_text
    from asid.ablation.report.write import write_report

    results = load_results(folder)
    files = write_report(results)
    shown = to_text(results.table, compact=True).drop(columns=["change", "data"])
    shown = shown.rename(columns={"p (Holm)": "p", "map use (dB)": "map use"})
    for name in ("seeds", "SSIM", "MACs (G)", "params"):  # dropped one by one until the table fits
        if sum(2 + max(map(len, [column, *shown[column]])) for column in shown) > console.width:
            shown = shown.drop(columns=name)
    title = escape(results.plan.question)
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, side in zip(shown.columns, alignment(shown.columns), strict=True):
        justify: Any = "left" if side == "left" else "right"
        table.add_column(name, justify=justify, no_wrap=name != "variant", overflow="fold")
    for source, rows in shown.groupby(results.table["data"], sort=False):
        if len(results.sets) > 1:
            table.add_section()
            table.add_row(f"[bold]{escape(str(source))}")
        for row in rows.itertuples(index=False):
            table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
    for sentence in [*conclude(results), *explain(results), *describe(results)]:
        console.print(f"  {escape(sentence)}", highlight=False)
    say(f"Written: {len(files)} files; start with {folder}/report.html")


@app.command()
def complexity(
    preset_name: PresetOption = DEFAULT_PRESET,
    changes: SetOption = None,
    width: Annotated[int, typer.Option(min=1, help="Width of the output, in pixels.")] = 1280,
    height: Annotated[int, typer.Option(min=1, help="Height of the output, in pixels.")] = 720,
) -> None:
    """Count parameters and multiply-adds of a network with fvcore, ptflops and torch."""
    config = build_run(preset_name, read_changes(changes)).model
    from asid.model.complexity import measure_complexity

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
    table = Table()
    table.add_column("field", no_wrap=True)
    table.add_column("default")
    table.add_column("meaning")
    for section, info in RunConfig.model_fields.items():
        inner = info.annotation
        if not (isinstance(inner, type) and issubclass(inner, Config)):
            continue
        for name, field in inner.model_fields.items():
            table.add_row(f"{section}.{name}", str(inner().to_dict()[name]), field.description or "")
    console.print(table)


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
    """Run the command line. Errors that a user can fix are one clear line and exit status 2, not a traceback."""
    errors = Console(stderr=True)
    try:
        app()
    except ValidationError as error:
        for line in describe_errors(error):
            errors.print(f"[red]error[/red]: {escape(line)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except (ValueError, OSError, MemoryError) as error:
        errors.print(f"[red]error[/red]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == 130:  # Typer turns Ctrl-C into this
            errors.print("interrupted; the same command resumes where it stopped")
        raise
