"""The command line. Each command is a thin call into the package."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import yaml
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from asid.cli import ablate as ablate_cli
from asid.cli import data as data_cli
from asid.config import PRESETS, Config, EvalConfig, InferenceConfig, Protocol, RunConfig, build_run, describe_errors
from asid.files import json_text

app = typer.Typer(
    help="Train, compare and look inside variants of ASID, the attention-sharing information distillation transformer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_cli.app, name="data")
app.add_typer(ablate_cli.app, name="ablate")
console = Console()

PresetOption = Annotated[str, typer.Option("--preset", help=f"Network to start from: {', '.join(PRESETS)}.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change one field, e.g. model.attention_sharing=none or train.steps=2000. Repeatable. See 'asid fields'.",
    ),
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
    from asid.runs.run import train_and_score

    record = train_and_score(config, output).write_record(study="single", variant=output.name)
    _print_scores(record.score_table)
    console.print(f"[green]done[/green]: {escape(str(output))}/record.json")


ScaleOption = Annotated[int | None, typer.Option(min=1, help="Upscaling factor; needed for bicubic only.")]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="Evaluation set: a benchmark's name, a folder of HR images, or samples. Repeatable."),
]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", envvar="ASID_DATA", help="Folder that holds the benchmarks.")
]
TileOption = Annotated[
    int | None, typer.Option(help="Cut the LR image into tiles of this side; 64 in the paper's tables.")
]
OverlapOption = Annotated[int, typer.Option(help="LR pixels that neighbouring tiles share.")]
BlendOption = Annotated[str, typer.Option(help="How tiles are joined: mean or smooth.")]
EnsembleOption = Annotated[bool, typer.Option("--ensemble", help="Self-ensemble over eight flips and rotations.")]
PrecisionOption = Annotated[str, typer.Option(help="Arithmetic: 32-true or bf16-mixed.")]
ProtocolOption = Annotated[str, typer.Option(help=f"How images are compared: {' or '.join(get_args(Protocol))}.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")]
BatchOption = Annotated[int, typer.Option(min=1, help="Tiles that go through the network at once.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint, folder of a run, or bicubic.")],
    data: DataOption = None,
    data_root: RootOption = None,
    scale: ScaleOption = None,
    output: Annotated[Path | None, typer.Option(help="Folder for per_image.csv, evaluation.json and images.")] = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Also write the SR images.")] = False,
    tile: TileOption = None,
    overlap: OverlapOption = 24,
    blend: BlendOption = "mean",
    ensemble: EnsembleOption = False,
    precision: PrecisionOption = "32-true",
    protocol: ProtocolOption = "psnr-y/ssim-y crop=scale",
    border: Annotated[
        str, typer.Option(help="Border rule of the bicubic that makes LR images: symmetric or replicate.")
    ] = "symmetric",
    device: DeviceOption = "auto",
    batch_tiles: BatchOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Score a network, or bicubic, on benchmarks or folders: PSNR and SSIM of each image and their mean."""
    settings = {"tile": tile, "overlap": overlap, "blend": blend, "ensemble": ensemble, "precision": precision}
    config = EvalConfig.model_validate(
        {"data": data or ["samples"], "border": border, "protocol": protocol, **settings}
    )
    _set_root(data_root)
    from asid.evaluation.evaluation_record import default_folder, evaluate_and_record

    folder = output or default_folder(model, config, scale)
    with _bar(quiet=as_json) as on_image:
        record = evaluate_and_record(
            model,
            config,
            folder,
            scale=scale,
            device=device,
            batch_tiles=batch_tiles,
            save_images=save_images,
            on_image=on_image,
        )
    _print_evaluation(record, as_json)
    if not as_json:
        console.print(f"Written: {escape(str(folder))}/per_image.csv, evaluation.json", highlight=False, soft_wrap=True)


@app.command()
def score(
    sr_folder: Annotated[Path, typer.Argument(help="Folder of SR images; baby_RCAN_x2.png belongs to baby.png.")],
    hr_folder: Annotated[str, typer.Argument(help="Folder of HR images, or a benchmark's name.")],
    scale: Annotated[int, typer.Option(min=1, help="Upscaling factor: HR is cropped to a multiple of it.")],
    data_root: RootOption = None,
    protocol: ProtocolOption = "psnr-y/ssim-y crop=scale",
    as_json: JsonOption = False,
) -> None:
    """Score SR images that somebody else made, by the same protocol."""
    checked = EvalConfig.model_validate({"protocol": protocol}).protocol
    _set_root(data_root)
    from asid.evaluation.evaluate import score_folder
    from asid.evaluation.evaluation_record import summarise

    _print_evaluation(summarise(score_folder(sr_folder, hr_folder, scale, checked), checked), as_json)


