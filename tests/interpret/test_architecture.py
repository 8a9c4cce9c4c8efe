"""The architecture as data: parts that sum to the whole, the shapes of a real forward pass, the effect of axes."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from asid.config import AXES, ModelConfig, preset
from asid.interpret.architecture import PARTS, axis_effects, axis_value, costs, costs_by_part, idle_axes, stages
from asid.model.complexity import count_macs, count_parameters, macs_by_module
from asid.model.network import ASID

pytestmark = pytest.mark.process

SMALL = (64, 48)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"attention_sharing": "none"},
    {"num_groups": 4, "attention_sharing": 3},
    {"num_groups": 1, "scale": 3},
    {"distillation_ratio": "0", "spatial_windows": ["global"], "position_bias": False},
    {
        "distillation_ratio": "1/8",
        "distillation_steps": 4,
        "squeeze_excitation": False,
        "global_size": 16,
        "global_kind": "window",
    },
    {"spatial_windows": [], "channel_windows": [], "local_module": False, "esa": False},
]
each_variant = pytest.mark.parametrize("changes", VARIANTS, ids=json.dumps)


@each_variant
def test_the_parts_sum_to_the_whole(changes: dict[str, Any]) -> None:
    config = preset("asid-tiny", **changes)
    parameters, macs = count_parameters(ASID(config)), count_macs(config, SMALL)
    for table in (costs(config, SMALL), costs_by_part(config, SMALL)):
        assert table["parameters"].sum() == parameters
        assert table["macs"].sum() == macs


def test_the_published_network_by_part() -> None:
    table = costs_by_part(preset("asid"))
    assert table["parameters"].sum() == 297_516
    assert round(table["macs"].sum() / 1e9, 2) == 77.79
    assert list(table.index) == list(PARTS)
    # Linear 2w² and a table of 15² for each of two layers in steps of width w = 36, 24, 12, in the one group that makes
    # maps.
    assert table["parameters"]["SAM maps"] == 2 * sum(2 * w * w + 15**2 for w in (36, 24, 12))
    # q and k, and q kᵀ for the 64 tokens of a window, for each pixel of the LR image.
    assert table["macs"]["SAM maps"] == 640 * 360 * 2 * sum(2 * w * w + 64 * w for w in (36, 24, 12))
    # v and the output projection, and A v, in all three groups.
    assert table["macs"]["SAM values"] == 640 * 360 * 3 * 2 * sum(2 * w * w + 64 * w for w in (36, 24, 12))


def test_groups_that_reuse_maps_lack_only_the_maps() -> None:
    table = costs(preset("asid-tiny", num_groups=4, attention_sharing=2), SMALL)
    by_group = table.groupby(["group", "part"])["macs"].sum().unstack(fill_value=0)
    assert list(by_group.index[by_group["SAM maps"] > 0]) == [1, 3]
    others = by_group.drop(columns="SAM maps")
    assert (others.loc[1] == others.loc[2]).all()
    assert set(table.loc[table["part"] == "LM", "step"]) == {1, 2, 3}
    assert set(table.loc[table["group"] == 0, "part"]) == {"shallow", "deep", "upsample"}


def test_macs_by_module_count_nothing_twice() -> None:
    config = preset("asid-tiny", num_groups=1)
    macs = macs_by_module(config, SMALL)
    assert macs["shallow"] == 32 * 24 * 3 * 16 * 9
    assert (
        macs["groups.0.block.steps.0.spatial.0.attention"] == 32 * 24 * 2 * 64 * 12
    )  # q kᵀ and A v, without the projections
    assert "groups.0" not in macs
    assert sum(macs.values()) == count_macs(config, SMALL)


def test_stages_have_the_shapes_of_a_real_pass() -> None:
    config = preset("asid-tiny", num_groups=2)
    table = stages(config, 17, 30)
    assert table["shape"].iloc[0] == (1, 3, 24, 32)
    assert table["shape"].iloc[-1] == (1, 3, 34, 60)
    rows = table.set_index("path")
    with torch.no_grad():
        _, maps = ASID(config)(torch.zeros(1, 3, 17, 30), return_attention=True)
    for group, step, layer in ((0, 0, 0), (0, 2, 1), (1, 1, 0)):
        row = rows.loc[f"groups.{group}.block.steps.{step}.spatial.{layer}"]
        assert row["maps"] == tuple(maps.spatial[group][step][layer].shape)
        assert ("makes maps" if group == 0 else "reuses maps") in row["stage"]
        assert row["shape"] == (1, config.step_widths[step] - config.distilled_channels, 24, 32)
    assert rows.loc["groups.1.block.channel.1", "maps"] == tuple(maps.channel[1][1].shape)
    assert rows.loc["groups.0.block.steps.1.fuse", "shape"] == (1, 12, 24, 32)
    assert rows.loc["upsample", "shape"] == (1, 12, 24, 32)


def test_stages_that_are_off_are_left_out() -> None:
    paths = set(stages(preset("asid-tiny", esa=False, local_module=False, spatial_windows=[]))["path"])
    assert not [path for path in paths if "esa" in path or "local" in path or "spatial" in path]
    assert "groups.2.block.steps.2.fuse" in paths


@pytest.mark.parametrize("name", AXES)
def test_an_axis_has_the_default_among_its_values_and_only_valid_ones(name: str) -> None:
    assert axis_value(ModelConfig(), name) in AXES[name].values
    for value in AXES[name].values:
        changes = {name: value} | ({"distillation_ratio": "1/8"} if name == "distillation_steps" else {})
        assert axis_value(ModelConfig(**changes), name) == value


def test_what_axes_change() -> None:
    base = preset("asid-tiny")
    axes = {
        "attention_sharing": AXES["attention_sharing"].values,
        "distillation_ratio": ("1/6", "1/8"),
        "global_kind": AXES["global_kind"].values,
    }
    table = axis_effects(base, axes, SMALL).set_index(["axis", "value"])
    assert list(table.index) == [
        ("attention_sharing", "2"),
        ("attention_sharing", "none"),
        ("distillation_ratio", "1/6"),
        ("distillation_ratio", "1/8"),
        ("global_kind", "window"),
    ]
    none = table.loc[("attention_sharing", "none")]
    assert none["parameters"] == count_parameters(ASID(base.override(attention_sharing="none")))
    assert none["macs_change"] == pytest.approx(none["macs"] / count_macs(base, SMALL) - 1)
    assert none["macs_change"] > table.loc[("attention_sharing", "2"), "macs_change"] > 0
    assert table.loc[("global_kind", "window"), "macs_change"] == 0
    impossible = table.loc[("distillation_ratio", "1/6")]
    assert "distils 2.66667 channels" in impossible["problem"]
    assert np.isnan(impossible["macs_change"])
    assert (table["problem"] == "").sum() == 4


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({}, set()),
        ({"num_groups": 1}, {"attention_sharing"}),
        ({"spatial_windows": ()}, {"attention_sharing", "position_bias"}),
        ({"spatial_windows": ("meso",), "channel_windows": ("meso",)}, {"global_kind", "global_size"}),
        ({"spatial_windows": ("global",), "channel_windows": ()}, {"window_size"}),
        ({"local_module": False}, {"squeeze_excitation"}),
    ],
)
def test_an_idle_axis_changes_no_output_and_another_one_does(changes: dict[str, Any], idle: set[str]) -> None:
    config = preset("asid-tiny", num_features=16, num_groups=2).override(**changes)
    assert set(idle_axes(config)) == idle
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    related = {axis for axis in AXES if axis.startswith(("attention", "position", "global", "window", "squeeze"))}
    for axis in related:
        others = [config.override(**{axis: value}) for value in AXES[axis].values if value != axis_value(config, axis)]
        with torch.no_grad():
            before, *after = (ASID(each, seed=0).eval()(image) for each in [config, *others])
        assert all(torch.equal(before, each) for each in after) == (axis in idle), axis
