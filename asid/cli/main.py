"""The command line ``asid``. Each command is a thin call into the package, which it imports when it is called."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from asid import __version__
from asid.cli import ablate, bench, data, doctor, inside, results, score
from asid.cli.options import (
    DEFAULT_PRESET,
    PresetOption,
    SafeConsole,
    SetOption,
    console,
    help_of,
    read_changes,
    say,
)
from asid.cli.outlet import lasting_output
from asid.cli.stopping import stops_cleanly
from asid.config import Config, ModelConfig, PlainCNNConfig, RunConfig, build_run, describe_errors
from asid.export.targets import Target
from asid.process import THREADS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.add_typer(ablate.app, name="ablate")
app.add_typer(results.app, name="results")
for command in (
    *(score.evaluate, score.score, score.upscale, score.check, score.verify),
    *(inside.lam, inside.erf, inside.cem, inside.frequency),
    *(bench.bench, doctor.doctor),
):
    app.command()(command)


REFUSED, DEFECT, INTERRUPTED, TERMINATED = 2, 70, 130, 143
"""Exit statuses besides 0, success, and 1: some of several runs, images or checks failed. As in ``sysexits.h``, and as
shells show signals."""
DEBUG = "ASID_DEBUG"


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"asid {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help=f"Show the traceback of an error (also {DEBUG}=1).")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"CPU threads, of each run in a study (also {THREADS}). Default: what a short trial shows."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, compare and look inside variants of ASID, the attention-sharing information distillation transformer."""
    if debug:
        os.environ[DEBUG] = "1"
    if threads is not None:
        os.environ[THREADS] = str(threads)


@app.command()
def train(
    output: Annotated[Path, typer.Argument(help="Folder of the run: weights, curves, SR images, record.")],
    preset_name: PresetOption = DEFAULT_PRESET,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help=help_of(RunConfig, "seed"))] = RunConfig().seed,
) -> None:
    """Train one variant, score it, and write its record. After an interruption the same command resumes it."""
    config = build_run(preset_name, read_changes(changes), seed)
    with stops_cleanly(console):
        from asid.runs.run import train_and_score

        record = train_and_score(config, output, wait=0).write_record(study="single", variant=output.name)
    _print_scores(record.score_table)
    console.print(f"[green]done[/green]: {escape(str(output))}/record.json")


_NAME = 26
"""Columns of a terminal in which the names of variants are not broken."""


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")],
    as_zip: Annotated[
        bool, typer.Option("--zip", help="Also pack page, tables, figures, plan and records into one file to send.")
    ] = False,
) -> None:
    """Write a study's report: a page (HTML), tables (Markdown, LaTeX, CSV, JSON) and figures (PNG, SVG)."""
    from asid.ablation.report.results import load_results
    from asid.ablation.report.sentences import conclude, describe, explain
    from asid.ablation.report.tables import HALF_WIDTH, alignment, to_text
    from asid.ablation.report.write import write_report

    results = load_results(folder)
    files = write_report(results)
    shown = to_text(results.table, compact=True).drop(columns=["change", "data"])
    shown = shown.rename(columns={"p (Holm)": "p", "map use (dB)": "map use"})
    widths = {column: 2 + max(map(len, [column, *shown[column]])) for column in shown}
    widths["variant"] = min(widths["variant"], _NAME)
    # Dropped one by one until the table fits; variant, PSNR, change and verdict stay.
    for name in ("SD", "seeds", "SSIM", "MACs (G)", "params", "map use", "p", HALF_WIDTH):
        if sum(widths[column] for column in shown) > console.width:
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
    if as_zip:
        from asid.ablation.report.pack import pack_report

        say(f"Packed: {pack_report(results, files)}")


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(help="Folder of a study; for onnx and official a packaged network, checkpoint, or run.")
    ],
    to: Annotated[Target, typer.Option(help="For which tool, or in which format.")] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write. Default: export/<tool> in the study's folder; a network's file: results/export."
        ),
    ] = None,
) -> None:
    """Write a study's runs for TensorBoard, MLflow or as tables; a network as ONNX or with the published names."""
    from asid.export.targets import export as write

    exported = write(source, to, output)
    say(f"Written: {exported.path}")
    for note in exported.notes:
        say(f"  {note}")


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
    name = preset_name if isinstance(config, ModelConfig) else config.network
    table = Table(title=f"{name} ×{config.scale}, output {width}×{height}", title_justify="left")
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
    sections = {name: type(section) for name, section in RunConfig() if isinstance(section, Config)}
    for section, config in sections.items():
        for name, field in config.model_fields.items():
            table.add_row(f"{section}.{name}", str(config().to_dict()[name]), field.description or "")
    table.add_section()
    for name, field in PlainCNNConfig.model_fields.items():
        table.add_row(f"model.{name}", str(PlainCNNConfig().to_dict()[name]), f"plain CNN: {field.description}")
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


@lasting_output()
def main() -> None:
    """Run the command line. An error is a line or a few, not a traceback, and a status (docs/reliability.md)."""
    errors = SafeConsole(stderr=True)
    try:
        app()
    except SystemExit as ending:
        if ending.code in (INTERRUPTED, TERMINATED):
            how = "interrupted" if ending.code == INTERRUPTED else "terminated"
            errors.print(f"{how}; the same command goes on from the last checkpoint, if there is one", soft_wrap=True)
        raise
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        for line in _explain(error):
            errors.print(f"[red]error[/red]: {escape(line)}", highlight=False, soft_wrap=True)
        sys.exit(REFUSED if isinstance(error, _EXPECTED) else DEFECT)


_EXPECTED = (ValueError, OSError, MemoryError)
"""What the package raises if a person can mend it: wrong input, a full disk, too little memory."""


def _explain(error: Exception) -> list[str]:
    """The lines that say what is wrong."""
    if isinstance(error, ValidationError):
        return describe_errors(error)
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) and not str(error):
        text = "not enough memory: choose a smaller batch, patch, tile or network, or fewer workers"
    if isinstance(error, _EXPECTED):
        return [text]
    return [f"unexpected {type(error).__name__}: {text}; this is a defect of asid: 'asid --debug …' shows where"]
