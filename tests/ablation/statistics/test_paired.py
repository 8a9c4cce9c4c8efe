"""Statistics over seeds: against SciPy, hand-computed values, and simulated studies with a known truth."""

import itertools
import math
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from asid.ablation.statistics.paired import (
    can_reach,
    compare,
    equivalence_p,
    holm,
    image_interval,
    noise_floor,
    paired_differences,
    seed_interval,
    sign_flip_p,
    smallest_detectable,
    smallest_p,
    t_p,
)

STUDIES = 4000
"""Simulated studies for a rate. A rate of 5 % then has a standard error of 0.34 %, and tests allow three of them."""
TOLERANCE = 3 * math.sqrt(0.05 * 0.95 / STUDIES)

changes = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.integers(-400, 400).map(lambda x: x / 1000),
)
"""Differences (seeds, images) in thousandths of a dB: exact ties happen, and nothing is near the limit of rounding."""
exhaustive = settings(max_examples=60, deadline=None, derandomize=True)


def noise(seeds: int, images: int = 4, change: float = 0.02, rng: int = 0) -> np.ndarray:
    """Differences (seeds, images) of one study in dB."""
    return np.random.default_rng(rng).normal(change, 0.05, (seeds, images))


def study(*rows: list[float]) -> np.ndarray:
    """Scores (variants, seeds, 2) in dB around two images' own levels, from changes (seeds,) of each variant."""
    return np.array(rows)[:, :, None] + np.array([28.3, 33.9])


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_intervals_equal_scipy(n: int, level: float) -> None:
    differences = noise(n, images=6)
    for result, values in [
        (seed_interval(differences, level), differences.mean(axis=1)),
        (image_interval(differences, level), differences.mean(axis=0)),
    ]:
        expected = stats.ttest_1samp(values, 0).confidence_interval(level)
        assert (result.low, result.high) == pytest.approx(tuple(expected), abs=1e-12)
        direct = stats.t.interval(level, len(values) - 1, values.mean(), stats.sem(values))
        assert (result.low, result.high) == pytest.approx(direct, abs=1e-12)
        assert (result.mean, result.level, result.n) == (
            pytest.approx(differences.mean(), abs=1e-12),
            level,
            len(values),
        )


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_interval_over_seeds_covers_the_change_on_these_images(n: int) -> None:
    rng = np.random.default_rng(n)
    of_images = np.array([0.5, -0.1, 0.2])  # the same in each training: no part of the noise between trainings
    differences = 0.03 + of_images + rng.normal(0, 0.05, (STUDIES, n, 1)) + rng.normal(0, 0.02, (STUDIES, n, 3))
    intervals = [seed_interval(one) for one in differences]
    covered = np.mean([interval.low <= 0.03 + of_images.mean() <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=TOLERANCE)


def test_the_interval_over_images_covers_the_change_of_these_trainings() -> None:
    rng = np.random.default_rng(0)
    of_trainings = np.array([[0.5], [-0.1], [0.2]])
    differences = of_trainings + rng.normal(0, 0.1, (STUDIES, 1, 5)) + rng.normal(0, 0.02, (STUDIES, 3, 5))
    intervals = [image_interval(one) for one in differences]
    covered = np.mean([interval.low <= of_trainings.mean() <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=TOLERANCE)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_t_p_equals_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    base, variant = rng.normal(30, 0.05, (n, 4)), rng.normal(30.03, 0.05, (n, 4))
    expected = stats.ttest_rel(variant.mean(axis=1), base.mean(axis=1)).pvalue
    assert t_p(variant - base) == pytest.approx(expected, abs=1e-12)
    assert t_p(variant - base) == pytest.approx(stats.ttest_1samp((variant - base).mean(axis=1), 0).pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 11])
def test_sign_flip_p_equals_an_exact_permutation_test(n: int) -> None:
    for rng in range(3):
        differences = noise(n, rng=rng)
        expected = stats.permutation_test(
            (differences.mean(axis=1),), np.mean, permutation_type="samples", n_resamples=2**n
        )
        assert len(expected.null_distribution) == 2**n
        assert sign_flip_p(differences) == pytest.approx(expected.pvalue, abs=1e-12)


def test_sign_flip_p_of_many_seeds_is_near_the_exact_one() -> None:
    differences = noise(17, change=0.01)
    signs = np.array(list(itertools.product([1, -1], repeat=17)))
    sums = signs @ differences.mean(axis=1)
    exact = np.mean(abs(sums) >= abs(sums[0]) * (1 - 1e-12))
    assert 0.01 < exact < 0.5
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact / 2**16))
    assert sign_flip_p(differences) == sign_flip_p(differences)


