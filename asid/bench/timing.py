"""Timing: sides in turn (A B A B), so that a noisy machine disturbs all of them alike; medians, ratios, exponents."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

Work = Callable[[], object]
Row = dict[str, Any]
"""A row of a table: values by column. Beside a column ``x``, ``x low`` and ``x high`` are its quartiles over rounds."""

_LEAST = 0.05
"""Seconds that a measurement lasts at least: short work is repeated."""


def time_in_turn(sides: Mapping[str, Work], rounds: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Time each side once in every round.

    Args:
        sides: What is timed, by name.
        rounds: How often.
        warm: Call each side once before, which also says how often short work is repeated within a round.

    Returns:
        Seconds of one call, for each side and round.
    """
    repeats = {
        name: max(1, round(_LEAST / max(_seconds(work, 1), 1e-9))) if warm else 1 for name, work in sides.items()
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            times[name].append(_seconds(work, repeats[name]))
    return times


def _seconds(work: Work, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def median(column: str, values: Sequence[float], factor: float = 1.0) -> Row:
    """The median of ``factor`` times ``values``, with its quartiles, as cells of a row."""
    low, middle, high = np.quantile(np.asarray(values) * factor, [0.25, 0.5, 0.75])
    return {column: float(middle), f"{column} low": float(low), f"{column} high": float(high)}


def ratio(column: str, above: Sequence[float], below: Sequence[float]) -> Row:
    """The median over rounds of ``above / below``, with its quartiles, as cells of a row.

    Each ratio is of two measurements in the same round: load that lasts longer than a round cancels.
    """
    return median(column, np.asarray(above) / np.asarray(below))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The p of the power law ``cost = a · size**p`` that fits best, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Inside, torch uses ``number`` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
