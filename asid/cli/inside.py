"""``asid lam | erf | cem | frequency``: what a network uses, could use and is helped by, and where it errs.

They work with networks of this package and with anyone's: ``--model package.module:factory --weights file``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asid.cli.options import DeviceOption, RootOption, say, use_data_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from asid.interpret.crops import Crops

app = typer.Typer()

ImageArgument = Annotated[
    Path, typer.Argument(help="HR image. Its most detailed square is shown; bicubic makes the LR image.")
]
_MODEL = (
    "Packaged network, checkpoint, folder of a run, or package.module:factory, which is called without arguments and "
    "returns a torch.nn.Module from (B, 3, H, W) to (B, 3, sH, sW)."
)
ModelOption = Annotated[str, typer.Option(help=_MODEL)]
ModelsOption = Annotated[list[str], typer.Option("--model", help=f"{_MODEL} Repeatable.")]
WeightsOption = Annotated[Path | None, typer.Option(help="State dict for a factory: .safetensors, .pth or .pt.")]
RangeOption = Annotated[
    tuple[float, float], typer.Option(help="Values of black and white in the images of a factory's network.")
]
SizeOption = Annotated[
    int, typer.Option(min=16, help="Side of the LR square in pixels: a multiple of the network's windows.")
]
BoxSizeOption = Annotated[int, typer.Option(min=1, help="Side of the box in SR pixels.")]
RowOption = Annotated[int | None, typer.Option(min=0, help="Row of the LR pixel; default: the middle.")]
ColumnOption = Annotated[int | None, typer.Option(min=0, help="Column of the LR pixel; default: the middle.")]
OutputOption = Annotated[Path, typer.Option(help="Folder for the figure (PNG, SVG) and its arrays (.npz).")]
_OUTPUT = Path("results/inside")
_UNIT = (0.0, 1.0)


@app.command(epilog="Example: asid lam photo.png --model asid-tiny")
def lam(
    image: ImageArgument,
    model: ModelOption,
    weights: WeightsOption = None,
    value_range: RangeOption = _UNIT,
    size: SizeOption = 64,
    row: RowOption = None,
    column: ColumnOption = None,
    box_size: BoxSizeOption = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the path from blurred to sharp.")] = 50,
    output: OutputOption = _OUTPUT,
    device: DeviceOption = "cpu",
) -> None:
    """Local attribution map: which LR pixels the detail in a box depends on (arXiv 2011.11036)."""
    with _looking_into(model):
        network, crops = _open(image, model, weights, value_range, size, device)
        pixel, box = _place(crops, row, column, box_size)
        from asid.interpret.local_attribution import local_attribution
        from asid.plots.local_attribution import plot_local_attribution
        from asid.plots.lr_image import log_norm

        found = local_attribution(network, crops.lr[0], box, steps=steps)
        figure, (left, right) = _two_axes()
        _locate(crops, left, box=box)
        colours = plot_local_attribution(crops.lr[0], found.signed, _in_lr(box, crops.scale), right, log_norm())
        right.set_title(f"LAM, diffusion index {found.diffusion_index:.1f}")
        figure.colorbar(colours, ax=right, label="|attribution| / maximum", shrink=0.8)
        say(f"box {box} in SR pixels around LR pixel {pixel}")
        say(f"diffusion index {found.diffusion_index:.2f}, completeness error {100 * found.completeness_error:.2f} %")
        _save(figure, output / "lam", {"lr": crops.lr[0], "box": box, "signed": found.signed})


@app.command(epilog="Example: asid erf photo.png --model asid-tiny --row 20 --column 40")
def erf(
    image: ImageArgument,
    model: ModelOption,
    weights: WeightsOption = None,
    value_range: RangeOption = _UNIT,
    size: SizeOption = 64,
    row: RowOption = None,
    column: ColumnOption = None,
    output: OutputOption = _OUTPUT,
    device: DeviceOption = "cpu",
) -> None:
    """Effective receptive field: how strongly LR pixels affect one SR pixel, to first order (arXiv 1701.04128)."""
    with _looking_into(model):
        network, crops = _open(image, model, weights, value_range, size, device)
        pixel, _ = _place(crops, row, column, 1)
        from asid.interpret.receptive_field import effective_receptive_field, summarise_field
        from asid.plots.lr_image import log_norm
        from asid.plots.receptive_field import plot_receptive_field

        field = effective_receptive_field(network, crops.lr[0], (pixel[0] * crops.scale, pixel[1] * crops.scale))
        numbers = summarise_field(field, pixel)
        figure, (left, right) = _two_axes()
        _locate(crops, left, pixel=pixel)
        radii = {f"radius that holds {share} %": numbers[f"radius {share}%"] for share in (50, 95)}
        colours = plot_receptive_field(field, pixel, right, log_norm(field.max()), radii)
        right.set_title("ERF, radii {:.1f} and {:.1f} px".format(*radii.values()))
        figure.colorbar(colours, ax=right, label="share of the gradient", shrink=0.8)
        say(f"LR pixel {pixel}: " + ", ".join(f"{name} {value:.1f}" for name, value in numbers.items()))
        _save(figure, output / "erf", {"lr": crops.lr[0], "pixel": pixel, "field": field})


@app.command(epilog="Example: asid cem photo.png --model asid-tiny --passes 200")
def cem(
    image: ImageArgument,
    model: ModelOption,
    weights: WeightsOption = None,
    value_range: RangeOption = _UNIT,
    size: SizeOption = 64,
    row: RowOption = None,
    column: ColumnOption = None,
    box_size: BoxSizeOption = 16,
    samples: Annotated[int, typer.Option(min=1, help="Patches that replace each one.")] = 4,
    passes: Annotated[int, typer.Option(min=1, help="Most passes through the network.")] = 400,
    output: OutputOption = _OUTPUT,
    device: DeviceOption = "cpu",
) -> None:
    """Causal effect map: which LR pixels help or harm the PSNR of a box (arXiv 2407.19789)."""
    with _looking_into(model):
        network, crops = _open(image, model, weights, value_range, size, device)
        pixel, box = _place(crops, row, column, box_size)
        import numpy as np

        from asid.interpret.causal_effect import causal_effect_map
        from asid.plots.causal_effect import plot_causal_effect

        found = causal_effect_map(network, crops.lr[0], crops.hr[0], box, samples=samples, most=passes)
        limit = float(np.abs(found.effect).max()) or 1.0
        figure, (left, right) = _two_axes()
        _locate(crops, left, box=box)
        colours = plot_causal_effect(crops.lr[0], found.effect, _in_lr(box, crops.scale), right, limit)
        right.set_title("CEM: blue helps, red harms")
        figure.colorbar(colours, ax=right, label="dB of the box, by 4×4 pixels", shrink=0.8)
        cells = found.effect / 16
        say(f"box {box} in SR pixels around LR pixel {pixel}: {found.psnr:.2f} dB, {found.passes} passes")
        say(f"sum of helpful effects {cells[cells > 0].sum():.2f} dB, of harmful ones {cells[cells < 0].sum():.2f} dB")
        arrays = {"lr": crops.lr[0], "box": box, "effect": found.effect, "side": found.side, "psnr": found.psnr}
        _save(figure, output / "cem", arrays)


@app.command(epilog="Example: asid frequency samples --model asid-tiny --model asid-tiny-meso")
def frequency(
    data: Annotated[str, typer.Argument(help="Evaluation set: samples, a benchmark's name, or a folder of HR images.")],
    model: ModelsOption,
    weights: WeightsOption = None,
    value_range: RangeOption = _UNIT,
    size: SizeOption = 64,
    output: OutputOption = _OUTPUT,
    device: DeviceOption = "cpu",
    data_root: RootOption = None,
) -> None:
    """Signal-to-noise ratio by spatial frequency, beside bicubic: at which frequencies a network errs."""
    use_data_root(data_root)
    from asid.model.foreign import find_scale, is_factory, open_network

    with _looking_into(", ".join(model)):
        theirs = [name for name in model if is_factory(name)] or model  # those that weights and value range are for
        networks = {
            name: open_network(name, *((weights, value_range) if name in theirs else (None, _UNIT)), device)
            for name in model
        }
        scales = {find_scale(network) for network in networks.values()}
        if len(scales) != 1:
            raise ValueError(f"expected networks of one scale, got scales {sorted(scales)}")
        (scale,) = scales
        from asid.evaluation.spectrum import band_edges
        from asid.interpret.crops import evaluation_crops
        from asid.interpret.frequency import bicubic_spectrum, error_spectrum
        from asid.plots.frequency import plot_bands
        from asid.plots.style import legend_below, new_figure

        crops = evaluation_crops(data, scale, size)
        spectra = {name: error_spectrum(network, crops) for name, network in networks.items()}
        spectra["bicubic"] = bicubic_spectrum(crops)
        figure = new_figure(5.5, 3.2)
        ax = figure.subplots()
        plot_bands({name: spectrum.snr for name, spectrum in spectra.items()}, scale, ax, "SNR (dB)")
        legend_below(figure, ax)
        edges = band_edges()
        say(f"SNR in dB, {len(crops.names)} crops of {size}×{size} LR pixels of {data}; LR Nyquist {0.5 / scale:.3f}")
        say("cycles/pixel     " + "".join(f"{name:>24.24}" for name in spectra))
        for band in range(len(edges) - 1):
            values = "".join(f"{spectrum.snr[band]:24.2f}" for spectrum in spectra.values())
            say(f"{edges[band]:.3f} to {edges[band + 1]:.3f} {values}")
        arrays = {
            f"{name}.{kind}": getattr(spectrum, kind)
            for name, spectrum in spectra.items()
            for kind in ("error", "signal")
        }
        _save(figure, output / "frequency", {"edges": edges, **arrays})


def _open(
    image: Path, model: str, weights: Path | None, value_range: tuple[float, float], size: int, device: str
) -> "tuple[Any, Crops]":
    """The network, and the most detailed square of the image at its scale."""
    from asid.interpret.crops import crop_of
    from asid.model.foreign import find_scale, open_network

    network = open_network(model, weights, value_range, device)
    return network, crop_of(image, find_scale(network), size)


def _place(
    crops: "Crops", row: int | None, column: int | None, side: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """The LR pixel, and a box around it in SR pixels that is moved into the image."""
    from asid.interpret.crops import box_around

    height, width = crops.lr.shape[1:3]
    pixel = (height // 2 if row is None else row, width // 2 if column is None else column)
    if pixel[0] >= height or pixel[1] >= width:
        raise ValueError(f"expected a row and a column below {height} and {width}, the LR square; got {pixel}")
    return pixel, box_around(pixel, crops.scale, side, crops.hr.shape[1:3])


def _two_axes() -> "tuple[Figure, Any]":
    from asid.plots.style import new_figure

    figure = new_figure(6.4, 2.9)
    return figure, figure.subplots(1, 2)


def _locate(crops: "Crops", ax: Any, **where: Any) -> None:
    from asid.plots.lr_image import plot_location

    if "box" in where:
        where["box"] = _in_lr(where["box"], crops.scale)
    plot_location(crops.lr[0], ax, **where)
    ax.set_title(f"{crops.names[0]}, LR")


def _in_lr(box: tuple[int, int, int, int], scale: int) -> tuple[float, float, float, float]:
    top, left, height, width = (side / scale for side in box)
    return top, left, height, width


def _save(figure: "Figure", path: Path, arrays: Mapping[str, Any]) -> None:
    import numpy as np

    from asid.plots.style import save_figure

    files = save_figure(figure, path)
    np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    say(f"Written: {', '.join(map(str, [*files, path.with_suffix('.npz')]))}")


@contextmanager
def _looking_into(model: str) -> Iterator[None]:
    """Draw in the suite's style. A network that fails is not a defect of this package: say which one it was."""
    from matplotlib import rc_context

    from asid.plots.style import STYLE

    try:
        with rc_context(STYLE):
            yield
    except RuntimeError as error:
        raise ValueError(
            f"{model} failed: {(str(error).splitlines() or ['RuntimeError'])[0]}; "
            "if it needs images of certain sizes, choose another --size"
        ) from error
