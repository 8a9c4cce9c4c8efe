"""Factorial studies: interactions as differences of differences, and shares of variance by exact sums of squares."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from written_study import Psnr, make_study

from asid.ablation.report.figures import draw_figures
from asid.ablation.report.results import load_results
from asid.ablation.report.sentences import conclude, explain
from asid.ablation.statistics.factorial import find_interactions, group_shares, variance_shares

LEVELS = {
    "base": {"sharing": "all", "ratio": "1/4"},
    "none": {"sharing": "none", "ratio": "1/4"},
    "eighth": {"sharing": "all", "ratio": "1/8"},
    "both": {"sharing": "none", "ratio": "1/8"},
}
RANDOM = np.random.default_rng(0)
NOISE = {name: RANDOM.normal(0, 0.004, 4) for name in LEVELS}


def psnr(interaction: float) -> Psnr:
    """PSNR where sharing changes 0.1 dB, the ratio -0.2 dB, and both ``interaction`` more than the sum."""
    changes = {"base": 0.0, "none": 0.1, "eighth": -0.2, "both": -0.1 + interaction}
    return {
        name: {s: {"ant": 30 + change + NOISE[name][s], "bee": 31 + change + NOISE[name][s]} for s in range(4)}
        for name, change in changes.items()
    }


def write(folder: Path, scores: Psnr, **options: Any) -> Path:
    return make_study(folder, scores, factors=["sharing", "ratio"], levels=LEVELS, **options)


def test_pairs_that_were_made_alone_and_together_are_found() -> None:
    assert find_interactions(LEVELS, "base") == {"sharing none × ratio 1/8": ("both", "none", "eighth")}
    assert find_interactions({name: LEVELS[name] for name in ("base", "none", "both")}, "base") == {}
    assert find_interactions(LEVELS, "no base") == {}


def test_an_interaction_is_the_difference_of_differences_in_the_family(tmp_path: Path) -> None:
    results = load_results(write(tmp_path, psnr(0.3)))
    statistics = results.statistics["set_5"]
    (found,) = statistics.interactions.values()
    means = {name: np.array([np.mean(list(s.values())) for s in seeds.values()]) for name, seeds in psnr(0.3).items()}
    expected = means["both"] - means["none"] - means["eighth"] + means["base"]
    assert found.change == pytest.approx(expected.mean())
    assert found.p_t == pytest.approx(stats.ttest_1samp(expected, 0).pvalue)
    assert statistics.family == 3 + 1
    assert "more than the sum of the two alone" in " ".join(conclude(results))
    assert "every variant and every interaction" in " ".join(explain(results))
    assert {"interaction", "variance"} <= {figure.name for figure in draw_figures(results)}
    without = load_results(write(tmp_path / "other", psnr(0.0))).statistics["set_5"]
    assert next(iter(without.interactions.values())).verdict in ("equivalent", "undecided")


def test_the_shares_of_variance_are_those_of_two_way_tables() -> None:
    """A table of two axes by the textbook: rows, columns, and what is left."""
    table = np.random.default_rng(1).normal(size=(3, 4))
    rows = 4 * ((table.mean(axis=1) - table.mean()) ** 2).sum()
    columns = 3 * ((table.mean(axis=0) - table.mean()) ** 2).sum()
    total = ((table - table.mean()) ** 2).sum()
    shares = variance_shares(table, ["row", "column"])
    assert shares == pytest.approx(
        {("row",): rows / total, ("column",): columns / total, ("row", "column"): 1 - (rows + columns) / total}
    )
    assert sum(variance_shares(np.zeros((2, 2)), ["a", "b"]).values()) == 0


def test_shares_sum_to_one_and_name_their_cause(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    scores = random.normal(0, 1e-6, (2, 3, 4, 5)) + np.array([0, 1])[:, None, None, None] + np.arange(5)
    shares = group_shares(variance_shares(scores, ["a", "b", "seed", "image"]))
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == ["a", "b", "seed", "image", "a × b", "seed × the rest (noise)", "image × the rest"]
    assert shares["a"] == pytest.approx(0.25 / 2.25, abs=1e-4)
    assert shares["image"] == pytest.approx(2 / 2.25, abs=1e-4)
    results = load_results(write(tmp_path, psnr(0.0)))
    assert sum(results.variance("set_5").values()) == pytest.approx(1)
    part = load_results(write(tmp_path / "part", psnr(0.0), missing=tuple(("both", seed) for seed in range(4))))
    assert part.variance("set_5") == {}
