"""Is the change of a score between a variant and the base noise? Pure functions of arrays with named axes.

``scores`` is (variants, seeds, images), in dB for PSNR. A function of one variant takes its ``differences`` (seeds,
images) from the base, paired by seed and by image: variant minus base, so that more is better. A seed is one training,
and a statement about a variant rests on trainings: images are no repetitions of them. A mean or a standard error below
1e-9 dB is rounding of the scores and counts as zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Verdict = Literal["better", "worse", "equivalent", "undecided", "one seed", "waiting"]

_ROUNDING = 1e-9
_EXACT_SEEDS = 16


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` seeds or images and its confidence interval of coverage ``level``, in dB.

    The interval is NaN to NaN where ``n`` is 1.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """One variant against the base over the ``n`` seeds that both have, in dB.

    What needs a spread over seeds is NaN with one seed.
    """

    change: float
    n: int
    seeds: Interval
    """Covers the mean change on these images over new trainings; not adjusted for the number of variants."""
    images: Interval
    """Covers the mean change of these trainings over new images; not adjusted for the number of variants."""
    p_t: float
    """Paired t-test over seeds."""
    p_holm: float
    """``p_t``, Holm-adjusted for all variants compared with this base on all evaluation sets."""
    p_flip: float
    """Sign-flip test over seeds, not adjusted; see :func:`can_reach`."""
    p_equivalent: float
    """Test that the change lies within the margin, not adjusted."""
    detectable: float
    """Smallest true change that the paired t-test, not adjusted, finds with a power of 80 %."""
    verdict: Verdict
    look: int | None = None
    """Where a study looks at growing numbers of seeds: the look, from 1, that the verdict and the numbers are of."""


@dataclass(frozen=True)
class Difference:
    """A change against the base that is not tested. Its intervals are those of :class:`Comparison`."""

    seeds: Interval
    images: Interval


def seed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval (Student 1908), in dB, of the mean change over seeds.

    It covers the mean change on THESE images over new seeds: new trainings. Mean over images first; NaN for one seed.

    Args:
        differences: Changes (seeds, images) in dB.
        level: Coverage, between 0 and 1.
    """
    return _interval(_checked(differences).mean(axis=1), level)


def image_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval (Student 1908), in dB, of the mean change over images.

    It covers the mean change of THESE trainings over new images like these: no other training. Mean over seeds first;
    NaN for one image.

    Args:
        differences: Changes (seeds, images) in dB.
        level: Coverage, between 0 and 1.
    """
    return _interval(_checked(differences).mean(axis=0), level)


def t_p(differences: ArrayLike) -> float:
    """Two-sided p of the paired t-test over seeds (Student 1908) of no mean change.

    NaN for one seed. Without spread over seeds p is 0 where the mean changes and 1 where it does not.

    Args:
        differences: Changes (seeds, images) in dB.
    """
    mean, error, df = _moments(_checked(differences).mean(axis=1))
    return float(2 * special.stdtr(df, -abs(_t(mean, error))))


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p of the sign-flip permutation test over seeds (Fisher 1935).

    The share of all 2^n patterns of signs of the seeds' changes whose mean is at least as far from 0 as the one seen;
    ties count, and p is 1 where nothing changes. Above 16 seeds: the share in 65 536 patterns, the one seen and others,
    always the same, at random (Phipson and Smyth 2010). It supposes no normal distribution, but few seeds cannot reach
    a small p: see :func:`smallest_p`.

    Args:
        differences: Changes (seeds, images) in dB.
    """
    means = _checked(differences).mean(axis=1)
    n = len(means)
    if n <= _EXACT_SEEDS:
        flips = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        flips = np.vstack([np.zeros(n, int), np.random.default_rng(0).integers(0, 2, (2**_EXACT_SEEDS - 1, n))])
    changes = (1 - 2 * flips) @ means / n
    return float(np.mean(np.abs(changes) >= abs(means.mean()) - _ROUNDING))


def smallest_p(n: int) -> float:
    """The smallest p that :func:`sign_flip_p` can give for ``n`` seeds: 2 / 2^n.

    Above 16 seeds, where it samples, no less than 2^-16.
    """
    if n < 1:
        raise ValueError(f"expected at least one seed, got {n}")
    return 2.0 ** (1 - min(n, _EXACT_SEEDS + 1))


