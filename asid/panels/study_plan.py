"""What a study would cost and could find, as HTML."""

import html
from collections import Counter
from collections.abc import Mapping
from typing import Any

from asid.files import grouped

_COLUMNS = ("variant", "parameters", "MACs (G)", "steps", "seeds", "done", "hours", "can see (dB)")


def plan_html(plan: Mapping[str, Any]) -> str:
    """The networks of a study, what is left to train, for how long, and what its seeds can detect.

    Args:
        plan: What ``asid ablate plan --json`` prints.
    """
    rows = "".join(_row(variant, plan["detectable"]) for variant in plan["variants"])
    head = "".join(f'<th class="{_side(name)}">{name}</th>' for name in _COLUMNS)
    sentences = [_summary(plan), f"{plan['power'][0].upper()}{plan['power'][1:]}."]
    sentences += [f"Dropped by the rule {item['rule']}: {item['variant']}." for item in plan["dropped"]]
    words = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    return f'<div class="asid-words">{words}<div class="asid-table"><table><tr>{head}</tr>{rows}</table></div></div>'


def _summary(plan: Mapping[str, Any]) -> str:
    variants, seeds, left = len(plan["variants"]), len(plan["seeds"]), plan["to_train"]
    text = f"{variants} networks × {seeds} seed{'s' if seeds != 1 else ''}: {plan['runs']} runs"
    text += f", {plan['done']} done" if plan["done"] else ""
    for origin, count in Counter(plan["reused"].values()).items():
        text += f", {count} taken from {origin}"
    time = f" in about {show_hours(plan['hours'])}" if left else ""
    return f"{text}; {left} to train{time}, {plan['workers']} at a time on this machine."


def show_hours(hours: float) -> str:
    """``20 s``, ``12 min`` or ``3.4 h``."""
    if hours * 3600 < 90:
        return f"{max(1, round(hours * 3600))} s"
    return f"{round(hours * 60)} min" if hours < 1.5 else f"{hours:.1f} h"


def _row(variant: Mapping[str, Any], detectable: Mapping[str, float]) -> str:
    smallest = detectable.get(variant["variant"])
    cells = (
        variant["variant"],
        grouped(variant["parameters"]),
        f"{variant['macs'] / 1e9:.2f}",
        str(variant["steps"]),
        str(variant["seeds"]),
        str(variant["done"] + variant["reused"]),
        f"{variant['hours']:.2f}",
        f"{smallest:.3f}" if smallest else "–",
    )
    columns = zip(_COLUMNS, cells, strict=True)
    return f"<tr>{''.join(f'<td class={_side(name)!r}>{html.escape(cell)}</td>' for name, cell in columns)}</tr>"


def _side(column: str) -> str:
    return "left" if column == "variant" else "right"
