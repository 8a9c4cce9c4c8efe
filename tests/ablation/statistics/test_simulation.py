"""docs/simulation.py: a few of its studies."""

import importlib.util
import sys
from types import ModuleType

import pytest
from paths import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulation", DOCS / "simulation.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulation"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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
