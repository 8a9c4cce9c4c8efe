"""Would stopping early have given the same answer? Scores at parts of the budget, against those at its end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from asid.ablation.statistics import paired
from asid.runs.record import Record

BUDGETS = (0.25, 0.5)
"""Parts of the steps at which validation curves are read."""

_Runs = Mapping[str, Mapping[int, Record]]
_Psnr = NDArray[np.float64]
"""PSNR (variants, seeds, images) in dB, NaN where there is no run."""


@dataclass(frozen=True)
class Fidelity:
    """What is said after a part of the training."""

    budget: float
    """Part of the steps."""
    data: str | None
    """Evaluation set on which the weights kept at that point were scored; ``None``: the validation curves say it."""
    tau: float
    """Kendall's τ-b (Kendall 1945) of the variants' mean PSNR with that at the end."""
    flipped: dict[str, tuple[str, str]]
    """Verdict then and at the end, for each variant with another one at the end."""


def fidelity(runs: _Runs, base: str, margin: float) -> list[Fidelity]:
    """Compare rankings and verdicts at parts of the budget with those at its end.

    By the scores of the weights that were kept at these parts (``train.checkpoints``), if all runs have the same parts
    and their scores; otherwise by the last validation up to a quarter and a half of the steps. A training that decays
    its learning rate is not over at that point: this tells what stopping early would have said, not what a shorter
    schedule would.

    Args:
        runs: Records of the variants, by variant and seed.
        base: Name of the base.
        margin: Change in dB below which two variants count as equivalent.

    Returns:
        One entry for each part, and for each evaluation set where weights were scored. None for a part that not every
        run has, or with fewer than two different means, then or at the end.
    """
    if base not in runs or len(runs) < 2:
        return []
    if parts := _parts(runs):
        sets = dict.fromkeys(score["data"] for score in next(iter(runs[base].values())).scores)
        scored = {name: _scored(runs, name, len(parts)) for name in sets}
        perfect = {name: np.isposinf(psnr).any(axis=(0, 1, 3)) for name, psnr in scored.items()}
        scored = {name: psnr[:, :, ~perfect[name]] for name, psnr in scored.items() if not perfect[name].all()}
        at: dict[float, dict[str | None, _Psnr]] = {
            part: {name: psnr[..., position] for name, psnr in scored.items()}
            for position, part in enumerate([*parts, 1.0])
        }
    else:
        validated = {budget: _validated(runs, budget) for budget in (*BUDGETS, 1.0)}
        at = {budget: {None: psnr} for budget, psnr in validated.items() if psnr is not None}
    end = at.pop(1.0, None)
    return [found for budget, then in at.items() for found in _compare(runs, base, margin, budget, then, end or {})]


def _compare(
    runs: _Runs,
    base: str,
    margin: float,
    budget: float,
    then: Mapping[str | None, _Psnr],
    end: Mapping[str | None, _Psnr],
) -> list[Fidelity]:
    """Compare the scores of all sets, one family of tests, at a part of the budget with those at its end."""
    taus = {data: float(stats.kendalltau(*map(_means, (then[data], end[data]))).statistic) for data in end}
    taus = {data: tau for data, tau in taus.items() if not math.isnan(tau)}  # not where all variants are equal
    if not taus:
        return []
    index = list(runs).index(base)
    verdicts = [
        [
            [result.verdict if result else "" for result in of_set]
            for of_set in paired.compare(list(scores.values()), index, margin)
        ]
        for scores in (then, end)
    ]
    pairs = {
        data: dict(zip(runs, zip(before, after, strict=True), strict=True))
        for data, before, after in zip(end, *verdicts, strict=True)
    }
    return [
        Fidelity(budget, data, tau, {name: pair for name, pair in pairs[data].items() if pair[0] != pair[1]})
        for data, tau in taus.items()
    ]


def _means(psnr: _Psnr) -> NDArray[np.float64]:
    """The mean of each variant."""
    return np.nanmean(psnr, axis=(1, 2))


def _parts(runs: _Runs) -> tuple[float, ...]:
    """The parts of the training after which all runs kept their weights and scored them; none if they differ."""
    records = [record for of_variant in runs.values() for record in of_variant.values()]
    parts = {record.config.train.checkpoints for record in records}
    scored = all(score.get("psnr_at_checkpoints") for record in records for score in record.scores)
    return parts.pop() if len(parts) == 1 and scored else ()


def _seeds(runs: _Runs) -> list[int]:
    return sorted({seed for of_variant in runs.values() for seed in of_variant})


def _scored(runs: _Runs, data: str, parts: int) -> _Psnr:
    """PSNR (variants, seeds, images, parts and end) on one evaluation set."""
    seeds = _seeds(runs)
    scores = {
        (row, seeds.index(seed)): {score["image"]: score for score in record.scores if score["data"] == data}
        for row, of_variant in enumerate(runs.values())
        for seed, record in of_variant.items()
    }
    images = list(next(iter(scores.values())))
    psnr = np.full((len(runs), len(seeds), len(images), parts + 1), math.nan)
    for cell, of_run in scores.items():
        psnr[cell] = [[*(of_run[image]["psnr_at_checkpoints"] or ()), of_run[image]["psnr"]] for image in images]
    return psnr


def _validated(runs: _Runs, budget: float) -> _Psnr | None:
    """Validation PSNR, the mean as one image; ``None`` if a run has none by then."""
    seeds = _seeds(runs)
    psnr = np.full((len(runs), len(seeds), 1), math.nan)
    for row, of_variant in enumerate(runs.values()):
        for seed, record in of_variant.items():
            until = budget * record.config.train.steps
            measured = [
                point["psnr"] for point in record.history if point["psnr"] is not None and point["step"] <= until
            ]
            if not measured or not math.isfinite(measured[-1]):
                return None
            psnr[row, seeds.index(seed)] = measured[-1]
    return psnr