def test_the_smallest_p_of_a_sign_flip_test() -> None:
    assert [smallest_p(n) for n in (1, 2, 3, 5, 6)] == [1, 0.5, 0.25, 0.0625, 0.03125]
    assert [can_reach(n) for n in (1, 5, 6, 20)] == [False, False, True, True]
    assert not can_reach(7, alpha=0.01)
    assert not can_reach(5, alpha=0.0625)
    for n in (1, 2, 3, 8, 16):
        assert sign_flip_p(np.full((n, 2), 0.1)) == smallest_p(n)
    assert sign_flip_p(np.full((40, 2), 0.1)) == smallest_p(40) == 2**-16
    with pytest.raises(ValueError, match="at least one seed, got 0"):
        smallest_p(0)


def test_ties_up_to_rounding_count_as_ties() -> None:
    base = np.array([30.0, 31.3, 32.7, 64.9, 25.1])[:, None]
    same = base + 0.1 - base
    assert len(np.unique(same)) > 1
    assert sign_flip_p(same) == smallest_p(5)
    for signs in itertools.product([1, -1], repeat=5):
        far = np.mean([abs(sum(other)) >= abs(sum(signs)) for other in itertools.product([1, -1], repeat=5)])
        assert sign_flip_p(same * np.array(signs)[:, None]) == far


@pytest.mark.parametrize(("level", "p"), [(0.1, 0.0), (0.0, 1.0), (1e-13, 1.0)])
def test_changes_without_spread(level: float, p: float) -> None:
    base = np.array([30.0, 31.3, 64.9])[:, None]
    differences = base + level - base
    assert np.ptp(differences) < 1e-13  # 0.1 is rounded in two ways
    assert t_p(differences) == p
    assert sign_flip_p(differences) == (1.0 if p else 0.25)
    assert astuple(seed_interval(differences))[:3] == pytest.approx((level,) * 3, abs=1e-12)
    assert smallest_detectable(differences) == 0
    assert equivalence_p(differences, margin=0.2) == 0
    assert equivalence_p(differences, margin=0.09) == (0 if p else 1)


def test_one_seed_has_a_change_and_no_noise() -> None:
    differences = noise(1)
    interval = seed_interval(differences)
    assert (interval.mean, interval.n) == (differences.mean(), 1)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert all(math.isnan(f(differences)) for f in (t_p, equivalence_p, smallest_detectable, noise_floor))
    assert sign_flip_p(differences) == 1
    assert image_interval(differences).low < differences.mean() < image_interval(differences).high
    assert math.isnan(image_interval(differences[:, :1]).low)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([math.nan, 0.04, 0.01, math.nan], [math.nan, 0.04, 0.02, math.nan]),
        ([0.3, 0.6, 0.7], [0.9, 1, 1]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.03], [0.03]),
        ([math.nan], [math.nan]),
        ([], []),
    ],
)
def test_holm_by_hand(raw: list[float], adjusted: list[float]) -> None:
    np.testing.assert_allclose(holm(raw), adjusted, rtol=0, atol=1e-15)


@exhaustive
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_test(p: list[float]) -> None:
    """Marcus, Peritz and Gabriel 1976: a hypothesis is rejected if every family with it is."""
    families = [family for size in range(1, len(p) + 1) for family in itertools.combinations(range(len(p)), size)]
    closed = [
        max(min(1, len(family) * min(p[j] for j in family)) for family in families if i in family)
        for i in range(len(p))
    ]
    assert holm(p) == pytest.approx(closed, abs=1e-15)
    assert (holm(p) >= p).all()


@pytest.mark.parametrize("change", [-0.09, -0.02, 0.0, 0.03])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_equivalence_p_by_hand(n: int, change: float) -> None:
    differences = noise(n, change=change)
    means = differences.mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(n)
    above_lower = stats.t.sf((means.mean() + 0.05) / error, n - 1)
    below_upper = stats.t.cdf((means.mean() - 0.05) / error, n - 1)
    assert equivalence_p(differences) == pytest.approx(max(above_lower, below_upper), abs=1e-12)


def test_a_change_of_exactly_the_margin_is_called_equivalent_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    rate = np.mean([equivalence_p(one, margin=0.1) < 0.05 for one in rng.normal(-0.1, 0.02, (STUDIES, 5, 2))])
    assert rate == pytest.approx(0.05, abs=TOLERANCE)


