"""The style of all plots. Figures are ``matplotlib.figure.Figure``, not pyplot: widget callbacks run in threads."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import seaborn as sns
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

PALETTE = "colorblind"
REFERENCE = "0.45"
"""Colour of references that are trained, which are not variants."""
STYLE = {
    **sns.axes_style("whitegrid"),
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same on every machine
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "axes.edgecolor": "0.7",
    "axes.linewidth": 0.8,
    "grid.color": "0.9",
    "grid.linewidth": 0.7,
    "svg.hashsalt": "asid",  # the same data gives the same bytes
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Use the suite's style from now on (for notebooks)."""
    rcParams.update(STYLE)


def colours(names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Assign a colour-blind safe colour to each name, in order."""
    return dict(zip(names, sns.color_palette(PALETTE, max(len(names), 1)), strict=False))


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure, ``width`` by ``height`` inches, with constrained layout."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Save a figure as ``path.png`` (200 dpi) and ``path.svg``, without a date inside. Returns both files.

    A plot without images has 256 colours, which makes its PNG a third as large.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(path.name + ending) for ending in (".png", ".svg")]
    with rc_context(STYLE):
        _save_png(figure, files[0])
        figure.set_layout_engine("none")  # keep the layout: computing it again takes as long as drawing
        figure.savefig(files[1], metadata={"Date": None})
    return files


def _save_png(figure: Figure, path: Path) -> None:
    pixels = BytesIO()
    figure.savefig(pixels, dpi=200, metadata={"Software": None})
    image = Image.open(pixels).convert("RGB")
    if not any(ax.images for ax in figure.axes):
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    image.save(path, optimize=True, dpi=(200, 200))


def legend_below(figure: Figure, ax: Axes) -> None:
    """Put the legend of ``ax`` below the figure, in as many columns as fit; the figure grows by the rows."""
    handles, labels = ax.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    columns = max(1, min(len(labels), int(width / (0.45 + 0.066 * max(map(len, labels))))))
    figure.set_size_inches(width, height + 0.17 * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def signed(value: float, digits: int = 3) -> str:
    """Format a change with its sign; a value that rounds to zero is +0.000."""
    return f"{value:+z.{digits}f}".replace("-", "−")
