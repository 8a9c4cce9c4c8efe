"""Looks at a growing study: levels that sum to alpha, verdicts that stay, intervals that cover whenever it stops."""

import math

import numpy as np
import pytest
from scipy import stats

from asid.ablation.statistics.paired import compare
from asid.ablation.statistics.sequential import compare_at_looks, look_level, smallest_alpha
from asid.ablation.study.until import SPENDINGS, Until

LOOKS = [(3, 5, 8), (2, 3, 4, 5, 6), (4,)]


def grow(
    seeds: int = 8, *, noise: float = 0.01, changes: tuple[float, ...] = (0.5, 0.0, 0.02), key: int = 0
) -> np.ndarray:
    """PSNR (variants, seeds, images) in dB of a base, and of variants that differ by ``changes`` and noise."""
    random = np.random.default_rng(key)
    base = 30 + random.normal(0, 0.1, (seeds, 2))
    noisy = [base + change + random.normal(0, noise, (seeds, 1)) for change in changes]
    return np.stack([base, *noisy])


def without(scores: np.ndarray, missing: dict[int, int]) -> np.ndarray:
    """The scores, of some variants only those of the first seeds."""
    cut = scores.copy()
    for variant, seeds in missing.items():
        cut[variant, seeds:] = np.nan
    return cut


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("looks", LOOKS)
def test_the_levels_of_all_looks_sum_to_alpha(looks: tuple[int, ...], spending: str) -> None:
    until = Until.model_validate({"looks": looks, "spending": spending})
    for alpha in (0.2, 0.05, 1e-4):
        levels = [look_level(until, look, alpha) for look in range(1, len(looks) + 1)]
        assert min(levels) > 0
        assert sum(levels) == pytest.approx(alpha)


@pytest.mark.parametrize("spending", SPENDINGS)
def test_the_p_value_over_looks_is_where_its_level_reaches_p(spending: str) -> None:
    until = Until.model_validate({"spending": spending})
    for look in (1, 2, 3):
        for alpha in (0.2, 0.05, 1e-3):
            assert smallest_alpha(until, look, look_level(until, look, alpha)) == pytest.approx(alpha)
        assert smallest_alpha(until, look, 0.9) == 1
        assert smallest_alpha(until, look, 0.0) < 1e-200


def test_levels_are_those_of_lan_and_demets() -> None:
    """With half of the seeds, by the formulas of the paper, the normal quantile looked up in a table."""
    pocock = Until(looks=(4, 8), spending="pocock")
    assert look_level(pocock, 1, 0.05) == pytest.approx(0.05 * math.log(1 + 1.718282 * 0.5))
    fleming = Until(looks=(4, 8), spending="obrien-fleming")
    assert look_level(fleming, 1, 0.05) == pytest.approx(2 * stats.norm.sf(1.959964 * math.sqrt(2)))


def test_a_single_look_is_the_fixed_study() -> None:
    scores = grow(5)
    (fixed,), (looked,) = compare([scores], 0), compare_at_looks([scores], 0, Until(looks=(5,)))
    for mine, theirs in zip(looked[1:], fixed[1:], strict=True):
        assert mine is not None
        assert theirs is not None
        assert (mine.verdict, mine.change, mine.look) == (theirs.verdict, theirs.change, 1)
        assert mine.seeds.low == pytest.approx(theirs.seeds.low)
        assert mine.p_holm == pytest.approx(theirs.p_holm if theirs.p_holm < 0.3 else 1)


def test_verdicts_fall_at_their_look_and_stay_there() -> None:
    scores = grow(noise=0.03)
    until = Until()
    at = {
        seeds: compare_at_looks([without(scores, dict.fromkeys(range(4), seeds))], 0, until)[0][1:]
        for seeds in (2, 3, 4, 5, 8)
    }
    verdicts = {seeds: [(found.verdict, found.look) for found in results if found] for seeds, results in at.items()}
    assert verdicts[2] == [("waiting", None)] * 3
    assert verdicts[3] == [("better", 1), ("undecided", 1), ("undecided", 1)]
    assert verdicts[4] == verdicts[3], "seeds between two looks say nothing"
    assert verdicts[5][0] == ("better", 1)
    assert [verdict for verdict, _ in verdicts[8]] == ["better", "equivalent", "equivalent"]
    first = at[8][0]
    assert first is not None
    assert first.n == 3
    assert first.change == pytest.approx((scores[1] - scores[0])[:3].mean())
    assert math.isnan(at[2][0].seeds.low)  # type: ignore[union-attr]


def test_what_is_trained_after_a_verdict_changes_nothing() -> None:
    scores = grow(noise=0.03)
    changed = scores.copy()
    changed[1, 3:] = -1000.0
    assert compare_at_looks([scores], 0, Until()) == compare_at_looks([changed], 0, Until())


def test_the_p_value_beside_a_verdict_is_that_of_its_look() -> None:
    """What others show later would take the adjusted p of a variant that was equivalent first below alpha."""
    base = np.full((8, 1), 30.0)
    equivalent = base + 0.0076 + 0.00173 * np.array([[-1], [0], [1], [0], [0], [0], [0], [0]])
    found_late = base + np.array([[0.5], [2.0], [3.5], [2.0], [2.0], [2.0], [2.0], [2.0]])
    results = compare_at_looks([np.stack([base, equivalent, found_late])], 0, Until())[0]
    assert [(found.verdict, found.look) for found in results if found] == [("equivalent", 1), ("better", 3)]
    assert results[1] is not None
    alone = smallest_alpha(Until(), 1, results[1].p_t)
    assert alone < 0.05, "or the family would not matter"
    assert results[1].p_holm == pytest.approx(2 * alone)


def test_a_missing_variant_counts_in_the_family_and_takes_no_verdict_back() -> None:
    scores = grow(noise=0.004, changes=(0.05, 0.5, 0.5))
    whole, part = (compare_at_looks([s], 0, Until())[0] for s in (scores, without(scores, {2: 2, 3: 0})))
    mine, theirs = part[1], whole[1]
    assert mine is not None
    assert theirs is not None
    assert mine.p_holm > theirs.p_holm
    assert part[3] is None
    assert part[2] is not None
    assert part[2].verdict == "waiting"


def test_an_image_without_error_is_left_out_of_that_look() -> None:
    scores = grow()
    scores[1, 0, 1] = np.inf
    results = compare_at_looks([scores], 0, Until())[0]
    assert results[1] is not None
    assert results[1].change == pytest.approx((scores[1] - scores[0])[:3, 0].mean())
    assert results[1].look == 1


@pytest.mark.parametrize("spending", SPENDINGS)
def test_error_and_coverage_hold_over_looks(spending: str) -> None:
    """300 studies of two variants that change nothing, on two sets: far fewer than ``docs/statistics.py``."""
    until = Until.model_validate({"looks": (3, 5, 8), "spending": spending})
    studies, wrong, covered, compared = 300, 0, 0, 0
    for key in range(studies):
        sets = [grow(changes=(0.0, 0.0), noise=0.2, key=2 * key + data) for data in range(2)]
        found = [result for of_set in compare_at_looks(sets, 0, until) for result in of_set if result]
        wrong += any(result.verdict in ("better", "worse") for result in found)
        covered += sum(result.seeds.low <= 0 <= result.seeds.high for result in found)
        compared += len(found)
    error = 3 * math.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies < 0.05 + error
    assert wrong > 3, "the tests reject too little to be of use"
    assert covered / compared > 0.95 - error
