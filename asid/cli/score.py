"""``asid evaluate | score | upscale``: networks and images, scored; images, super-resolved."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from asid.cli.options import (
    DEFAULTS,
    MODEL,
    BatchOption,
    BlendOption,
    BorderOption,
    DeviceOption,
    EnsembleOption,
    JsonOption,
    OverlapOption,
    PrecisionOption,
    ProtocolOption,
    RootOption,
    SafeConsole,
    TileOption,
    console,
    new_table,
    say,
    use_data_root,
)
from asid.cli.progress import progress_bar
from asid.config import EvalConfig, InferenceConfig
from asid.files import json_text

app = typer.Typer()


@app.command(epilog="Example: asid evaluate asid-tiny --data samples --map-use")
def evaluate(
    model: Annotated[str, typer.Argument(help=f"{MODEL}; or bicubic.")],
    data: Annotated[
        list[str] | None,
        typer.Option(help="Evaluation set: samples, a benchmark's name, or a folder of HR images. Repeatable."),
    ] = None,
    data_root: RootOption = None,
    scale: Annotated[int | None, typer.Option(min=1, help="Upscaling factor; only needed for bicubic.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for per_image.csv, evaluation.json and images.")] = None,
    map_use: Annotated[
        bool, typer.Option("--map-use", help="Also score with uniform attention maps: what its own are worth.")
    ] = False,
    save_images: Annotated[bool, typer.Option("--save-images", help="Also write the SR images.")] = False,
    tile: TileOption = DEFAULTS.tile,
    overlap: OverlapOption = DEFAULTS.overlap,
    blend: BlendOption = DEFAULTS.blend,
    ensemble: EnsembleOption = DEFAULTS.ensemble,
    precision: PrecisionOption = DEFAULTS.precision,
    protocol: ProtocolOption = DEFAULTS.protocol,
    border: BorderOption = DEFAULTS.border,
    device: DeviceOption = "auto",
    batch_tiles: BatchOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Score a network, or bicubic, on benchmarks or folders: PSNR and SSIM of each image and their mean."""
    use_data_root(data_root)
    settings = {"tile": tile, "overlap": overlap, "blend": blend, "ensemble": ensemble, "precision": precision}
    sets = data or DEFAULTS.data
    config = EvalConfig.model_validate({"data": sets, "border": border, "protocol": protocol, **settings})
    from asid.evaluation.evaluation_record import default_folder, evaluate_and_record

    folder = output or default_folder(model, config, scale, map_use)
    with progress_bar("images", quiet=as_json) as on_image:
        record = evaluate_and_record(
            model,
            config,
            folder,
            scale=scale,
            uniform_maps=map_use,
            device=device,
            batch_tiles=batch_tiles,
            save_images=save_images,
            on_image=on_image,
        )
    if as_json:
        typer.echo(json_text(record), nl=False)
        return
    _print_evaluation(record, None if model == "bicubic" else _bicubic(record["scale"], config))
    say(f"Written: {folder}/per_image.csv, evaluation.json")


@app.command(epilog="Example: asid score results/upscaled path/to/HR --scale 2")
def score(
    sr_folder: Annotated[Path, typer.Argument(help="Folder of SR images; baby_RCAN_x2.png belongs to baby.png.")],
    hr_folder: Annotated[str, typer.Argument(help="Folder of HR images, or a benchmark's name.")],
    scale: Annotated[int, typer.Option(min=1, help="Upscaling factor: HR is cropped to a multiple of it.")],
    data_root: RootOption = None,
    protocol: ProtocolOption = DEFAULTS.protocol,
    as_json: JsonOption = False,
) -> None:
    """Score SR images from any program by the same protocol."""
    use_data_root(data_root)
    checked = EvalConfig.model_validate({"protocol": protocol}).protocol
    from asid.evaluation.evaluate import score_folder
    from asid.evaluation.evaluation_record import summarise

    scores = score_folder(sr_folder, hr_folder, scale, checked)
    record = summarise(scores, checked)
    if as_json:
        typer.echo(json_text(record), nl=False)
    else:
        _print_evaluation(record)


