"""Diagrams of the network, drawn from its configuration, and plots of its cost by part.

The coordinates of diagrams are inches. Each part has the same colour in all of them.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from asid.config import ModelConfig
from asid.plots.style import signed

WIDTH = 10.0
"""Width of a diagram in inches."""
PART_COLOURS = MappingProxyType(
    {
        "shallow": "#4d4d4d",
        "LM": "#029e73",
        "SAM maps": "#013f66",
        "SAM values": "#0173b2",
        "SAM FFN": "#8fc3e4",
        "fuse": "#a3a3a3",
        "CAM attention": "#b96a00",
        "CAM FFN": "#f0b95c",
        "project": "#808080",
        "ESA": "#cc78bc",
        "deep": "#4d4d4d",
        "upsample": "#4d4d4d",
    }
)
"""Colours of :data:`asid.interpret.architecture.PARTS`: seaborn's colour-blind hues, shades within a module."""
PART_LABELS = MappingProxyType(
    {part: part for part in PART_COLOURS}
    | {
        "LM": "local module (LM)",
        "SAM maps": "SAM: making maps",
        "SAM values": "SAM: values, output",
        "SAM FFN": "SAM: feed-forward",
        "fuse": "fuse 1×1 (steps)",
        "CAM attention": "CAM: attention",
        "CAM FFN": "CAM: feed-forward",
        "project": "project 1×1 (groups)",
    }
)
_FEATURES, _DISTILLED, _LOCAL, _INK = "#eceff1", "#f6dfb4", "#cfe8df", "0.25"
_MOST_GROUPS, _MOST_STEPS = 8, 5


def plot_network(config: ModelConfig, ax: Axes) -> None:
    """Draw the flow of the whole network, its channels and the sharing of attention maps; 2.1 inches high."""
    middle, tall, c, s = 0.98, 0.84, config.num_features, config.scale
    _canvas(ax, 2.1)
    _box(ax, (0.0, 0.68, 0.6, 0.6), "LR\nH×W", "white")
    _box(ax, (1.0, 0.63, 0.72, 0.7), "shallow\n3×3", PART_COLOURS["shallow"])
    _arrow(ax, (0.6, middle), (1.0, middle), "3")
    left, right = 2.1, 6.5
    shown = _elide(config.num_groups, _MOST_GROUPS)
    pitch = (right - left) / len(shown)
    width = min(1.15, pitch * 0.76)
    centres = {group: left + (index + 0.5) * pitch for index, group in enumerate(shown)}
    ends = [1.72, *(x for centre in centres.values() for x in (centre - width / 2, centre + width / 2)), 6.85]
    for index, (start, stop) in enumerate(zip(ends[::2], ends[1::2], strict=True)):
        _arrow(ax, (start, middle), (stop, middle), str(c) if index in (0, len(shown)) else "")
    for group, centre in centres.items():
        text, colour = _group_box(config, group)
        _box(ax, (centre - width / 2, middle - tall / 2, width, tall), text, colour, turned=width < 0.6)
    _draw_sharing(config, ax, centres, bottom=middle + tall / 2, bus=1.72)
    _box(ax, (6.85, 0.63, 0.6, 0.7), "deep\n3×3", PART_COLOURS["deep"])
    _arrow(ax, (7.45, middle), (7.78, middle))
    _plus(ax, 7.88, middle)
    _line(ax, [(1.86, middle), (1.86, 0.3), (7.88, 0.3)])
    _arrow(ax, (7.88, 0.3), (7.88, middle - 0.1))
    ax.text(4.3, 0.26, "global skip connection", ha="center", va="top", fontsize=7, color="0.4")
    _arrow(ax, (7.98, middle), (8.36, middle), str(c))
    _box(ax, (8.36, 0.63, 0.7, 0.7), f"upsample\n3×3 → {3 * s * s}\nshuffle ×{s}", PART_COLOURS["upsample"])
    _arrow(ax, (9.06, middle), (9.4, middle), "3")
    _box(ax, (9.4, 0.68, 0.6, 0.6), f"SR\n{s}H×{s}W" if s > 1 else "SR\nH×W", "white")
    ax.text(0, 1.98, "Network", fontsize=9, va="center")
    ax.text(0, 0.1, "numbers on arrows: channels", fontsize=7, color="0.4", va="center")