def can_reach(n: int, alpha: float = 0.05) -> bool:
    """Whether :func:`sign_flip_p` of ``n`` seeds can fall below ``alpha``: for 0.05 from 6 seeds on."""
    return smallest_p(n) < alpha


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down adjustment (Holm 1979) of a family of p-values (tests,), in the same order and at most 1.

    Rejecting below α, the chance of any false rejection is at most α, however the tests depend on each other. NaN stays
    and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise ValueError(f"expected a sequence of p-values from 0 to 1, got {p.tolist()}")
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def equivalence_p(differences: ArrayLike, margin: float = 0.05) -> float:
    """The p of the two one-sided t-tests over seeds (Schuirmann 1987) that the mean change lies within ±``margin`` dB.

    The larger p of the tests against -margin and +margin. NaN for one seed.

    Args:
        differences: Changes (seeds, images) in dB.
        margin: Half the width of the band of equivalence, in dB.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"expected a margin above 0 dB, got {margin}")
    mean, error, df = _moments(_checked(differences).mean(axis=1))
    return float(special.stdtr(df, -_t(margin - abs(mean), error)))


def smallest_detectable(differences: ArrayLike, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean change, in dB, that a two-sided paired t-test over seeds finds with probability ``power``.

    Finds means: with its sign. The test has as many seeds as ``differences``, and their spread, which few seeds know
    only roughly, is taken for the true one. From the noncentral t distribution (Johnson and Welch 1940). NaN for one
    seed, 0 without spread.

    Args:
        differences: Changes (seeds, images) in dB.
        alpha: Level of the test.
        power: Probability of finding the change.
    """
    if not 0 < alpha < power < 1:
        raise ValueError(f"expected 0 < alpha < power < 1, got alpha {alpha} and power {power}")
    _, error, df = _moments(_checked(differences).mean(axis=1))
    if df == 0:
        return math.nan
    return detectable_shift(df, alpha, power) * error


@cache
def detectable_shift(df: int, alpha: float, power: float) -> float:
    """:func:`smallest_detectable` in standard errors."""
    critical = stats.t.isf(alpha / 2, df)
    enough = (1 + power) / 2  # noise and spread are each below this quantile, so together with probability > power
    bound = critical * math.sqrt(stats.chi2.ppf(enough, df) / df) + stats.norm.ppf(enough)
    return float(optimize.brentq(lambda shift: stats.nct.sf(critical, df, shift) - power, 0, bound))


def noise_floor(base_scores: ArrayLike) -> float:
    """Standard deviation (n - 1) in dB, from seed to seed, of the base's mean over images.

    Missing and infinite scores: as in :func:`paired_differences`. NaN for fewer than two runs.

    Args:
        base_scores: Scores (seeds, images) in dB.
    """
    scores = np.asarray(base_scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"expected scores (seeds, images), got shape {scores.shape}")
    runs = scores[~np.isnan(scores).all(axis=1)]
    deviations = paired_differences(
        runs, np.broadcast_to(runs[:1], runs.shape)
    )  # from the first run: an image that is inf in all is 0
    return float(deviations.mean(axis=1).std(ddof=1)) if len(runs) > 1 else math.nan


def paired_differences(variant: ArrayLike, base: ArrayLike) -> NDArray[np.float64]:
    """Differences (pairs, images) in dB of two arrays of scores, of the seeds that both have; there may be none.

    A seed that is all NaN has no run. Equal scores differ by 0, also where both are ``inf``: the PSNR of identical
    images.

    Args:
        variant: Scores (seeds, images) in dB.
        base: Scores of the same shape.

    Raises:
        ValueError: Where one of two scores is infinite, since no mean exists then, and where a run lacks only some of
            the images.
    """
    a, b = np.asarray(variant, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] == 0:
        raise ValueError(f"expected two arrays (seeds, images) of one shape, got {a.shape} and {b.shape}")
    missing = np.logical_or(np.isnan(a).all(axis=1), np.isnan(b).all(axis=1))
    differences = np.subtract(a, b, where=a != b, out=np.zeros_like(a))
    bad = np.argwhere(~np.isfinite(differences) & ~missing[:, None])
    if len(bad):
        got = f"{a[tuple(bad[0])]} and {b[tuple(bad[0])]} for seed {bad[0, 0]}, image {bad[0, 1]}"
        raise ValueError(f"expected two finite or two equal scores, got {got}: leave that image out")
    return differences[~missing]


