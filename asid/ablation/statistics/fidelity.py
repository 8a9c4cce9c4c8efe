"""Would a shorter training have given the same answer? Validation curves at parts of the budget, against its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from asid.ablation.statistics import paired
from asid.runs.record import Record

BUDGETS = (0.25, 0.5)
"""Parts of the steps of a training."""


@dataclass(frozen=True)
class Fidelity:
    """What the validation images say after a part of the training."""

    budget: float
    """Part of the steps."""
    tau: float
    """Kendall's τ-b (Kendall 1945) of the variants' mean PSNR with that at the end."""
    flipped: dict[str, tuple[str, str]]
    """Verdict then and at the end, for each variant with another one at the end."""


def fidelity(
    runs: Mapping[str, Mapping[int, Record]], base: str, margin: float, budgets: Sequence[float] = BUDGETS
) -> list[Fidelity]:
    """Compare rankings and verdicts at parts of the budget with those at its end.

    The PSNR at a part is that of the last validation up to there. A training that decays its learning rate is not
    over at that point: this tells what stopping early would have said, not what a shorter schedule would.

    Args:
        runs: Records of the variants, by variant and seed.
        base: Name of the base.
        margin: Change in dB below which two variants count as equivalent.
        budgets: Parts of the steps.

    Returns:
        One entry for each part by which every run was validated; none for a part, or an end, with fewer than two
        different means.
    """
    if base not in runs or len(runs) < 2:
        return []
    seeds = sorted({seed for of_variant in runs.values() for seed in of_variant})
    end = _psnr(runs, seeds, 1.0)
    found = []
    for budget in budgets:
        then = _psnr(runs, seeds, budget)
        if end is None or then is None:
            continue
        tau = float(stats.kendalltau(np.nanmean(then, axis=1), np.nanmean(end, axis=1)).statistic)
        if math.isnan(tau):  # all variants are equal
            continue
        index = list(runs).index(base)
        verdicts = [
            [result.verdict if result else "" for result in paired.compare([array[:, :, None]], index, margin)[0]]
            for array in (then, end)
        ]
        flipped = {name: pair for name, *pair in zip(runs, *verdicts, strict=True) if pair[0] != pair[1]}
        found.append(Fidelity(budget, tau, {name: (before, after) for name, (before, after) in flipped.items()}))
    return found


def _psnr(runs: Mapping[str, Mapping[int, Record]], seeds: Sequence[int], budget: float) -> np.ndarray | None:
    """Validation PSNR (variants, seeds) in dB, NaN where there is no run; ``None`` if a run has none by then."""
    array = np.full((len(runs), len(seeds)), math.nan)
    for row, of_variant in enumerate(runs.values()):
        for seed, record in of_variant.items():
            until = budget * record.config.train.steps
            measured = [
                point["psnr"] for point in record.history if point["psnr"] is not None and point["step"] <= until
            ]
            if not measured or not math.isfinite(measured[-1]):
                return None
            array[row, seeds.index(seed)] = measured[-1]
    return array
