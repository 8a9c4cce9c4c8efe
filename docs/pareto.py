"""Writes the tables and figures of ``docs/pareto.md``: lightweight networks as published, and ours from their records.

``python docs/pareto.py`` takes seconds. ``pareto.csv`` has a row for each network and scale: training photographs,
parameters, multiply-adds for an output of 1280×720 and PSNR/SSIM as published, the source of each, and in
``unchecked`` the columns whose values could not be found in a source.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox
from sections import replace_section

from asid.config import preset
from asid.files import write_text
from asid.model.complexity import OUTPUT, count_macs
from asid.plots import style
from asid.runs.record import Record, read_record

FOLDER = pathlib.Path(__file__).resolve().parent
TABLE, PAGE, FIGURES = FOLDER / "pareto.csv", FOLDER / "pareto.md", FOLDER / "pareto"
RECORDS = FOLDER.parent / "results" / "reference" / "weights"
SCALES = (2, 3, 4)
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
SHOWN = "Set5"
RANGE = 1.2
"""dB below the best up to which published networks are drawn; the tables have all."""
COLOURS = {"DIV2K": "#0173b2", "DF2K": "#de8f05", "other": "0.45", "ours": "#d55e00"}
"""Of the photographs that a network was trained on."""
SOURCES = ["scores_from", "cost_from", "training_from"]
"""Columns that name a source."""
PER_POINT = 8
"""Parameters (K) for an area of one square point in a figure."""
OUR_SIZE = 1e5
"""Parameters from which a network of ours is drawn: the smaller ones are made for studies."""


def load_table() -> pd.DataFrame:
    """The published networks: one row per network and scale, PSNR (dB) and SSIM as text."""
    return pd.read_csv(TABLE, dtype=str, keep_default_na=False).astype({"scale": int})


def our_networks() -> list[Record]:
    """The records of the packaged networks at full size, by scale and name."""
    records = [read_record(path.parent) for path in sorted(RECORDS.glob("*/record.json"))]
    found = [record for record in records if record.complexity and record.complexity["parameters"] >= OUR_SIZE]
    return sorted(found, key=lambda record: (record.config.model.scale, record.variant))


def recounted(network: str, scale: int) -> float | None:
    """Multiply-adds (G) of a published network whose layers are known, counted from its layers; else ``None``.

    Convolutions, linear layers and the two products of attention are counted; biases, normalizations, activations and
    interpolations are not. A transposed convolution costs as much for each pixel of its *input* as a convolution does.
    """
    width, height = OUTPUT[0] // scale, OUTPUT[1] // scale
    low, high = width * height, OUTPUT[0] * OUTPUT[1]
    match network:
        case "SRCNN":  # 9-5-5, on the enlarged luma (arXiv 1501.00092)
            macs = high * (conv(9, 1, 64) + conv(5, 64, 32) + conv(5, 32, 1))
        case "FSRCNN":  # d = 56, s = 12, m = 4, luma (arXiv 1608.00367)
            macs = low * (conv(5, 1, 56) + 56 * 12 + 4 * conv(3, 12, 12) + 12 * 56 + conv(9, 56, 1))
        case "CARN":  # 64 channels, 3 blocks of 3 residual blocks, 1×1 at each junction (arXiv 1803.08664)
            junctions = 64 * 64 * (2 + 3 + 4)
            body = 3 * (3 * 2 * conv(3, 64, 64) + junctions) + junctions
            steps = {2: [(1, 2)], 3: [(1, 3)], 4: [(1, 2), (2, 2)]}[scale]  # (enlarged so far, factor)
            enlarge = sum(so_far**2 * conv(3, 64, 64 * factor**2) for so_far, factor in steps)
            macs = low * (conv(3, 3, 64) + body + enlarge) + high * conv(3, 64, 3)
        case "IMDN":  # 64 channels, 6 blocks (arXiv 1909.11856); its channel attention sees means, not pixels
            block = conv(3, 64, 64) + 2 * conv(3, 48, 64) + conv(3, 48, 16) + 64 * 64
            macs = low * (conv(3, 3, 64) + 6 * block + 6 * 64 * 64 + conv(3, 64, 64) + conv(3, 64, 3 * scale**2))
        case "RFDN":  # 48 channels, 6 blocks (arXiv 2009.11551); without ESA's 3×3 on the shrunken map, under 1 %
            block = 3 * (48 * 24 + conv(3, 48, 48)) + conv(3, 48, 24) + 96 * 48 + 48 * 12 + 12 * 12 + 12 * 48
            macs = low * (conv(3, 3, 48) + 6 * block + 6 * 48 * 48 + conv(3, 48, 48) + conv(3, 48, 3 * scale**2))
        case "SAFMN":  # 36 channels, 8 blocks, four levels of 9 channels, each at half the size (arXiv 2302.13800)
            pyramid = sum((width >> level) * (height >> level) * 9 * 9 for level in range(4))
            block = 36 * 36 + conv(3, 36, 72) + 72 * 36
            macs = low * (conv(3, 3, 36) + 8 * block + conv(3, 36, 3 * scale**2)) + 8 * pyramid
        case "ShuffleMixer":  # 64 channels, 5 blocks of two layers, 7×7 depthwise (arXiv 2205.15175)
            layer = 2 * 2 * 32 * 64 + 7 * 7 * 64
            block = 2 * layer + conv(3, 64, 80) + 80 * 64
            enlarge = 64 * 64 * ({2: 4, 3: 9, 4: 4 + 4 * 4}[scale])
            macs = low * (conv(3, 3, 64) + 5 * block + enlarge) + high * conv(3, 64, 3)
        case "SwinIR-light":  # 60 channels, 4 groups of 6 layers, windows of 8, padded to them (arXiv 2108.10257)
            layer = 60 * 180 + 2 * 8 * 8 * 60 + 60 * 60 + 2 * 60 * 120
            body = 4 * (6 * layer + conv(3, 60, 60)) + conv(3, 60, 60)
            padded = -(-width // 8) * 8 * -(-height // 8) * 8
            macs = padded * (conv(3, 3, 60) + body + conv(3, 60, 3 * scale**2))
        case _:
            return None
    return macs / 1e9


def conv(kernel: int, inputs: int, outputs: int) -> int:
    """Multiply-adds of a convolution for one pixel: side of the kernel, channels in and out."""
    return kernel**2 * inputs * outputs


def psnr_of(cell: str) -> float:
    """PSNR (dB) of a cell such as 38.14/0.9611, NaN of an empty one."""
    return float(cell.split("/")[0]) if cell else np.nan


def means(record: Record, data: str) -> str:
    """PSNR/SSIM of one of ours on a set, written as papers do; empty if it was not scored there."""
    rows = record.score_table.query("data == @data")
    return f"{rows['psnr'].mean():.2f}/{rows['ssim'].mean():.4f}" if len(rows) else ""


def points(scale: int) -> pd.DataFrame:
    """What the figure of a scale shows: name, training, multiply-adds (G), parameters (K), PSNR (dB), checked, area."""
    rows = []
    for row in load_table().query("scale == @scale").to_dict("records"):
        counted, psnr = recounted(row["network"], scale), psnr_of(row[SHOWN])
        drawn = {"training", "parameters_k", SHOWN} | (set() if counted else {"macs_g"})
        checked = drawn.isdisjoint(row["unchecked"].split())
        macs = counted or float(row["macs_g"])
        rows.append((row["network"], row["training"], macs, float(row["parameters_k"]), psnr, checked))
    for record in our_networks():
        if record.config.model.scale == scale:
            cost, psnr = record.complexity, psnr_of(means(record, SHOWN))
            rows.append(
                (f"{record.variant}, ours", "ours", cost["macs_torch"] / 1e9, cost["parameters"] / 1e3, psnr, True)
            )
    columns = ["name", "training", "macs", "parameters", "psnr", "checked"]
    table = pd.DataFrame(rows, columns=columns)
    table["area"] = table["parameters"] / PER_POINT * np.where(table["training"] == "ours", 4, 1)  # a star is thin
    return table[(table["psnr"] > table["psnr"].max() - RANGE) | (table["training"] == "ours")].reset_index(drop=True)


def draw(scale: int) -> Figure:
    """PSNR over multiply-adds at a scale: area by parameters, colour by training, hollow if not all checked."""
    figure = style.new_figure(7.2, 4.6)
    FigureCanvasAgg(figure)
    ax, shown = figure.subplots(), points(scale)
    for row in shown.to_dict("records"):
        colour = COLOURS[row["training"]]
        face = colour if row["checked"] else "white"
        marker = "*" if row["training"] == "ours" else "o"
        place = {"x": row["macs"], "y": row["psnr"], "s": row["area"]}
        dot = ax.scatter(**place, c=face, edgecolors=colour, marker=marker, lw=1.1, zorder=3)
        dot.set_path_effects([withStroke(linewidth=2.6, foreground="white")])  # parts points that overlap
    low, high = shown["psnr"].min(), shown["psnr"].max()
    costs = 0.75 * shown["macs"].min(), 1.35 * shown["macs"].max()
    ax.set(xscale="log", xlim=costs, ylim=(low - 0.15 * (high - low), high + 0.2 * (high - low)))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel=f"multiply-adds for an output of {OUTPUT[0]}×{OUTPUT[1]} (G)", ylabel=f"PSNR-Y on {SHOWN} (dB)")
    for name in ("asid", "asid-d8"):
        macs = count_macs(preset(name, scale=scale)) / 1e9
        ax.axvline(macs, color="0.6", lw=0.9, ls=":", zorder=1)
        ax.text(
            macs, ax.get_ylim()[0], f" {name.upper()} ", rotation=90, ha="right", va="bottom", color="0.4", size=6.5
        )
    labels = {"other": "trained on other photographs", "ours": "ours, trained on BSDS500"}
    for training, colour in COLOURS.items():
        if (shown["training"] == training).any():
            label, marker = labels.get(training, f"trained on {training}"), "*" if training == "ours" else "o"
            ax.scatter([], [], s=40, c=colour, marker=marker, label=label)
    ax.scatter([], [], s=40, c="white", edgecolors="0.3", lw=1.1, label="hollow: a value not checked")
    ax.plot([], [], color="0.6", lw=0.9, ls=":", label="cost of ASID, of ASID-D8")
    for parameters in (250, 1000):
        ax.scatter([], [], s=parameters / PER_POINT, c="0.8", label=f"{parameters} K parameters")
    style.legend_below(figure, ax)
    figure.draw_without_rendering()  # the layout, before texts are placed in it
    place_labels(ax, shown)
    return figure


def place_labels(ax: Axes, shown: pd.DataFrame) -> None:
    """Write each name near its point where nothing lies, with a line to it that crosses as little as possible.

    Raises:
        ValueError: A name has no free place.
    """
    figure = ax.figure
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = ax.get_window_extent(renderer)
    dots = ax.transData.transform(shown[["macs", "psnr"]])
    radii = np.sqrt(shown["area"] / np.pi) * figure.dpi / 72 + 1
    taken = [Bbox([dot - radius, dot + radius]) for dot, radius in zip(dots, radii, strict=True)]
    taken += [text.get_window_extent(renderer) for text in ax.texts]
    lines: list[Path] = []
    crowd = [sum(np.hypot(*(dots - dot).T) < 60) for dot in dots]
    for index in np.argsort(crowd, kind="stable")[::-1]:  # the most crowded first
        others = [box for i, box in enumerate(taken) if i >= len(dots) or not box.overlaps(taken[index])]
        text = ax.text(0, 0, shown["name"][index], size=6.8, ha="center", va="center", transform=None, zorder=5)
        size = text.get_window_extent(renderer).size
        best, box, place = np.inf, None, None
        for distance, there in _places(dots[index], radii[index], size):
            if distance >= best:
                break
            here, line = Bbox([there - size / 2, there + size / 2]).padded(1.5), Path([dots[index], there])
            outside = (here.min < inside.min).any() or (here.max > inside.max).any()
            if outside or any(here.overlaps(other) for other in taken):
                continue
            hidden = sum(line.intersects_bbox(other, filled=False) for other in others)
            crossed = sum(other.intersects_path(line) or other.intersects_bbox(here, filled=False) for other in lines)
            if (cost := distance + 60 * hidden + 100 * crossed) < best:
                best, box, place = cost, here, there
        if box is None:
            raise ValueError(f"no free place for the name {shown['name'][index]}: enlarge the figure")
        in_axes = ax.transAxes.inverted().transform([dots[index], place])
        text.set(position=in_axes[1], transform=ax.transAxes)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
        taken.append(box)
        if best > 4:
            lines.append(Path([dots[index], place]))
            ax.plot(*in_axes.T, color="0.6", lw=0.5, transform=ax.transAxes, zorder=2)


def _places(dot: Any, radius: float, size: Any) -> Iterator[tuple[float, Any]]:
    """Centres of a text around a point, from near to far, after their distance beyond the touching one (pixels)."""
    for distance in (2, 8, 14, 20, 28, 36, 46, 58, 70, 84, 100, 120, 140, 170, 200):
        for angle in np.radians(np.arange(0, 360, 10)):
            yield distance, dot + (radius + distance + size / 2) * (np.cos(angle), np.sin(angle))


def table_of(scale: int) -> str:
    """The networks of a scale in Markdown, by training; what could not be checked in italics."""
    heading = f"| network | parameters (K) | MACs (G) | recounted | {' | '.join(SETS)} | source |"
    lines = [heading, f"|---|---:|---:|---:|{'---|' * len(SETS)}---|"]
    keys, rows = sources(), load_table().query("scale == @scale")
    for training in ("DIV2K", "DF2K", "other"):
        chosen = rows.query("training == @training").to_dict("records")
        if chosen:
            lines.append(_band("other photographs" if training == "other" else training))
        for row in chosen:
            doubtful, again = row["unchecked"].split(), recounted(row["network"], scale)
            shown = {name: f"*{row[name]}*" if name in doubtful and row[name] else row[name] for name in row}
            network = f"*{row['network']}*" if "training" in doubtful else row["network"]
            read = ", ".join(map(str, sorted({keys[row[column]] for column in SOURCES})))
            count = f"{again:.1f}" if again else ""
            cells = [network, shown["parameters_k"], shown["macs_g"], count, *(shown[name] for name in SETS), read]
            lines.append(f"| {' | '.join(cells)} |")
    ours = [record for record in our_networks() if record.config.model.scale == scale]
    if ours:
        lines.append(_band("BSDS500, this package"))
    for record in ours:
        cost, link = record.complexity, f"../results/reference/weights/{record.variant}/record.json"
        costs = [f"{cost['parameters'] / 1e3:.0f}", "", f"{cost['macs_torch'] / 1e9:.1f}"]
        cells = [f"`{record.variant}`", *costs, *(means(record, data) for data in SETS), f"[record]({link})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _band(title: str) -> str:
    """A row that heads those below it."""
    return f"| **{title}** |{' |' * (4 + len(SETS))}"


def sources() -> dict[str, int]:
    """A number for each source, in the order of the table."""
    return {source: i for i, source in enumerate(dict.fromkeys(load_table()[SOURCES].stack()), start=1)}


def source_list() -> str:
    """The sources as a numbered list, with links to the papers on arXiv."""
    lines = "\n".join(f"{i}. {source}" for source, i in sources().items())
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", lines)


def sections() -> dict[str, str]:
    """The parts of the page that this script writes, by name."""
    return {**{f"x{scale}": table_of(scale) for scale in SCALES}, "sources": source_list()}


def write_figures() -> list[pathlib.Path]:
    """Write the figures, PNG and SVG, and return the files."""
    with rc_context(style.STYLE):
        return [file for scale in SCALES for file in style.save_figure(draw(scale), FIGURES / f"x{scale}")]


def write() -> None:
    """Write the figures and the sections of the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in sections().items():
        text = replace_section(text, name, content)
    write_text(PAGE, text)
    write_figures()


if __name__ == "__main__":
    write()