def plot_group(config: ModelConfig, ax: Axes) -> None:
    """Draw one group: its information distillation block, steps and slices with widths to scale; 3.05 inches high."""
    c, k, base, tall = config.num_features, config.distilled_channels, 0.62, 1.65
    _canvas(ax, 3.05)

    def level(channel: int) -> float:
        """The y coordinate of a channel's upper edge; channel 0 is at the top."""
        return base + tall * (1 - channel / c)

    def band(left: float, right: float, first: int, colour: str, text: str) -> None:
        """A slice of ``k`` channels that starts with ``first``, from x = ``left`` to ``right``."""
        ax.add_patch(
            Rectangle(
                (left, level(first + k)),
                right - left,
                level(first) - level(first + k),
                fc=colour,
                ec="white",
                lw=0.8,
                zorder=1,
            )
        )
        if level(first) - level(first + k) > 0.12 and right - left > 0.065 * len(text):
            ax.text(
                (left + right) / 2,
                (level(first) + level(first + k)) / 2,
                text,
                ha="center",
                va="center",
                fontsize=6.5,
                color=_INK,
            )

    tail = [
        *([("CAM", 0.7)] if config.channel_windows else []),
        ("1×1", 0.4),
        ("+", 0.2),
        *([("ESA", 0.55)] if config.esa else []),
    ]
    left, right = 0.55, 9.55 - sum(width + 0.22 for _, width in tail)
    shown = _elide(config.distillation_steps, _MOST_STEPS)
    pitch = (right - left) / len(shown)
    ax.add_patch(Rectangle((left - 0.3, base), right - left + 0.3, tall, fc=_FEATURES, ec="none", zorder=0.5))
    ax.text(0, 2.92, "One group (heights show channels)", fontsize=9, va="center")
    ax.text(left - 0.36, base + tall / 2, f"{c}", ha="right", va="center", fontsize=7.5, color=_INK)
    shares = config.spatial_windows and not all(config.makes_maps(group) for group in range(config.num_groups))
    for index, step in enumerate(shown):
        start, stop, last = left + index * pitch, left + (index + 1) * pitch, step == config.distillation_steps - 1
        if step is None:
            ax.text((start + stop) / 2, base + tall / 2, "…", ha="center", va="center", fontsize=14)
            continue
        local, attention, fuse = _step_columns(config, start, stop)
        ax.text(
            (start + stop) / 2,
            base + tall + 0.2,
            f"step {step + 1}, width {config.step_widths[step]}",
            ha="center",
            fontsize=7.5,
        )
        _line(ax, [(start + 0.05, base + tall + 0.13), (stop - 0.05, base + tall + 0.13)], lw=0.8, colour="0.6")
        if local:
            _box(ax, (local[0], base, local[1] - local[0], level(step * k) - base), "LM", PART_COLOURS["LM"])
        if k:
            band(local[1] if local else start, fuse[0], step * k, _LOCAL, f"local {k}")
        for (inner, outer), kind in zip(attention, config.spatial_windows, strict=True):
            box = (inner, base, outer - inner, level((step + 1) * k) - base)
            side = f"{config.window_size}" if kind == "meso" else f"{config.global_kind} {config.global_size}"
            _box(ax, box, f"SAM\n{kind}\n{side}", PART_COLOURS["SAM values"], turned=outer - inner < 0.4)
            if shares:
                _line(ax, [((inner + outer) / 2, base), ((inner + outer) / 2, 0.34)], colour=PART_COLOURS["SAM maps"])
                ax.text(
                    (inner + outer) / 2 + 0.06,
                    0.5,
                    "A",
                    fontsize=7,
                    style="italic",
                    va="center",
                    color=PART_COLOURS["SAM maps"],
                )
        top = level(0 if last else step * k)
        _box(
            ax,
            (fuse[0], base, fuse[1] - fuse[0], top - base),
            "1×1",
            PART_COLOURS["fuse"],
            turned=fuse[1] - fuse[0] < 0.24,
        )
        if k and not last:
            band(fuse[1], _step_columns(config, right - pitch, right)[2][0], step * k, _DISTILLED, f"distilled {k}")
    if shares:
        _line(ax, [(left, 0.34), (right, 0.34)], lw=1.6, colour=PART_COLOURS["SAM maps"])
        ax.text(
            left,
            0.28,
            "attention maps A: passed on by a group that makes them, received by one that reuses them",
            fontsize=7,
            va="top",
            color=PART_COLOURS["SAM maps"],
        )
    _draw_tail(config, ax, tail, right, base, tall)


