"""Rankings and verdicts at parts of the budget."""

from types import SimpleNamespace
from typing import Any

import pytest

from asid.ablation.statistics.fidelity import fidelity

NOISE = (0.0, 0.001, -0.001)
SETS = ("set_5", "set_14")


def run(*psnr: float, steps: int = 100, scored: tuple[float, ...] | None = None) -> Any:
    """A run that was validated after each quarter of its steps.

    ``scored``: PSNR at a quarter and at the end of two images on two sets; the second image is 3 dB better, and without
    error in the end.
    """
    points = [{"step": (i + 1) * steps // 4, "psnr": value} for i, value in enumerate(psnr)]
    config = SimpleNamespace(train=SimpleNamespace(steps=steps, checkpoints=(0.25,) if scored else ()))
    scores = [
        {"data": data, "image": image, "psnr": scored[1] + more, "psnr_at_checkpoints": [scored[0] + more]}
        for data in SETS
        for image, more in (("ant", 0.0), ("bee", 3.0))
        if scored
    ]
    return SimpleNamespace(config=config, history=[{"step": 1, "psnr": None}, *points], scores=scores)


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


def test_weights_that_were_kept_and_scored_count_instead_of_validation() -> None:
    """The curves say the opposite. An image without error has no mean and is left out."""
    runs = {
        name: {
            seed: run(30 - change, 30, 30, 30 - change, scored=(30 + change + noise, 32 - change))
            for seed, noise in enumerate(NOISE)
        }
        for name, change in (("base", 0.0), ("early", 1.0))
    }
    for score in runs["early"][1].scores[1::2]:
        score["psnr"] = float("inf")
    first, second = fidelity(runs, "base", 0.05)
    assert (first.data, second.data, first.budget) == (*SETS, 0.25)
    assert first.tau == second.tau == pytest.approx(-1)
    assert first.flipped == {"early": ("better", "worse")}
    del runs["early"][0].scores[0]["psnr_at_checkpoints"]
    assert {part.data for part in fidelity(runs, "base", 0.05)} == {None}, "one score is missing: the curves are taken"


def test_variants_that_are_equal_have_no_order() -> None:
    runs = {name: {0: run(30, 31, 31, 32)} for name in ("base", "b")}
    assert fidelity(runs, "base", 0.05) == []


def test_what_was_not_validated_by_then_is_not_claimed() -> None:
    runs = {"base": {0: run(30, 31, 31, 32)}, "b": {0: run(30, 31.5, 31, 33)}}
    runs["b"][0].history = runs["b"][0].history[2:]
    assert [part.budget for part in fidelity(runs, "base", 0.05)] == [0.5]
    assert fidelity({"base": runs["base"]}, "base", 0.05) == []
    assert fidelity({"b": runs["b"], "c": runs["base"]}, "base", 0.05) == []
