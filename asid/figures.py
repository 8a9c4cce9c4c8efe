"""Plots: a thin layer that takes data and draws on the ``ax`` or figure it is given.

Figures are ``matplotlib.figure.Figure``, not pyplot: widget callbacks run in threads.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

PALETTE = "colorblind"
STYLE = {
    **sns.axes_style("whitegrid"),
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "svg.hashsalt": "asid",  # the same data gives the same bytes
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Draw in the suite's style from here on (for notebooks)."""
    rcParams.update(STYLE)


def colours(names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """One colour-blind safe colour for each name, in their order."""
    return dict(zip(names, sns.color_palette(PALETTE, max(len(names), 1)), strict=False))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Save a figure as ``path.png`` (150 dpi) and ``path.svg``, with no date inside."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(path.name + ending) for ending in (".png", ".svg")]
    with rc_context(STYLE):
        figure.savefig(files[0], dpi=150, metadata={"Software": None})
        figure.savefig(files[1], metadata={"Date": None})
    return files


def plot_history(history: pd.DataFrame, loss_ax: Axes, psnr_ax: Axes, label: str | None = None, colour: object = None) -> None:
    """Training loss (smoothed over the last tenth of its rows, logarithmic) and validation PSNR over steps."""
    loss = history.dropna(subset="loss")
    smooth = loss["loss"].rolling(max(1, len(loss) // 10), min_periods=1).mean()
    loss_ax.plot(loss["step"], smooth, label=label, color=colour, lw=1.2)
    loss_ax.set(xlabel="step", ylabel="L1 loss, images in [0, 1]", yscale="log")
    loss_ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss_ax.yaxis.set_major_formatter("{x:g}")
    loss_ax.yaxis.set_minor_locator(NullLocator())
    psnr = history.dropna(subset="psnr")
    psnr_ax.plot(psnr["step"], psnr["psnr"], marker="o", ms=3, label=label, color=colour, lw=1.2)
    psnr_ax.set(xlabel="step", ylabel="validation PSNR-Y (dB)")


def plot_trade_off(table: pd.DataFrame, cost: str, ax: Axes, label: str, palette: Mapping[str, object]) -> None:
    """PSNR against a cost, one point a variant. ``table`` has the columns variant, psnr and ``cost``."""
    for (name, row), marker in zip(table.set_index("variant").iterrows(), cycle("osD^vPX*"), strict=False):
        ax.scatter(row[cost], row["psnr"], s=45, marker=marker, color=palette[str(name)], alpha=0.85, label=str(name), zorder=3)
    ax.set(xlabel=label, ylabel="PSNR-Y (dB)")
    ax.margins(0.15)


def plot_changes(changes: pd.DataFrame, ax: Axes, palette: Mapping[str, object], base: str) -> None:
    """Change of PSNR against the base: a bar for the mean, a dot for each image and seed. Columns: variant, image, change."""
    order = list(dict.fromkeys(changes["variant"]))
    for position, name in enumerate(order):
        values = changes.loc[changes["variant"] == name, "change"]
        ax.barh(position, values.mean(), color=palette[name], alpha=0.75, height=0.6, zorder=2)
        ax.scatter(
            values,
            np.full(len(values), position),
            color="black",
            s=9,
            zorder=3,
            label="one image, one seed" if not position else None,
        )
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(order)), order)
    ax.invert_yaxis()
    ax.set_xlabel(f"change of PSNR-Y against {base} (dB)")


def plot_crops(images: Mapping[str, NDArray[np.uint8]], figure: Figure, box: tuple[int, int, int, int], notes: Mapping[str, str]) -> None:
    """The same region of several images side by side; ``box`` is (top, left, height, width); ``notes`` stand under the titles."""
    top, left, height, width = box
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image[top : top + height, left : left + width], interpolation="nearest")
        ax.set_title(f"{title}\n{notes.get(title, '')}", fontsize=8)
        ax.set_axis_off()


def most_detailed_box(image: NDArray[np.uint8], size: int, step: int = 8) -> tuple[int, int, int, int]:
    """The square region (top, left, size, size) of an image with the strongest gradients: where methods differ to the eye."""
    grey = image.astype(float).mean(axis=2)
    energy = np.hypot(*np.gradient(grey))
    total = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    size = min(size, *grey.shape)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(sums[::step, ::step].argmax(), sums[::step, ::step].shape)
    return int(top) * step, int(left) * step, size, size


def plot_attention(image: NDArray[np.uint8], attention: NDArray[np.float32], pixel: tuple[int, int], ax: Axes, title: str) -> None:
    """An attention map over its LR image: a dot for each pixel that gets attention, a cross for the query."""
    ax.imshow(image.mean(axis=2), cmap="gray", alpha=0.6, interpolation="nearest")
    rows, columns = attention.nonzero()
    drawn = ax.scatter(columns, rows, c=attention[rows, columns], s=14, marker="s", cmap="viridis")
    ax.plot(pixel[1], pixel[0], marker="x", color="red", ms=7, mew=1.5)
    ax.set_title(title)
    ax.set_axis_off()
    if ax.figure is not None:
        ax.figure.colorbar(drawn, ax=ax, shrink=0.7, label="attention (sums to 1)")