def plot_costs_by_group(costs: pd.DataFrame, column: str, ax: Axes, label: str) -> None:
    """Draw costs as stacked bars, one for each group and one for the rest of the network.

    Args:
        costs: A table of :func:`asid.interpret.architecture.costs`.
        column: ``parameters`` or ``macs``.
        ax: Where to draw.
        label: Label of the x-axis.
    """
    groups = sorted(costs["group"].unique(), key=lambda group: (group == 0, group))
    table = costs.pivot_table(index="group", columns="part", values=column, aggfunc="sum", fill_value=0).reindex(groups)
    left = pd.Series(0, index=groups)
    for part in PART_COLOURS:
        if part in table and table[part].any():
            name = {"shallow": "shallow, deep, upsample", "deep": "", "upsample": ""}.get(part, PART_LABELS[part])
            ax.barh(
                range(len(groups)),
                table[part],
                left=left,
                color=PART_COLOURS[part],
                edgecolor="white",
                lw=0.6,
                label=name,
            )
            left = left + table[part]
    ax.set_yticks(range(len(groups)), [f"group {group}" if group else "outside" for group in groups])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlim(0, 1.04 * left.max())
    _finish_bars(ax, label)


def plot_costs(base: pd.Series, variant: pd.Series, ax: Axes, label: str) -> None:
    """Draw costs by part: a wide pale bar for the base, a narrow coloured bar for the variant, the change as text."""
    reach = max(base.max(), variant.max())
    for position, part in enumerate(PART_COLOURS):
        before, after = base[part], variant[part]
        ax.barh(position, before, height=0.84, color="0.86", lw=0)
        ax.barh(position, after, height=0.46, color=PART_COLOURS[part], lw=0)
        if before != after:
            text = f"{signed(100 * (after / before - 1), 0)} %" if before else "new"
            ax.text(max(before, after) + 0.015 * reach, position, text, va="center", fontsize=7, color=_INK)
    ax.set_yticks(range(len(PART_COLOURS)), [PART_LABELS[part] for part in PART_COLOURS])
    ax.set_ylim(len(PART_COLOURS) - 0.4, -0.6)
    ax.set_xlim(0, 1.14 * reach)
    _finish_bars(ax, label)


def _finish_bars(ax: Axes, label: str) -> None:
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _group_box(config: ModelConfig, group: int | None) -> tuple[str, str]:
    """Text and colour of a group in the flow."""
    if group is None:
        return "…", "white"
    if not config.spatial_windows:
        return f"group {group + 1}", "#9a9a9a"
    makes = config.makes_maps(group)
    return f"group {group + 1}\n{'makes A' if makes else 'reuses A'}", PART_COLOURS["SAM maps" if makes else "SAM FFN"]


def _draw_sharing(config: ModelConfig, ax: Axes, centres: dict[int | None, float], bottom: float, bus: float) -> None:
    """Draw lines from each group that makes maps to the groups that reuse them."""
    if not config.spatial_windows:
        return
    colour, source, labelled = PART_COLOURS["SAM maps"], 0.0, False
    for group, centre in centres.items():
        if group is None or config.makes_maps(group):
            source = centre  # for groups after the ellipsis, too: their source may be hidden in it
            continue
        _line(ax, [(source, bottom), (source, bus), (centre, bus)], colour=colour)
        _arrow(ax, (centre, bus), (centre, bottom), colour=colour)
        if not labelled:
            count = config.distillation_steps * len(config.spatial_windows)
            ax.text(source, bus + 0.06, f"{count} attention maps A, shared", fontsize=7.5, color=colour, va="bottom")
            labelled = True


def _step_columns(
    config: ModelConfig, start: float, stop: float
) -> tuple[tuple[float, float] | None, list[tuple[float, float]], tuple[float, float]]:
    """Positions (left, right) of LM (or None), the SAM layers and the fuse convolution of a step."""
    shares = [*([1.0] if config.local_module else []), *(1.0 for _ in config.spatial_windows), 0.6]
    gap = 0.22
    unit = (stop - start) / (sum(shares) + gap * (len(shares) + 1))
    columns, x = [], start + gap * unit
    for share in shares:
        wide = min(share * unit, 0.75)
        columns.append((x + (share * unit - wide) / 2, x + (share * unit + wide) / 2))
        x += (share + gap) * unit
    local = columns.pop(0) if config.local_module else None
    return local, columns[:-1], columns[-1]