@pytest.mark.parametrize(("n", "power"), [(3, 0.8), (5, 0.8), (8, 0.8), (5, 0.95)])
def test_the_smallest_detectable_change_is_detected_with_its_power(n: int, power: float) -> None:
    sample = noise(n)
    spread = sample.mean(axis=1).std(ddof=1)
    change = smallest_detectable(sample, power=power)
    detected = stats.ttest_1samp(np.random.default_rng(n).normal(change, spread, (40_000, n)), 0, axis=1).pvalue < 0.05
    assert detected.mean() == pytest.approx(power, abs=0.006)  # three standard errors
    assert smallest_detectable(2 * sample, power=power) == pytest.approx(2 * change, rel=1e-9)
    assert smallest_detectable(sample, alpha=0.01, power=power) > change


@pytest.mark.parametrize("n", [3, 5, 8])
def test_a_study_that_changes_nothing_seldom_finds_a_change(n: int) -> None:
    """Six variants of one distribution: five comparisons, which share the base's noise."""
    means = np.random.default_rng(n).normal(30, 0.05, (STUDIES, 6, n, 1))
    p = np.array([[t_p(variant - scores[0]) for variant in scores[1:]] for scores in means])
    wrong = np.mean([(holm(family) < 0.05).any() for family in p])
    assert wrong <= 0.05 + TOLERANCE
    assert (p < 0.05).any(axis=1).mean() > 0.1  # what the adjustment is for
    for scores, family in zip(means[:20], p, strict=False):
        results = compare([scores], base=0)[0]
        assert [result.p_holm for result in results if result] == holm(family).tolist()
        assert all((result.verdict in ("better", "worse")) == (result.p_holm < 0.05) for result in results if result)


def test_the_noise_floor_is_the_spread_of_the_base_alone() -> None:
    scores = np.array([[np.nan, np.nan], [30.0, 34.0], [30.2, 34.0], [29.9, 34.5]])
    assert noise_floor(scores) == pytest.approx(np.std([32.0, 32.1, 32.2], ddof=1), abs=1e-12)
    assert noise_floor(np.insert(scores[1:, :1], 1, np.inf, axis=1)) == pytest.approx(
        np.std([30, 30.2, 29.9], ddof=1) / 2, abs=1e-12
    )
    assert math.isnan(noise_floor(scores[:2]))
    assert math.isnan(noise_floor(scores[:1]))


@exhaustive
@given(differences=changes)
def test_the_sign_of_a_change_changes_no_p(differences: np.ndarray) -> None:
    for p in (t_p, sign_flip_p, equivalence_p, smallest_detectable):
        assert p(-differences) == pytest.approx(p(differences), abs=1e-12, nan_ok=True)
    for interval in (seed_interval, image_interval):
        there, back = interval(differences), interval(-differences)
        assert (-back.mean, -back.high, -back.low) == pytest.approx(
            (there.mean, there.low, there.high), abs=1e-12, nan_ok=True
        )


@exhaustive
@given(differences=changes, data=st.data())
def test_the_order_of_seeds_and_images_changes_nothing(differences: np.ndarray, data: st.DataObject) -> None:
    seeds, images = (data.draw(st.permutations(range(size))) for size in differences.shape)
    shuffled = differences[np.ix_(seeds, images)]
    for p in (t_p, sign_flip_p, equivalence_p, smallest_detectable):
        assert p(shuffled) == pytest.approx(p(differences), abs=1e-9, nan_ok=True)
    for interval in (seed_interval, image_interval):
        assert astuple(interval(shuffled)) == pytest.approx(astuple(interval(differences)), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ([0.30, 0.31, 0.29], "better"),
        ([-0.30, -0.31, -0.29], "worse"),
        ([0.030, 0.031, 0.029], "better"),  # within the margin as well
        ([0.02, -0.01, 0.001], "equivalent"),
        ([0.0, 0.0, 0.0], "equivalent"),
        ([0.3, -0.2, 0.1], "undecided"),
        ([0.3, np.nan, np.nan], "one seed"),
        ([0.30, 0.31, np.nan], "better"),
    ],
)
def test_verdicts(change: list[float], verdict: str) -> None:
    none, result = compare([study([0.0] * 3, change)], base=0)[0]
    assert none is None
    assert result is not None
    assert result.verdict == verdict
    assert result.n == result.seeds.n == np.isfinite(change).sum()
    assert result.change == result.seeds.mean == pytest.approx(np.nanmean(change), abs=1e-12)


