"""Matched controls: sizes are those of real networks, and the control has the right size and the same kind."""

from functools import cache
from typing import Any

import pytest
import torch

from asid.ablation.study.matching import TOLERANCE, match_size, size
from asid.config import ModelConfig, preset
from asid.model.complexity import measure_complexity
from asid.model.network import ASID

TINY = preset("asid-tiny", num_groups=2)
VARIANTS: dict[str, dict[str, Any]] = {
    "larger: no sharing": {"attention_sharing": "none"},
    "larger: no distillation": {"distillation_ratio": 0},
    "larger: keeps less": {"distillation_ratio": "1/8"},
    "smaller: no ESA": {"esa": False},
    "smaller: no attention at all": {"spatial_windows": [], "channel_windows": []},
    "smaller: keeps more": {"distillation_ratio": "5/16"},
}


@cache
def real_size(model: ModelConfig) -> int:
    return sum(parameter.numel() for parameter in ASID(model).parameters())


@pytest.mark.parametrize("changes", [{}, *VARIANTS.values()], ids=["the base", *VARIANTS])
def test_the_size_in_parameters_is_that_of_the_real_network(changes: dict[str, Any]) -> None:
    model = TINY.override(**changes)
    assert size(model, "params") == real_size(model)


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
@pytest.mark.parametrize("sharing", ["all", "none", 1, 2, 3])
def test_the_size_in_parameters_is_that_of_any_number_of_groups_of_either_kind(groups: int, sharing: str | int) -> None:
    model = TINY.override(num_features=8, num_groups=groups, attention_sharing=sharing)
    assert size(model, "params") == real_size(model)


@pytest.mark.parametrize(
    "changes", [{}, {"scale": 4, "attention_sharing": "none", "num_groups": 2}], ids=["the base", "a variant"]
)
def test_the_size_in_multiply_adds_is_torch_s_count_for_the_usual_output(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("_fvcore_macs", "_ptflops_macs"):
        monkeypatch.setattr(f"asid.model.complexity.{other}", lambda *_: 0)  # they take seconds
    model = TINY.override(**changes)
    assert size(model, "macs") == measure_complexity(model).macs_torch


def test_counting_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    size(TINY.override(num_features=20), "params")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_match_is_a_network_of_the_same_kind_and_of_the_size_that_was_asked_for(changes: dict[str, Any]) -> None:
    variant, target = TINY.override(**changes), real_size(TINY)
    assert abs(real_size(variant) / target - 1) > TOLERANCE, "there is something to match"
    match = match_size(variant, target, "params")
    assert abs(real_size(match) / target - 1) <= TOLERANCE
    resized = {
        key: value
        for key, value in match.to_dict().items()
        if key in ("num_features", "num_groups", "distillation_ratio")
    }
    assert variant.override(**resized) == match, "nothing else was changed"


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_match_keeps_about_the_same_share_of_its_channels(changes: dict[str, Any]) -> None:
    """To within one channel: a step keeps a whole number of them."""
    variant = TINY.override(**changes)
    match = match_size(variant, real_size(TINY), "params")
    assert abs(match.distillation_ratio - variant.distillation_ratio) * match.num_features < 1
    assert (match.distillation_ratio == 0) == (variant.distillation_ratio == 0)


def test_the_number_of_groups_stays_where_another_width_is_enough() -> None:
    base = preset("asid-tiny")
    narrower = match_size(base.override(attention_sharing="none"), real_size(base), "params")
    wider = match_size(base.override(esa=False), real_size(base), "params")
    assert narrower.num_groups == wider.num_groups == base.num_groups
    assert narrower.num_features < base.num_features < wider.num_features


def test_the_number_of_groups_changes_by_no_more_than_it_must() -> None:
    """Two groups more would be nearer still: the size is near enough with one."""
    base = preset("asid-tiny", num_features=8)
    match = match_size(base.override(position_bias=False, squeeze_excitation=False), real_size(base), "params")
    assert abs(match.num_groups - base.num_groups) == 1
    assert abs(real_size(match) / real_size(base) - 1) <= TOLERANCE


def test_a_network_of_the_size_is_itself() -> None:
    assert match_size(TINY, real_size(TINY), "params") == TINY


def test_multiply_adds_can_be_matched() -> None:
    base = TINY.override(num_groups=1, channel_windows=[])
    match = match_size(base.override(local_module=False), size(base, "macs"), "macs")
    assert abs(size(match, "macs") / size(base, "macs") - 1) <= TOLERANCE
    assert match.num_features > base.num_features
    assert not match.local_module


def test_a_narrow_network_of_many_steps_that_keep_nothing_can_be_matched() -> None:
    base = TINY.override(num_features=4, num_groups=1, distillation_ratio=0, distillation_steps=12, spatial_windows=[])
    assert match_size(base, real_size(base), "params") == base


@pytest.mark.parametrize(
    ("target", "nearest"), [(100, "num_features 5, num_groups 1"), (10**9, "num_features 48, num_groups 3")]
)
def test_a_size_that_cannot_be_reached_is_reported_with_the_nearest(target: int, nearest: str) -> None:
    """A third to three times the width, two groups more or less."""
    with pytest.raises(ValueError, match=f"within 2% of the base's {target} params; the nearest has .* with {nearest}"):
        match_size(TINY.override(num_groups=1, spatial_windows=[]), target, "params")
