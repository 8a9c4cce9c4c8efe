"""Draws the pictures of ``docs/gallery.md``, and the small ones of ``notebooks/00_index.ipynb`` (``make gallery``)."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from asid.config import preset
from asid.data.crops import detailed_crops
from asid.data.sources import find_images
from asid.interpret.architecture import costs
from asid.model.pretrained import load_model
from asid.panels.attention_maps import AttentionMapPanel, spread_panel
from asid.panels.compare_variants import compare_variants
from asid.panels.panel import Panel
from asid.panels.quickstart import QuickStart
from asid.panels.receptive_field import InfluenceMaps, Method
from asid.panels.similarity import similarity_panel
from asid.plots import style
from asid.plots.architecture import plot_costs_by_group, plot_group, plot_network

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "gallery"
_WINDOWS = {
    "meso only": "asid-tiny-meso",
    "global only": "asid-tiny-global",
    "both": "asid-tiny",
    "both, window of 16": "asid-tiny-window16",
}

_QUICK = ROOT / "results" / "reference" / "quick" / "figures"
_OF_NOTEBOOKS = {
    "01_quickstart": FOLDER / "quickstart.png",
    "02_architecture": FOLDER / "group.png",
    "03_run_a_study": _QUICK / "pareto.png",
    "03_train_variant": _QUICK / "curves.png",
    "04_compare_variants": _QUICK / "forest.png",
    "05_attention_maps": FOLDER / "attention.png",
    "06_receptive_field": FOLDER / "receptive-field.png",
}
"""The picture of each notebook on the index."""


def draw() -> Iterator[tuple[str, Figure]]:
    """Yield the name and figure of each picture."""
    yield "quickstart", _figure(QuickStart(["asid-tiny"]))
    for name, plot, height in (("network", plot_network, 2.2), ("group", plot_group, 3.15)):
        figure = style.new_figure(10.2, height)
        plot(preset("asid"), figure.subplots())
        yield name, figure
    yield "costs", _costs()
    compare = compare_variants(ROOT / "results", "reference/quick")
    yield "compare-forest", _figure(compare)
    compare.controls["view"].value = "pareto"
    yield "compare-pareto", _figure(compare)
    attention = AttentionMapPanel(["asid-tiny", "asid-tiny-no-sharing"], photograph="coffee")
    attention.controls["other"].value = "asid-tiny-no-sharing"
    yield "attention", _figure(attention)
    yield "attention-spread", _figure(spread_panel(["asid-tiny-no-sharing"]))
    similarity = similarity_panel(["asid-tiny-no-sharing"])
    similarity.controls["view"].value = "matrices of groups"
    yield "attention-similarity", _figure(similarity)
    networks = {label: load_model(name, "cpu") for label, name in _WINDOWS.items()}
    maps = InfluenceMaps(networks, detailed_crops(find_images("samples"), 2, 128))
    methods: dict[str, Method] = {"receptive-field": "effective receptive field", "attribution": "local attribution"}
    for name, method in methods.items():
        yield name, maps.draw(method, "chelsea", (56, 56), list(networks), ["whole image", "tile"])[0]


def _figure(panel: Panel) -> Figure:
    assert panel.drawing is not None
    return panel.drawing[0]


def _costs() -> Figure:
    figure = style.new_figure(10, 2.4)
    left, right = figure.subplots(1, 2, sharey=True)
    plot_costs_by_group(costs(preset("asid")), "parameters", left, "parameters")
    plot_costs_by_group(costs(preset("asid")), "macs", right, "multiply-adds for an output of 1280×720")
    style.legend_below(figure, left)
    return figure


def write(folder: Path = FOLDER) -> list[Path]:
    """Write the pictures as PNG files, and return these."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with rc_context(style.STYLE):
        for name, figure in draw():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
            path = folder / f"{name}.png"
            Image.open(buffer).convert("RGB").save(path, optimize=True)
            files.append(path)
            sys.stdout.write(f"{path}\n")
    return files


def write_small(folder: Path = ROOT / "notebooks" / "pictures") -> None:
    """Write the pictures of the index, small enough to be committed beside the notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in _OF_NOTEBOOKS.items():
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((420, 220), Image.Resampling.LANCZOS)
        picture.quantize(128, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    write()
    write_small()