@app.command()
def upscale(
    model: Annotated[str, typer.Argument(help="Checkpoint, or folder of a run.")],
    images: Annotated[list[Path], typer.Argument(help="Images to super-resolve.")],
    output: Annotated[Path, typer.Option(help="Folder for the SR images.")] = Path("results/upscaled"),
    tile: TileOption = None,
    overlap: OverlapOption = 24,
    blend: BlendOption = "mean",
    ensemble: EnsembleOption = False,
    precision: PrecisionOption = "32-true",
    device: DeviceOption = "auto",
    batch_tiles: BatchOption = 1,
) -> None:
    """Super-resolve images."""
    settings = {"tile": tile, "overlap": overlap, "blend": blend, "ensemble": ensemble, "precision": precision}
    config = InferenceConfig.model_validate(settings)
    from asid.data.images import read_image, write_image
    from asid.evaluation.inference import upscale as super_resolve
    from asid.model.pretrained import load_model

    network = load_model(model, device)
    for path in images:
        sr = super_resolve(network, read_image(path), config, batch_tiles=batch_tiles)
        target = output / f"{path.stem}_x{network.config.scale}.png"
        write_image(target, sr)
        console.print(f"{escape(str(target))}: {sr.shape[1]}×{sr.shape[0]}", highlight=False)


@app.command()
def verify(data_root: RootOption = None, as_json: JsonOption = False) -> None:
    """Check this installation against known numbers: without any download, and published digits where the data is there."""
    _set_root(data_root)
    from asid.evaluation.verify import run_checks

    checks = run_checks()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=1))  # noqa: T201
    else:
        table = Table("check", "expected", "measured", "result")
        for check in checks:
            colour = {"ok": "green", "FAILED": "red"}.get(check.result, "yellow")
            table.add_row(
                escape(check.name), check.expected, escape(check.measured), f"[{colour}]{check.result}[/{colour}]"
            )
        console.print(table)
    if any(check.result == "FAILED" for check in checks):
        raise typer.Exit(1)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]) -> None:
    """Write a study's report from its records: a page (HTML), tables (Markdown, LaTeX, CSV, JSON) and figures (PNG, SVG)."""
    from asid.ablation.report.results import load_results
    from asid.ablation.report.sentences import conclude, describe, explain
    from asid.ablation.report.tables import alignment, to_text
    from asid.ablation.report.write import write_report

    results = load_results(folder)
    files = write_report(results)
    shown = to_text(results.table, compact=True).drop(columns=["change", "data"]).rename(columns={"p (Holm)": "p"})
    for name in ("seeds", "SSIM", "MACs (G)", "params"):
        if sum(2 + max(map(len, [column, *shown[column]])) for column in shown) > console.width:
            shown = shown.drop(columns=name)
    table = Table(
        title=escape(results.plan.question), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for name, side in zip(shown.columns, alignment(shown.columns), strict=True):
        table.add_column(
            name, justify="left" if side == "left" else "right", no_wrap=name != "variant", overflow="fold"
        )
    for data, rows in shown.groupby(results.table["data"], sort=False):
        if len(results.sets) > 1:
            table.add_section()
            table.add_row(f"[bold]{escape(str(data))}")
        for row in rows.itertuples(index=False):
            table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
    for sentence in [*conclude(results), *explain(results), *describe(results)]:
        console.print(f"  {escape(sentence)}", highlight=False)
    console.print(
        f"Written: {len(files)} files; start with {escape(str(folder))}/report.html", highlight=False, soft_wrap=True
    )


@app.command()
def complexity(
    preset_name: PresetOption = "asid",
    changes: SetOption = None,
    width: Annotated[int, typer.Option(min=1, help="Width of the output, in pixels.")] = 1280,
    height: Annotated[int, typer.Option(min=1, help="Height of the output, in pixels.")] = 720,
) -> None:
    """Count parameters and multiply-adds of a network by fvcore, ptflops and torch."""
    config = build_run(preset_name, _sections(changes)).model
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


def _set_root(data_root: Path | None) -> None:
    """``--data-root`` is the environment variable that everything below reads."""
    if data_root is not None:
        os.environ["ASID_DATA"] = str(data_root)


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left, and the function that moves it."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=quiet or not errors.is_terminal) as bars:
        task = bars.add_task("images", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _print_evaluation(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(record), nl=False)
        return
    how = [record["protocol"], *([record["inference"]] if "inference" in record else [])]
    made_by = sorted({row["lr"] for row in record["images"] if "lr" in row})
    how += [f"LR: {', '.join(made_by)}"] if made_by else []
    console.print("; ".join(how), highlight=False, markup=False, soft_wrap=True)
    table = Table("data", "image")
    table.add_column("PSNR (dB)", justify="right")
    table.add_column("SSIM", justify="right")
    for row in record["images"]:
        table.add_row(escape(row["data"]), escape(row["image"]), f"{float(row['psnr']):.2f}", f"{row['ssim']:.4f}")
    for row in record["sets"]:
        table.add_section()
        table.add_row(
            escape(row["data"]), f"mean of {row['images']}", f"{float(row['psnr']):.2f}", f"{row['ssim']:.4f}"
        )
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
    """Run the command line; what a user can mend is one clear line and exit status 2, not a traceback."""
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
            errors.print("interrupted; the same command goes on where it stopped")
        raise
