"""Plots of ``asid bench``: ratios against a plain implementation, and how cost grows."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from asid.plots.style import colours


def plot_ratios(ratios: Mapping[str, tuple[float, float, float]], ax: Axes) -> None:
    """Draw a point for each ratio, with its quartiles, beside a line at 1.

    Args:
        ratios: For each label: lower quartile, median, upper quartile.
        ax: Where to draw.
    """
    labels = list(ratios)[::-1]
    colour = colours(["ratio"])["ratio"]
    for position, label in enumerate(labels):
        low, middle, high = ratios[label]
        ax.plot([low, high], [position, position], color=colour, lw=2.5, alpha=0.5)
        ax.plot(middle, position, "o", color=colour, ms=5)
        ax.annotate(
            f"{middle:.2f}", (max(high, 1), position), (4, 0), textcoords="offset points", va="center", fontsize=7.5
        )
    ax.axvline(1, color="0.3", lw=1)
    ax.set_yticks(range(len(labels)), labels)
    ax.margins(x=0.15, y=0.4 / len(labels))
    ax.set_xlabel("time of the plain implementation / time of the package")


def plot_growth(costs: Mapping[str, tuple[Sequence[float], Sequence[float], float]], axes: Sequence[Axes]) -> None:
    """Draw time over size, one panel for each way to grow, both on logarithmic scales.

    Args:
        costs: For each way: sizes, milliseconds, and the exponent that was fitted.
        axes: As many as ways.
    """
    for (name, (sizes, milliseconds, power)), ax, colour in zip(
        costs.items(), axes, colours(list(costs)).values(), strict=True
    ):
        ax.loglog(sizes, milliseconds, "o-", color=colour, ms=4)
        ax.set_xticks(sizes, [f"{size:g}" if size < 1000 else f"{size / 1000:.0f} k" for size in sizes])
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(name)
        ax.set_title(f"exponent {power:.2f}")
    axes[0].set_ylabel("ms")