def compare(
    sets: Sequence[ArrayLike], base: int, margin: float = 0.05, level: float = 0.95
) -> list[list[Comparison | None]]:
    """Compare each variant with variant ``base`` on each evaluation set.

    All these comparisons are one family: their p-values are adjusted together. None stands for the base itself and for
    a variant without a seed in common with it. Pairs and errors: see :func:`paired_differences`.

    ``verdict``, with α = 1 - ``level``, is the first that holds: "one seed" where there is one pair only; "better" or
    "worse", by the sign of the change, where ``p_holm`` < α; "equivalent" where ``p_equivalent`` < α; else "undecided".
    In a study that changes nothing, any variant at all is called better or worse on any set with a chance of at most α;
    "equivalent" is wrong with at most that chance for each alone. It rests on the t-test, since the sign-flip test
    needs 6 seeds to reach 0.05, and more for several variants. The price: it supposes normal changes, which few seeds
    cannot show; ``p_flip`` stands beside it. A change can be "better" and still within the margin.

    Args:
        sets: For each evaluation set the scores (variants, seeds, images) in dB, all NaN where a run is missing.
        base: Index of the base.
        margin: Half the width of the band of equivalence, in dB.
        level: Coverage of the intervals.

    Returns:
        For each set, the comparison of each variant.
    """
    pairs = [_pairs(scores, base) for scores in sets]
    p_values = iter(holm([t_p(pair) if len(pair) else math.nan for of_set in pairs for pair in of_set]).tolist())

    def compared(pair: NDArray[np.float64], p: float) -> Comparison | None:
        return compare_pair(pair, p, margin, level) if len(pair) else None

    return [[compared(pair, next(p_values)) for pair in of_set] for of_set in pairs]


def _pairs(scores: ArrayLike, base: int) -> list[NDArray[np.float64]]:
    """The paired differences of each variant from the base; none for the base itself."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 3 or not 0 <= base < len(array):
        raise ValueError(
            "expected scores (variants, seeds, images) and the index of the base, "
            f"got shape {array.shape} and base {base}"
        )
    return [
        paired_differences(variant, array[base])[: 0 if index == base else None] for index, variant in enumerate(array)
    ]


def difference(differences: ArrayLike, level: float = 0.95) -> Difference:
    """The intervals of a change, without a test.

    Args:
        differences: Changes (seeds, images) in dB.
        level: Coverage, between 0 and 1.
    """
    return Difference(seed_interval(differences, level), image_interval(differences, level))


def compare_pair(differences: ArrayLike, p_holm: float, margin: float = 0.05, level: float = 0.95) -> Comparison:
    """The comparison of one variant with the base on one evaluation set, see :func:`compare`.

    Args:
        differences: Changes (seeds, images) in dB.
        p_holm: The p-value of the t-test, adjusted for the family that it belongs to.
        margin: Half the width of the band of equivalence, in dB.
        level: Coverage of the intervals.
    """
    alpha, seeds, p_equivalent = 1 - level, seed_interval(differences, level), equivalence_p(differences, margin)
    verdict: Verdict = "equivalent" if p_equivalent < alpha else "undecided"
    if seeds.n == 1:
        verdict = "one seed"
    elif p_holm < alpha:
        verdict = "better" if seeds.mean > 0 else "worse"
    return Comparison(
        change=seeds.mean,
        n=seeds.n,
        seeds=seeds,
        images=image_interval(differences, level),
        p_t=t_p(differences),
        p_holm=p_holm,
        p_flip=sign_flip_p(differences),
        p_equivalent=p_equivalent,
        detectable=smallest_detectable(differences, alpha),
        verdict=verdict,
    )


def _checked(differences: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(differences, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
        raise ValueError(
            "expected finite values (seeds, images), one or more, "
            f"got {np.isfinite(array).sum()} in shape {array.shape}"
        )
    return array


def _moments(values: NDArray[np.float64]) -> tuple[float, float, int]:
    """Mean, standard error (each 0 where it is rounding) and degrees of freedom.

    One value has a NaN error, and NaN is what follows. ``scipy.stats.ttest_1samp`` takes rounding for a spread: seeds
    that all change by 0.1 dB give it a p of 1e-55 with a warning, and seeds that do not change NaN.
    """
    df = len(values) - 1
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if df else math.nan
    return 0.0 if abs(mean) < _ROUNDING else mean, 0.0 if error < _ROUNDING else error, df


def _t(value: float, error: float) -> float:
    """``value`` in standard errors; without any error 0 or infinite."""
    return value / error if error else math.copysign(math.inf, value) if value else 0.0


def _interval(values: NDArray[np.float64], level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    mean, error, df = _moments(values)
    half = -float(special.stdtrit(df, (1 - level) / 2)) * error
    return Interval(mean, mean - half, mean + half, level, len(values))
