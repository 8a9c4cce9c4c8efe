"""Timing: sides in turn, ratios by round, exponents of power laws."""

import pytest
import torch

from asid.bench.timing import exponent, median, ratio, threads, time_in_turn


def test_sides_are_timed_in_turn() -> None:
    called: list[str] = []
    times = time_in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3, warm=False)
    assert "".join(called) == "ababab"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_that_of_each_round() -> None:
    # A load that makes one round ten times as long on both sides changes no ratio.
    quiet, disturbed = ratio("r", [2, 4, 3], [1, 2, 1]), ratio("r", [20, 4, 3], [10, 2, 1])
    assert quiet == disturbed == {"r": 2, "r low": 2, "r high": 2.5}


def test_a_median_has_its_quartiles() -> None:
    assert median("ms", [0.001, 0.002, 0.003, 0.004, 0.005], 1000) == pytest.approx(
        {"ms": 3, "ms low": 2, "ms high": 4}
    )


def test_the_exponent_of_a_power_law_is_found() -> None:
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7, 7, 7, 7]) == pytest.approx(0)


def test_threads_are_set_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