def test_a_comparison_gathers_the_functions() -> None:
    scores = np.random.default_rng(0).normal(30, 0.05, (3, 4, 5))
    first, none, last = compare([scores], base=1, margin=0.07, level=0.9)[0]
    assert none is None
    assert first is not None
    assert last is not None
    differences = scores[2] - scores[1]
    assert last.seeds == seed_interval(differences, 0.9)
    assert last.images == image_interval(differences, 0.9)
    assert (last.p_t, last.p_flip) == (t_p(differences), sign_flip_p(differences))
    assert last.p_equivalent == equivalence_p(differences, 0.07)
    assert last.detectable == pytest.approx(smallest_detectable(differences, alpha=0.1), rel=1e-9)
    assert [first.p_holm, last.p_holm] == holm([first.p_t, last.p_t]).tolist()


def test_all_sets_are_one_family() -> None:
    sets = list(np.random.default_rng(0).normal(30, 0.05, (2, 3, 4, 5)))
    first, second = (compare([scores], 0)[0][1:] for scores in sets)
    together = [result for of_set in compare(sets, 0) for result in of_set if result]
    assert [result.p_holm for result in together] == holm([r.p_t for r in (*first, *second) if r]).tolist()


def test_the_level_decides() -> None:
    scores = study([0.0] * 3, [0.10, 0.11, 0.14])
    assert 0.005 < t_p(scores[1] - scores[0]) < 0.05
    assert [result.verdict for level in (0.95, 0.995) for result in compare([scores], 0, level=level)[0] if result] == [
        "better",
        "undecided",
    ]
    assert [result.verdict for result in compare([scores], 0, margin=1, level=0.995)[0] if result] == ["equivalent"]


def test_missing_runs_drop_their_pair_only() -> None:
    gap = np.nan
    scores = study(
        [0.0, 0.1, gap, 0.3], [0.1, gap, 0.2, 0.5], [0.3, 0.4, 0.5, 0.7], [gap, gap, 0.2, gap], [0.1, gap, gap, gap]
    )
    _, partial, full, nothing, single = compare([scores], base=0)[0]
    assert nothing is None
    assert partial is not None
    assert full is not None
    assert single is not None
    assert [result.n for result in (partial, full, single)] == [2, 3, 1]
    assert partial.seeds == seed_interval(scores[1, [0, 3]] - scores[0, [0, 3]])
    assert [partial.p_holm, full.p_holm] == holm(
        [partial.p_t, full.p_t]
    ).tolist()  # a family of two: the others have no test
    assert math.isnan(single.p_holm)
    assert compare([np.full((2, 3, 4), np.nan)], base=0) == [[None, None]]


def test_images_identical_to_the_truth() -> None:
    base = np.array([[np.inf, 30.0], [np.inf, 31.0]])
    np.testing.assert_array_equal(paired_differences(base + np.array([0.0, 1.0]), base), [[0, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"35\.0 and inf for seed 1, image 0"):
        paired_differences([[np.inf, 30.0], [35.0, 31.0]], base)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_p([0.1, 0.2]), r"finite.* shape \(2,\)"),
        (lambda: sign_flip_p(np.zeros((0, 3))), r"one or more.* shape \(0, 3\)"),
        (lambda: seed_interval(np.zeros((3, 0))), r"one or more.* shape \(3, 0\)"),
        (lambda: image_interval([[0.1, np.nan]]), r"finite.* shape \(1, 2\)"),
        (lambda: smallest_detectable([[0.1, np.inf]]), "finite values"),
        (lambda: seed_interval(noise(3), level=95), "level.* got 95"),
        (lambda: equivalence_p(noise(3), margin=0), "margin.* got 0"),
        (lambda: smallest_detectable(noise(3), alpha=0.9), "alpha.* got alpha 0.9 and power 0.8"),
        (lambda: holm([0.1, 1.2]), r"p-values.* \[0.1, 1.2\]"),
        (lambda: noise_floor([30.0, 31.0]), r"scores.* shape \(2,\)"),
        (
            lambda: noise_floor([[30.0, np.nan], [31.0, 30.0]]),
            "nan and nan for seed 0, image 1",
        ),
        (lambda: paired_differences(noise(3), noise(2)), r"shape.* \(3, 4\) and \(2, 4\)"),
        (lambda: compare([noise(3)], base=0), r"shape \(3, 4\)"),
        (lambda: compare([np.zeros((2, 3, 4))], base=2), r"base 2"),
        (lambda: compare([np.zeros((2, 3, 4))], base=-1), "base -1"),
    ],
)
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
