"""docs/simulation.py: a few of its studies, and the claims of the tables that it wrote."""

import math
from types import ModuleType

import pytest
from paths import DOCS, load_script


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    return load_script("simulation")


def table(name: str) -> list[list[str]]:
    """The rows that were written between the markers of a table, without its header."""
    text = (DOCS / "statistics.md").read_text(encoding="utf-8")
    lines = text.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def percent(cell: str) -> float:
    return float(cell.removesuffix(" %"))


def test_looks_find_what_eight_seeds_find_with_fewer_runs(simulation: ModuleType) -> None:
    looked, fixed = (
        list(simulation.outcomes(scheme, simulation.MIXED, 0.01, 40, key=5))
        for scheme in (simulation.POCOCK, simulation.FIXED)
    )
    verdicts = [
        mine == theirs
        for one, other in zip(looked, fixed, strict=True)
        for mine, theirs in zip(one.verdicts, other.verdicts, strict=True)
    ]
    assert sum(verdicts) > 0.95 * len(verdicts)
    assert sum(study.runs for study in looked) < 0.6 * sum(study.runs for study in fixed)
    assert {study.runs for study in fixed} == {48}


def test_the_tables_hold_their_claims(simulation: ModuleType) -> None:
    """What is cheap is computed again; of what takes half an hour, this fails when somebody writes worse numbers."""
    assert table("needed") == simulation.needed()
    assert table("levels") == simulation.levels()
    chance = 300 * math.sqrt(0.05 * 0.95 / simulation.STUDIES)
    errors = table("errors")
    assert [row[0] for row in errors] == list(simulation.SCHEMES)
    for _, false, covered in errors:
        assert percent(false) <= 5 + chance
        assert percent(covered) >= 95 - chance
    for *_, promised, simulated in table("power"):
        assert abs(percent(promised) - percent(simulated)) <= 3
    savings = table("savings")
    assert [float(row[0]) for row in savings] == list(simulation.NOISE)
    for _, same, opposite, runs, covered in savings:
        assert percent(same) > 95
        assert percent(opposite) < 0.1
        assert percent(runs) <= 60
        assert percent(covered) >= 95 - chance
