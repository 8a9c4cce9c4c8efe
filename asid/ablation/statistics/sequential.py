"""What each look at a growing study decides, so that all looks together err no more than one: pure functions of arrays.

Each look has a level of its own, the error that it may spend: the differences of a spending function (Lan and DeMets
1983) between this look and the one before. A p-value that is below the level of its look is a finding, and the chance
of any false one is at most the sum of the levels, alpha, by Boole's inequality. That holds for p-values of any test,
however those of successive looks depend on each other. The boundaries of textbooks suppose normal sums with a known
variance, and t-tests with three seeds are far from that. What it costs: see ``docs/statistics.md``.

The smallest alpha at which a hypothesis would be rejected at a look or before is its p-value over looks. Holm's
adjustment of these is a closed test of the whole family at every look (Maurer and Bretz 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from asid.ablation.statistics.paired import (
    Comparison,
    Interval,
    Verdict,
    compare_pair,
    equivalence_p,
    holm,
    paired_differences,
    seed_interval,
    smallest_detectable,
    t_p,
)
from asid.ablation.study.until import Spending, Until

_SMALLEST, _LARGEST = 1e-300, 0.3
"""Where p-values over looks are searched for. Above 0.317 the levels of obrien-fleming do not grow with alpha."""


def spent(spending: Spending, share: float, alpha: float) -> float:
    """The error that may be spent up to a ``share`` of all seeds, out of ``alpha`` (Lan and DeMets 1983)."""
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / math.sqrt(share)))


def look_level(until: Until, look: int, alpha: float) -> float:
    """What a look, from 1, spends of ``alpha``: the level of its tests. Over all looks the sum is ``alpha``."""
    first, last = until.looks[max(look - 2, 0)], until.looks[-1]
    before = spent(until.spending, first / last, alpha) if look > 1 else 0.0
    return spent(until.spending, until.looks[look - 1] / last, alpha) - before


@lru_cache(maxsize=10_000)
def smallest_alpha(until: Until, look: int, p: float) -> float:
    """The smallest alpha at which ``p`` is a finding at ``look``, from 1: its p-value over looks. Above 0.3 it is 1."""

    def excess(alpha: float) -> float:
        return look_level(until, look, alpha) - p

    if excess(_LARGEST) < 0:
        return 1.0
    return float(optimize.brentq(excess, _SMALLEST, _LARGEST, xtol=1e-15)) if excess(_SMALLEST) < 0 else _SMALLEST


@dataclass
class _Hypothesis:
    """One variant on one evaluation set, over the looks so far."""

    differences: NDArray[np.float64]
    """(seeds, images) up to the last look that it took part in."""
    p: float = 1.0
    """Of no change, over looks: the smallest so far."""
    sign: int = 0
    """Of the change where ``p`` was found."""
    p_equivalent: float = 1.0
    look: int = 0
    """The last look that it took part in, from 1."""
    verdict: Verdict = "waiting"
    p_holm: float = 1.0
    """The Holm-adjusted ``p`` that the verdict rests on: of its look, like the verdict."""


def compare_at_looks(
    sets: Sequence[ArrayLike], base: int, until: Until, margin: float = 0.05, level: float = 0.95
) -> list[list[Comparison | None]]:
    """Compare each variant with variant ``base`` on each evaluation set at the looks that its seeds allow.

    A look at n seeds takes the first n seeds of a variant and of the base, and what both have beyond says nothing. It
    comes when both have all of them. All variants on all sets are one family of fixed size: what has not been looked
    at counts with p = 1, so nothing that it shows later can take a verdict back.

    A verdict stays at the look at which it falls. It is the first that holds: "better" or "worse", where the
    Holm-adjusted p over looks is below ``until.alpha``; "equivalent", where that of the two one-sided tests is, which
    is not adjusted for the number of variants; else "undecided", or "waiting" before the first look. The interval of a
    look covers 1 - its level of 1 - ``level``: all intervals of a variant cover the change together with at least
    ``level`` (repeated confidence intervals, Jennison and Turnbull 1989), so that of any look does, whenever the
    training stops.

    An image that some run of a look restored without error is left out of that look.

    Args:
        sets: For each evaluation set the scores (variants, seeds, images) in dB, all NaN where a run is missing. Seeds
            in the order in which they are added, no fewer than at the last look.
        base: Index of the base.
        until: The looks.
        margin: Half the width of the band of equivalence, in dB.
        level: Joint coverage of the intervals.

    Returns:
        For each set, the comparison of each variant. None stands for the base itself, and for a variant without a seed
        in common with it.
    """
    scores = [np.asarray(of_set, dtype=np.float64) for of_set in sets]
    family = {
        (index, variant): _Hypothesis(np.empty((0, of_set.shape[2])))
        for index, of_set in enumerate(scores)
        for variant in range(len(of_set))
        if variant != base
    }
    for look, seeds in enumerate(until.looks, start=1):
        for index, of_set in enumerate(scores):
            finished = np.count_nonzero(~np.isnan(of_set[:, :seeds]).all(axis=2), axis=1)
            taking_part = [
                variant
                for variant in range(len(of_set))
                if finished[variant] == finished[base] == seeds
                and variant != base
                and family[index, variant].verdict in ("waiting", "undecided")
            ]
            perfect = np.isposinf(of_set[[base, *taking_part], :seeds]).any(axis=(0, 1))
            seen = of_set[:, :seeds, ~perfect]
            for variant in taking_part if seen.size else []:
                _look(family[index, variant], paired_differences(seen[variant], seen[base]), until, look, margin)
        _decide(list(family.values()), until, look)

    def result(index: int, variant: int) -> Comparison | None:
        key = (index, variant)
        if variant == base:
            return None
        if family[key].look:
            return _seen(family[key], until, margin, level)
        return _waiting(scores[index][[variant, base], : until.looks[0]], margin, level)

    return [[result(index, variant) for variant in range(len(of_set))] for index, of_set in enumerate(scores)]


def _look(hypothesis: _Hypothesis, pair: NDArray[np.float64], until: Until, look: int, margin: float) -> None:
    """Take the evidence of one look into a hypothesis."""
    p = smallest_alpha(until, look, t_p(pair))
    if p < hypothesis.p:
        hypothesis.p, hypothesis.sign = p, int(np.sign(pair.mean()))
    hypothesis.p_equivalent = min(hypothesis.p_equivalent, smallest_alpha(until, look, equivalence_p(pair, margin)))
    hypothesis.differences, hypothesis.look = pair, look


def _decide(family: Sequence[_Hypothesis], until: Until, look: int) -> None:
    """Give those that took part in a look their verdicts, and the p-values that these rest on."""
    for hypothesis, p in zip(family, holm([hypothesis.p for hypothesis in family]), strict=True):
        if hypothesis.look != look:
            continue
        hypothesis.p_holm = float(p)
        if p < until.alpha:
            hypothesis.verdict = "better" if hypothesis.sign > 0 else "worse"
        else:
            hypothesis.verdict = "equivalent" if hypothesis.p_equivalent < until.alpha else "undecided"


def _seen(hypothesis: _Hypothesis, until: Until, margin: float, level: float) -> Comparison:
    """The comparison at the last look that a hypothesis took part in."""
    pair, look = hypothesis.differences, hypothesis.look
    return replace(
        compare_pair(pair, hypothesis.p_holm, margin, level),
        seeds=seed_interval(pair, 1 - look_level(until, look, 1 - level)),
        p_equivalent=hypothesis.p_equivalent,
        detectable=smallest_detectable(pair, look_level(until, look, until.alpha)),
        verdict=hypothesis.verdict,
        look=look,
    )


def _waiting(scores: NDArray[np.float64], margin: float, level: float) -> Comparison | None:
    """The comparison before the first look, of the ``scores`` (variant and base, seeds, images): nothing is tested."""
    kept = ~np.isposinf(scores).any(axis=(0, 1))
    pair = paired_differences(*scores[:, :, kept]) if kept.any() else scores[0, :0]
    if not len(pair):
        return None
    result, nan = compare_pair(pair, math.nan, margin, level), math.nan
    return replace(
        result,
        seeds=Interval(result.change, nan, nan, level, len(pair)),
        p_t=nan,
        p_flip=nan,
        p_equivalent=nan,
        detectable=nan,
        verdict="waiting",
    )
