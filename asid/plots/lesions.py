"""Plots of lesions: dB lost by place, and where in an image it is lost."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from asid.plots.lr_image import frame_image
from asid.plots.style import colours, signed


def plot_lesions(labels: Sequence[str], parts: Sequence[str], loss: NDArray[np.float64], ax: Axes) -> None:
    """Plot PSNR lost in dB, the worst lesion on top, with a colour for each kind of part and a dot for each image.

    The scale is linear up to 0.01 dB and logarithmic beyond.

    Args:
        labels: The P lesions.
        parts: The kind of each.
        loss: (P, N), for each image.
        ax: Where to draw.
    """
    order = np.argsort(-loss.mean(axis=1), kind="stable")
    palette = colours(list(dict.fromkeys(parts)))
    mean = loss.mean(axis=1)[order]
    ax.barh(range(len(order)), mean, color=[palette[parts[place]] for place in order], height=0.75)
    for row, place in enumerate(order):
        ax.plot(loss[place], np.full(loss.shape[1], row), ls="none", marker=".", ms=2.5, color="0.2")
        ax.text(1.01, row, signed(mean[row]), transform=ax.get_yaxis_transform(), va="center", fontsize=5.5)
    ax.set_yticks(range(len(order)), [labels[place] for place in order], fontsize=6)
    ax.set_xscale("symlog", linthresh=0.01)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set(xlabel="PSNR lost (dB); dots: images", ylim=(len(order) - 0.4, -0.6))
    ax.margins(x=0.15)
    ax.grid(axis="y", visible=False)
    ax.legend(handles=[Patch(color=colour, label=part) for part, colour in palette.items()], loc="lower right")


def plot_error_increase(increase: NDArray[np.float64], ax: Axes, title: str) -> None:
    """Plot where the squared error grew (red) and fell (blue), (h, w); the scale ends at the 99th percentile."""
    limit = float(np.quantile(np.abs(increase), 0.99)) or 1.0
    image = ax.imshow(increase, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    frame_image(ax)
    ax.set(title=title)
    if ax.figure is not None:
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label="change of squared error (grey levels²)")


def plot_agreement(
    lesions: Sequence[float], retrained: Sequence[float], names: Sequence[str], ax: Axes, title: str
) -> None:
    """Plot dB lost by networks trained without each component against dB lost by its lesion."""
    ax.plot(lesions, retrained, ls="none", marker="o")
    for x, y, name in zip(lesions, retrained, names, strict=True):
        ax.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set_xscale("symlog", linthresh=0.01)
    ax.margins(x=0.25)
    ax.set(xlabel="lost by the lesion (dB)", ylabel="lost by training without it (dB)", title=title)
