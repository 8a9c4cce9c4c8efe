"""Components as switches: each changes its own fields and no others, they compose, and what is not there is not taken out."""

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
"""Components that are modules of their own: what the names of their parameters have in common."""

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
def test_a_component_that_is_taken_out_changes_its_fields_and_no_others(component: Component) -> None:
    for model in (ModelConfig(), TINY, preset("asid-d8", scale=4, position_bias=component == "position-bias")):
        changes = take_out(model, [component])
        assert changes == TAKEN_OUT[component]
        assert changed(model, model.override(**changes)) == TAKEN_OUT[component]


@pytest.mark.parametrize(("component", "part"), GONE.items(), ids=GONE)
def test_the_parameters_of_a_component_that_is_a_module_are_gone_and_no_others(component: Component, part: str) -> None:
    model = TINY.override(num_groups=2)
    before = set(ASID(model).state_dict())
    after = set(ASID(model.override(**take_out(model, [component]))).state_dict())
    assert before - after == {name for name in before if part in name} != set()
    assert after <= before


def test_windows_of_one_kind_go_wherever_they_are_and_leave_the_order_of_the_others() -> None:
    model = TINY.override(spatial_windows=["global", "meso", "global"], channel_windows=["meso"])
    assert take_out(model, ["meso"]) == {"spatial_windows": ["global", "global"], "channel_windows": []}
    assert take_out(model, ["global"]) == {"spatial_windows": ["meso"]}, "channel attention has none: it is not changed"


def test_nothing_is_taken_out_of_a_network_by_no_component() -> None:
    assert take_out(TINY, []) == {}


@pytest.mark.parametrize("pair", combinations(TAKEN_OUT, 2), ids=" and ".join)
def test_two_components_are_taken_out_in_either_order(pair: tuple[Component, Component]) -> None:
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
def test_a_component_that_is_not_there_is_not_taken_out(component: Component) -> None:
    without = TINY.override(**take_out(TINY, [component]))
    with pytest.raises(ValueError, match=f"component {component} is not in the network"):
        take_out(without, [component])


def test_a_component_is_there_though_another_takes_the_last_of_it() -> None:
    """Whether it is there is asked of the network that is given, not of what the others before it have left."""
    assert take_out(TINY, ["meso", "global", "channel-attention"]) == {"spatial_windows": [], "channel_windows": []}
    assert add_one_in(TINY, ["global", "meso", "channel-attention"])["bare"] == {
        "spatial_windows": [],
        "channel_windows": [],
    }


def test_leave_one_out_is_a_network_without_each() -> None:
    assert leave_one_out(TINY, ["esa", "meso"]) == {"no-esa": TAKEN_OUT["esa"], "no-meso": TAKEN_OUT["meso"]}


def test_pairwise_is_a_network_without_each_two() -> None:
    assert pairwise(TINY, ["esa", "sharing", "local-module"]) == {
        "no-esa_no-sharing": {"esa": False, "attention_sharing": "none"},
        "no-esa_no-local-module": {"esa": False, "local_module": False},
        "no-sharing_no-local-module": {"attention_sharing": "none", "local_module": False},
    }


def test_add_one_in_is_the_network_without_any_and_with_each_alone() -> None:
    cells = add_one_in(TINY, ["meso", "esa", "global"])
    assert list(cells) == ["bare", "only-meso", "only-esa", "only-global"]
    assert cells["bare"] == {"spatial_windows": [], "channel_windows": [], "esa": False}
    assert cells["only-meso"] == {"spatial_windows": ["meso"], "channel_windows": ["meso"], "esa": False}
    assert cells["only-esa"] == {"spatial_windows": [], "channel_windows": []}
    assert cells["only-global"] == {"spatial_windows": ["global"], "channel_windows": ["global"], "esa": False}
