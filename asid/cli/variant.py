"""``asid train | complexity | fields``: one variant of the network, its training, its cost, and what can be set."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from asid.cli.options import (
    DEFAULT_PRESET,
    PresetOption,
    RootOption,
    SetOption,
    console,
    help_of,
    new_table,
    read_changes,
    use_data_root,
)
from asid.cli.stopping import stops_cleanly
from asid.config import Config, ModelConfig, PlainCNNConfig, RunConfig, build_run
from asid.files import STUDY, grouped

app = typer.Typer()


@app.command(epilog="Example: asid train results/mine --preset asid-tiny --set train.steps=500")
def train(
    output: Annotated[Path, typer.Argument(help="Folder of the run: weights, curves, SR images, record.")],
    preset_name: PresetOption = DEFAULT_PRESET,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help=help_of(RunConfig, "seed"))] = RunConfig().seed,
    data_root: RootOption = None,
) -> None:
    """Train one variant, score it, and write its record. After an interruption the same command resumes it."""
    if (output / STUDY).is_file():
        raise ValueError(
            f"{output} is the folder of a study: asid ablate resume {shlex.quote(str(output))} continues it; "
            "expected the folder of a run, or a new one"
        )
    use_data_root(data_root)
    config = build_run(preset_name, read_changes(changes), seed)
    with stops_cleanly(console):
        from asid.runs.run import train_and_score

        record = train_and_score(config, output, wait=0).write_record(study="single", variant=output.name)
    _print_scores(record.score_table)
    console.print(f"[green]done[/green]: {escape(str(output))}/record.json")


@app.command(epilog="Example: asid complexity --preset asid-d8 --set model.scale=4")
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
    columns = ("parameters", "torch (G MACs)", "ptflops (G MACs)", "fvcore (G MACs)")
    table = new_table(numbers=columns, title=f"{name} ×{config.scale}, output {width}×{height}")
    macs = (cost.macs_torch, cost.macs_ptflops, cost.macs_fvcore)
    table.add_row(grouped(cost.parameters), *(f"{count / 1e9:.2f}" for count in macs))
    console.print(table)


@app.command(epilog="Example: asid fields")
def fields() -> None:
    """List every field that --set and study files can change, with its default and meaning."""
    table = new_table("field", "default", "meaning")
    table.columns[0].no_wrap = True
    sections = {name: type(section) for name, section in RunConfig() if isinstance(section, Config)}
    for section, config in sections.items():
        for name, field in config.model_fields.items():
            table.add_row(f"{section}.{name}", str(config().to_dict()[name]), field.description or "")
    table.add_section()
    for name, field in PlainCNNConfig.model_fields.items():
        table.add_row(f"model.{name}", str(PlainCNNConfig().to_dict()[name]), f"plain CNN: {field.description}")
    console.print(table)


def _print_scores(scores: Any) -> None:
    table = new_table("data", "image", numbers=["PSNR-Y (dB)", "SSIM-Y"])
    for row in scores.itertuples():
        table.add_row(row.data, row.image, f"{row.psnr:.2f}", f"{row.ssim:.4f}")
    table.add_section()
    table.add_row("mean", "", f"{scores['psnr'].mean():.2f}", f"{scores['ssim'].mean():.4f}")
    console.print(table)
