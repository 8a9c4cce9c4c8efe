"""What seeds can detect: power by the noncentral t distribution and by simulation, noise of finished studies."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from written_study import make_study, seeded

from asid.ablation.statistics.noise import Noise, configuration_key, find_noise
from asid.ablation.statistics.power import Design, StudyPower, seeds_needed
from asid.ablation.statistics.sequential import compare_at_looks
from asid.ablation.study.expand import expand
from asid.ablation.study.plan import read_plan
from asid.ablation.study.study import StudyConfig
from asid.ablation.study.until import Until

CHANGES = {"one": [0.1, 0.12, 0.14], "other": [0.0, -0.05, 0.05]}
SETS = ("set_5", "set_14")


@pytest.mark.parametrize(("seeds", "comparisons"), [(3, 1), (5, 4)])
def test_power_is_the_share_of_studies_that_find_the_change(seeds: int, comparisons: int) -> None:
    changes = np.random.default_rng(seeds).normal(0.05, 0.02, (40_000, seeds))
    tested = stats.ttest_1samp(changes, 0, axis=1)
    found = (tested.pvalue < 0.05 / comparisons) & (tested.statistic > 0)
    assert Design(comparisons, seeds).power(0.05, 0.02) == pytest.approx(found.mean(), abs=0.01)


def test_the_seeds_needed_are_the_fewest() -> None:
    for change, noise, comparisons in ((0.05, 0.03, 4), (0.05, 0.005, 1), (0.01, 0.05, 8)):
        seeds = seeds_needed(change, noise, comparisons)
        assert seeds is not None
        assert (
            Design(comparisons, seeds).power(change, noise) >= 0.8 > Design(comparisons, seeds - 1).power(change, noise)
        )
    assert seeds_needed(0.001, 1.0, 1) is None


@pytest.mark.parametrize("design", [Design(4, 5), Design(4, 8, Until())], ids=["fixed", "looks"])
def test_what_is_detectable_is_found_with_a_power_of_80_percent(design: Design) -> None:
    assert design.power(design.detectable(0.03), 0.03) == pytest.approx(0.8, abs=0.002)
    assert design.detectable(0.06) == pytest.approx(2 * design.detectable(0.03), rel=0.01)


def test_the_power_over_looks_is_that_of_the_verdicts() -> None:
    until, change, noise, studies = Until(), 0.06, 0.03, 400
    promise = Design(2, 8, until, margin=0.08).power_at_looks(change, noise)
    random, better = np.random.default_rng(1), np.zeros(3)
    for _ in range(studies):
        base = random.normal(30, 0.1, (8, 1))
        scores = np.stack([base, base + random.normal(change, noise, (8, 1)), base + random.normal(0, noise, (8, 1))])
        found = compare_at_looks([scores], 0, until, margin=0.08)[0][1]
        assert found is not None
        better += [found.verdict == "better" and (found.look or 0) <= look for look in (1, 2, 3)]
    assert np.abs(better / studies - promise).max() < 3 * math.sqrt(0.25 / studies)


@pytest.mark.parametrize(("until", "comparisons"), [(None, 2 * (3 + 1)), ({"looks": [3, 5]}, 2 * 3)])
def test_the_family_of_a_factorial_study_has_its_interactions(until: dict[str, Any] | None, comparisons: int) -> None:
    content = {
        "name": "s",
        "question": "What?",
        "preset": "asid-tiny",
        "base": {"evaluate": {"data": ["one", "two"]}},
        "factors": {"esa": [True, False], "position_bias": [True, False]},
        "until": until,
    }
    study = expand(StudyConfig.model_validate(content))
    assert StudyPower(study, Noise(())).design.comparisons == comparisons


def test_noise_is_pooled_from_studies_of_the_same_base(tmp_path: Path) -> None:
    make_study(tmp_path / "a", seeded(CHANGES), sets=SETS).rename(tmp_path / "study")
    plan = read_plan(tmp_path / "study")
    base = next(run.config for run in plan.runs if run.variant == "base")
    noise = find_noise(tmp_path, base)
    assert noise.studies == ["hand-written"]
    variances = [np.var(values, ddof=1) for values in CHANGES.values()]
    assert noise.of("unknown") == pytest.approx(math.sqrt(np.mean(variances)))
    assert noise.df == 2 * 2, "of seeds, however many sets they were scored on"
    shutil.copytree(tmp_path / "study", tmp_path / "taken-over")
    assert find_noise(tmp_path, base) == noise, "a training counts once"
    assert find_noise(tmp_path, base.override(train={"steps": 71})).spreads == ()
    assert math.isnan(find_noise(tmp_path / "nowhere", base).of(configuration_key(base)))
