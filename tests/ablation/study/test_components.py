"""Components as switches: each changes only its own fields, and several compose in any order."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from asid.ablation.study.components import COMPONENTS, Component, add_one_in, leave_one_out, pairwise, take_out
from asid.config import ModelConfig, preset
from asid.model.network import ASID

ROOT = Path(__file__).parents[3]
TINY = preset("asid-tiny")
TAKEN_OUT: dict[Component, dict[str, Any]] = {
    "sharing": {"attention_sharing": "none"},
    "distillation": {"distillation_ratio": "0"},
    "meso": {"spatial_windows": ["global"], "channel_windows": ["global"]},
    "global": {"spatial_windows": ["meso"], "channel_windows": ["meso"]},
    "channel-attention": {"channel_windows": []},
    "local-module": {"local_module": False},
    "squeeze-excitation": {"squeeze_excitation": False},
    "esa": {"esa": False},
    "position-bias": {"position_bias": False},
}
GONE: dict[Component, str] = {
    "channel-attention": ".channel.",
    "local-module": ".local.",
    "squeeze-excitation": ".local.gate.",
    "esa": ".esa.",
    "position-bias": ".bias.table",
}
"""Components that are modules of their own, with a part of the path of their parameters."""

each_component = pytest.mark.parametrize("component", TAKEN_OUT)


def changed(before: ModelConfig, after: ModelConfig) -> dict[str, Any]:
    """The fields in which two networks differ, with the values of the second."""
    old = before.to_dict()
    return {name: value for name, value in after.to_dict().items() if value != old[name]}


def test_every_component_is_tested_and_documented() -> None:
    assert tuple(TAKEN_OUT) == COMPONENTS
    documented = (ROOT / "ablations" / "README.md").read_text()
    assert [name for name in COMPONENTS if f"`{name}`" not in documented] == []


@each_component
def test_taking_out_a_component_changes_only_its_fields(component: Component) -> None:
    for model in (ModelConfig(), TINY, preset("asid-d8", scale=4, position_bias=component == "position-bias")):
        changes = take_out(model, [component])
        assert changes == TAKEN_OUT[component]
        assert changed(model, model.override(**changes)) == TAKEN_OUT[component]


@pytest.mark.parametrize(("component", "part"), GONE.items(), ids=GONE)
def test_taking_out_a_module_removes_only_its_parameters(component: Component, part: str) -> None:
    model = TINY.override(num_groups=2)
    before = set(ASID(model).state_dict())
    after = set(ASID(model.override(**take_out(model, [component]))).state_dict())
    assert before - after == {name for name in before if part in name} != set()
    assert after <= before


def test_taking_out_a_kind_of_window_keeps_the_order_of_the_rest() -> None:
    model = TINY.override(spatial_windows=["global", "meso", "global"], channel_windows=["meso"])
    assert take_out(model, ["meso"]) == {"spatial_windows": ["global", "global"], "channel_windows": []}
    assert take_out(model, ["global"]) == {"spatial_windows": ["meso"]}, (
        "channel attention has no global layer, so it does not change"
    )


def test_no_components_no_changes() -> None:
    assert take_out(TINY, []) == {}


@pytest.mark.parametrize("pair", combinations(TAKEN_OUT, 2), ids=" and ".join)
def test_the_order_of_two_components_does_not_matter(pair: tuple[Component, Component]) -> None:
    there = TINY.override(**take_out(TINY, pair))
    assert there == TINY.override(**take_out(TINY, reversed(pair)))
    first, second = (take_out(TINY, [component]) for component in pair)
    if first.keys().isdisjoint(second):
        assert changed(TINY, there) == {**first, **second}


def test_without_meso_and_global_there_are_no_windows_left() -> None:
    assert take_out(TINY, ["meso", "global"]) == {"spatial_windows": [], "channel_windows": []}
    assert take_out(TINY, ["channel-attention", "meso"]) == {"spatial_windows": ["global"], "channel_windows": []}


def test_all_components_can_be_taken_out_at_once() -> None:
    bare = TINY.override(**take_out(TINY, TAKEN_OUT))
    assert bare == TINY.override(**take_out(TINY, reversed(TAKEN_OUT)))
    assert not {name for name in ASID(bare).state_dict() if any(part in name for part in GONE.values())}


@each_component
def test_a_missing_component_cannot_be_taken_out(component: Component) -> None:
    without = TINY.override(**take_out(TINY, [component]))
    with pytest.raises(ValueError, match=f"component {component} is not in the network"):
        take_out(without, [component])


def test_components_are_looked_for_in_the_given_network() -> None:
    """Not in what is left after the others have been taken out."""
    assert take_out(TINY, ["meso", "global", "channel-attention"]) == {"spatial_windows": [], "channel_windows": []}
    assert add_one_in(TINY, ["global", "meso", "channel-attention"])["bare"] == {
        "spatial_windows": [],
        "channel_windows": [],
    }


def test_leave_one_out() -> None:
    assert leave_one_out(TINY, ["esa", "meso"]) == {"no-esa": TAKEN_OUT["esa"], "no-meso": TAKEN_OUT["meso"]}


def test_pairwise() -> None:
    assert pairwise(TINY, ["esa", "sharing", "local-module"]) == {
        "no-esa_no-sharing": {"esa": False, "attention_sharing": "none"},
        "no-esa_no-local-module": {"esa": False, "local_module": False},
        "no-sharing_no-local-module": {"attention_sharing": "none", "local_module": False},
    }


def test_add_one_in() -> None:
    variants = add_one_in(TINY, ["meso", "esa", "global"])
    assert list(variants) == ["bare", "only-meso", "only-esa", "only-global"]
    assert variants["bare"] == {"spatial_windows": [], "channel_windows": [], "esa": False}
    assert variants["only-meso"] == {"spatial_windows": ["meso"], "channel_windows": ["meso"], "esa": False}
    assert variants["only-esa"] == {"spatial_windows": [], "channel_windows": []}
    assert variants["only-global"] == {"spatial_windows": ["global"], "channel_windows": ["global"], "esa": False}
