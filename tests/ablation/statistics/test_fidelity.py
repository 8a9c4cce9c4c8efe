"""Rankings and verdicts at parts of the budget."""

from types import SimpleNamespace
from typing import Any

import pytest

from asid.ablation.statistics.fidelity import fidelity

NOISE = (0.0, 0.001, -0.001)


def run(*psnr: float, steps: int = 100) -> Any:
    """A run that was validated after each quarter of its steps."""
    points = [{"step": (i + 1) * steps // 4, "psnr": value} for i, value in enumerate(psnr)]
    config = SimpleNamespace(train=SimpleNamespace(steps=steps))
    return SimpleNamespace(config=config, history=[{"step": 1, "psnr": None}, *points])


def seeds(*psnr: float, steps: int = 100) -> dict[int, Any]:
    """Three runs that differ a little, each by another amount at each step."""
    return {
        seed: run(*(value + NOISE[(seed + i * len(psnr)) % 3] for i, value in enumerate(psnr)), steps=steps)
        for seed in range(3)
    }


def test_a_ranking_that_turns_is_seen_and_so_are_verdicts_that_flip() -> None:
    runs = {
        "base": seeds(30, 31, 31, 32),
        "late": seeds(29, 31.5, 32, 33, steps=200),
        "early": seeds(31, 31.6, 31, 31),
    }
    quarter, half = fidelity(runs, "base", 0.05)
    assert (quarter.budget, quarter.tau) == (0.25, pytest.approx(-1))
    assert quarter.flipped == {"late": ("worse", "better"), "early": ("better", "worse")}
    assert half.tau == pytest.approx(-1 / 3)
    assert half.flipped == {"early": ("better", "worse")}


def test_variants_that_are_equal_have_no_order() -> None:
    runs = {name: {0: run(30, 31, 31, 32)} for name in ("base", "b")}
    assert fidelity(runs, "base", 0.05) == []


def test_what_was_not_validated_by_then_is_not_claimed() -> None:
    runs = {"base": {0: run(30, 31, 31, 32)}, "b": {0: run(30, 31.5, 31, 33)}}
    runs["b"][0].history = runs["b"][0].history[2:]
    assert [part.budget for part in fidelity(runs, "base", 0.05)] == [0.5]
    assert fidelity({"base": runs["base"]}, "base", 0.05) == []
    assert fidelity({"b": runs["b"], "c": runs["base"]}, "base", 0.05) == []