@app.command(epilog="Example: asid upscale photo.png --model asid-x4")
def upscale(
    images: Annotated[list[Path], typer.Argument(help="Images to super-resolve, or folders of images.")],
    model: Annotated[str, typer.Option(help=f"{MODEL}.")] = "asid",
    output: Annotated[Path, typer.Option(help="Folder for the SR images.")] = Path("results/upscaled"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace SR images that exist.")] = False,
    tile: Annotated[
        int | None,
        typer.Option(help="Side of the tiles, in LR pixels. Default: the whole image; tiles if it is large."),
    ] = DEFAULTS.tile,
    overlap: OverlapOption = DEFAULTS.overlap,
    blend: BlendOption = DEFAULTS.blend,
    ensemble: EnsembleOption = DEFAULTS.ensemble,
    precision: PrecisionOption = DEFAULTS.precision,
    device: DeviceOption = "auto",
    batch_tiles: BatchOption = 1,
) -> None:
    """Super-resolve images. Those that cannot be are named at the end, with status 1; the others are written."""
    settings = {"tile": tile, "overlap": overlap, "blend": blend, "ensemble": ensemble, "precision": precision}
    config = InferenceConfig.model_validate(settings)
    from asid.data.images import ImageError, read_image, write_image
    from asid.data.layouts import list_images
    from asid.evaluation.inference import upscale as super_resolve
    from asid.evaluation.progress import count_tiles, fit_tiles, watched
    from asid.model.pretrained import load_model

    network = load_model(model, device)
    paths = [path for given in images for path in (list_images(given) if given.is_dir() else [given])]
    written: dict[Path, Path] = {}
    failed: list[str] = []
    with progress_bar("tiles") as on_tile:
        for path in paths:
            target = output / f"{path.stem}_x{network.config.scale}.png"
            try:
                if target in written:
                    raise ImageError(f"{target} is already that of {written[target]}: rename one")
                if target.exists() and not overwrite:
                    raise ImageError(f"{target} exists: add --overwrite to replace it, or choose another --output")
                lr = read_image(path, to_srgb=True)
                cut = fit_tiles(config, *lr.shape[:2])
                tiles = count_tiles(cut, *lr.shape[:2])
                on_tile(0, tiles)
                with watched(network, tiles, on_tile):
                    sr = super_resolve(network, lr, cut, batch_tiles=batch_tiles)
                write_image(target, sr)
                written[target] = path
                say(f"{target}: {sr.shape[1]}×{sr.shape[0]}, {cut.describe()}")
            except (ValueError, OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch has no memory left
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                failed.append(reason if str(path) in reason else f"{path}: {reason}")
    for line in failed:
        SafeConsole(stderr=True).print(f"[red]failed[/red]: {escape(line)}", highlight=False, soft_wrap=True)
    if failed:
        say(f"{len(written)} of {len(paths)} images written to {output}")
        raise typer.Exit(1)


def _bicubic(scale: int, config: EvalConfig) -> dict[tuple[str, str], float]:
    """PSNR of bicubic (dB) by set and image: the least that a network must reach."""
    from asid.evaluation.evaluate import bicubic_upscaler, evaluate

    scores = evaluate(bicubic_upscaler(scale, config), scale, config).scores
    return {(row.data, row.image): row.psnr for row in scores.itertuples()}  # type: ignore[misc]


def _print_evaluation(record: dict[str, Any], bicubic: dict[tuple[str, str], float] | None = None) -> None:
    """A row for each image, and the mean of each set; beside bicubic, if its PSNR of each image is given."""
    how = [record["protocol"], *([record["inference"]] if "inference" in record else [])]
    made_by = sorted({row["lr"] for row in record["images"] if "lr" in row})
    how += [f"LR: {', '.join(made_by)}"] if made_by else []
    say("; ".join(how))
    has_map_use = "psnr_uniform_maps" in record["mean"]
    names = ["PSNR (dB)", *(["bicubic", "Δ"] if bicubic else []), "SSIM", *(["map use (dB)"] if has_map_use else [])]
    table = new_table("data", "image", numbers=names)

    def add_row(name: str, row: dict[str, Any], below: float) -> None:
        psnr = float(row["psnr"])
        cells = [f"{psnr:.2f}", *([f"{below:.2f}", f"{psnr - below:+z.2f}"] if bicubic else []), f"{row['ssim']:.4f}"]
        if has_map_use:
            uniform = row["psnr_uniform_maps"]
            cells.append("–" if uniform is None else f"{psnr - float(uniform):z.3f}")
        table.add_row(escape(row["data"]), escape(name), *cells)

    below = bicubic or {}
    for row in record["images"]:
        add_row(row["image"], row, below.get((row["data"], row["image"]), math.nan))
    for row in record["sets"]:
        of_set = [psnr for (data, _), psnr in below.items() if data == row["data"]]
        table.add_section()
        add_row(f"mean of {row['images']}", row, sum(of_set) / len(of_set) if of_set else math.nan)
    console.print(table)