def _draw_tail(
    config: ModelConfig, ax: Axes, tail: Sequence[tuple[str, float]], right: float, base: float, tall: float
) -> None:
    """Draw what follows the steps: CAM, the 1×1 convolution, the skip connection of the group and ESA."""
    colours = {"CAM": PART_COLOURS["CAM attention"], "1×1": PART_COLOURS["project"], "ESA": PART_COLOURS["ESA"]}
    x, middle, over = right, base + tall / 2, base + tall + 0.5
    for name, width in tail:
        _arrow(ax, (x, middle), (x + 0.22, middle))
        x += 0.22
        if name == "+":
            _plus(ax, x + 0.1, middle)
            _line(ax, [(0.12, middle + 0.12), (0.12, over), (x + 0.1, over)])
            _arrow(ax, (x + 0.1, over), (x + 0.1, middle + 0.1))
            ax.text(x, over + 0.04, "skip connection of the group", ha="right", fontsize=7, color="0.4")
        else:
            text = "\n".join([name, *config.channel_windows]) if name == "CAM" else name
            _box(ax, (x, base, width, tall), text, colours[name])
        x += width
    _arrow(ax, (x, middle), (min(x + 0.3, WIDTH), middle), str(config.num_features))


def _elide(count: int, most: int) -> list[int | None]:
    """The indices to draw: all up to ``most``; of more, the first ones, None for an ellipsis, and the last."""
    return list(range(count)) if count <= most else [*range(most - 2), None, count - 1]


def _canvas(ax: Axes, height: float) -> None:
    ax.set(xlim=(-0.03, WIDTH + 0.03), ylim=(0, height), aspect="equal")
    ax.set_axis_off()


def _box(ax: Axes, box: tuple[float, float, float, float], text: str, colour: str, turned: bool = False) -> None:
    """Draw a rounded box (left, bottom, width, height). Its text shrinks to fit, or only the first line is shown."""
    left, bottom, width, height = box
    dark = sum(weight * value for weight, value in zip((0.3, 0.59, 0.11), to_rgb(colour), strict=True)) < 0.6
    style = "round,pad=0,rounding_size=0.05"
    edge = "0.5" if colour == "white" else "white"
    ax.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle=style, fc=colour, ec=edge, lw=0.8, zorder=2))
    along, across = (height, width) if turned else (width, height)
    if turned and len(text) * 0.0092 * 6.5 < along:
        text = text.replace("\n", " ")
    for shown in (text, text.split("\n")[0]):
        lines = shown.split("\n")
        # A letter is 0.0092 inches wide and a line 0.0175 inches high for each point of the font size.
        size = min(7.5, 0.95 * along / (0.0092 * max(map(len, lines))), 0.95 * across / (0.0175 * len(lines)))
        if size > 5:
            kind: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "rotation": 90 if turned else 0,
                "linespacing": 1.15,
            }
            ax.text(
                left + width / 2,
                bottom + height / 2,
                shown,
                fontsize=size,
                color="white" if dark else "0.1",
                zorder=3,
                **kind,
            )
            break


def _arrow(ax: Axes, start: tuple[float, float], stop: tuple[float, float], text: str = "", colour: str = _INK) -> None:
    arrow = {"arrowstyle": "-|>,head_width=0.14,head_length=0.28", "color": colour, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=stop, xytext=start, arrowprops=arrow, zorder=1.8)
    if text:
        ax.text((start[0] + stop[0]) / 2, start[1] + 0.06, text, ha="center", fontsize=7.5, color=colour)


def _line(ax: Axes, points: Sequence[tuple[float, float]], colour: str = _INK, lw: float = 1) -> None:
    ax.plot(*zip(*points, strict=True), color=colour, lw=lw, solid_joinstyle="round", zorder=1.8)


def _plus(ax: Axes, x: float, y: float) -> None:
    ax.scatter(x, y, s=120, facecolor="white", edgecolor=_INK, lw=1, zorder=2)
    ax.scatter(x, y, s=45, marker="+", color=_INK, lw=1, zorder=3)
