"""The network taken apart: parts that sum to the whole, shapes of a real pass, diagrams that follow the configuration, the panel."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from asid.config import AXES, ModelConfig, preset
from asid.interpret.architecture import PARTS, axis_effects, axis_value, costs, costs_by_part, stages
from asid.model.complexity import count_macs, count_parameters, macs_by_module
from asid.model.network import ASID
from asid.panels.architecture import describe_change, explore_axes
from asid.plots.architecture import PART_COLOURS, PART_LABELS, plot_costs, plot_costs_by_group, plot_group, plot_network
from asid.plots.style import new_figure

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


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


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
    # Linear 2w² and a table of 15² for each of two layers in steps of width w = 36, 24, 12, in the one group that makes maps.
    assert table["parameters"]["SAM maps"] == 2 * sum(2 * w * w + 15**2 for w in (36, 24, 12))
    # q and k, and q kᵀ for the 64 tokens of a window, for each pixel of the LR image.
    assert table["macs"]["SAM maps"] == 640 * 360 * 2 * sum(2 * w * w + 64 * w for w in (36, 24, 12))
    # v and the output projection, and A v, in all three groups.
    assert table["macs"]["SAM values"] == 640 * 360 * 3 * 2 * sum(2 * w * w + 64 * w for w in (36, 24, 12))


def test_groups_that_share_have_all_but_the_maps() -> None:
    table = costs(preset("asid-tiny", num_groups=4, attention_sharing=2), SMALL)
    by_group = table.groupby(["group", "part"])["macs"].sum().unstack(fill_value=0)
    assert list(by_group.index[by_group["SAM maps"] > 0]) == [1, 3]
    others = by_group.drop(columns="SAM maps")
    assert (others.loc[1] == others.loc[2]).all()
    assert set(table.loc[table["part"] == "LM", "step"]) == {1, 2, 3}
    assert set(table.loc[table["group"] == 0, "part"]) == {"shallow", "deep", "upsample"}


def test_macs_by_module_do_not_count_what_is_inside_twice() -> None:
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


def test_stages_leave_out_what_is_off() -> None:
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


def test_the_diagram_of_the_network_follows_the_configuration() -> None:
    def draw(**changes: Any) -> list[str]:
        ax = new_figure(10, 2).subplots()
        plot_network(preset("asid", **changes), ax)
        return words(ax)

    assert {
        "group 1\nmakes A",
        "group 3\nreuses A",
        "6 attention maps A, shared",
        "upsample\n3×3 → 12\nshuffle ×2",
    } <= set(draw())
    alone = draw(attention_sharing="none", scale=4)
    assert "group 3\nmakes A" in alone
    assert "SR\n4H×4W" in alone
    assert not [text for text in alone if "reuses" in text or "shared" in text]
    assert {"group 2", "48"} <= set(draw(spatial_windows=[]))
    many = draw(num_groups=20)
    assert sum(text.startswith("group ") for text in many) == 7
    assert "…" in many


def test_the_diagram_of_a_group_follows_the_configuration() -> None:
    def draw(**changes: Any) -> list[str]:
        ax = new_figure(10, 3).subplots()
        plot_group(preset("asid", **changes), ax)
        return words(ax)

    default = draw()
    assert [text for text in default if text.startswith("step")] == [
        "step 1, width 48",
        "step 2, width 36",
        "step 3, width 24",
    ]
    assert default.count("distilled 12") == 2
    assert default.count("local 12") == 3
    assert default.count("SAM\nglobal\ngrid 8") == 3
    assert "SAM\nglobal\nwindow 16" in draw(global_kind="window", global_size=16)
    bare = draw(spatial_windows=[], channel_windows=[], esa=False, local_module=False, distillation_ratio="0")
    assert not [
        text
        for text in bare
        if any(name in text for name in ("SAM", "CAM", "ESA", "LM", "distilled", "local", "attention"))
    ]
    assert "step 9, width 24" in draw(distillation_steps=9, distillation_ratio="1/16")


def test_bars() -> None:
    assert list(PART_COLOURS) == list(PARTS) == list(PART_LABELS)
    base, variant = (
        costs_by_part(preset("asid-tiny", **changes), SMALL) for changes in ({}, {"attention_sharing": "none"})
    )
    ax = new_figure(5, 3).subplots()
    plot_costs(base["macs"], variant["macs"], ax, "multiply-adds")
    assert words(ax) == ["+200 %"]  # maps, in three groups instead of one
    ax = new_figure(5, 3).subplots()
    plot_costs_by_group(costs(preset("asid-tiny"), SMALL), "parameters", ax, "parameters")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["group 1", "group 2", "group 3", "outside"]
    assert sum(bar.get_width() for bar in ax.patches) == count_parameters(ASID(preset("asid-tiny")))


def test_the_panel_follows_its_controls_and_survives_what_is_impossible() -> None:
    base = preset("asid-tiny", num_features=20, num_groups=2)  # a width that is not among the usual ones
    panel = explore_axes(base, base.override(attention_sharing="none"))
    assert set(panel.controls) == set(AXES)
    assert panel.drawing is not None
    shown, arrays = panel.picture.value, panel.drawing[1]
    assert arrays["base_parameters"].sum() == count_parameters(ASID(base))
    assert arrays["choice_parameters"].sum() == count_parameters(ASID(base.override(attention_sharing="none")))
    panel.controls["distillation_ratio"].value = "1/6"
    assert "distillation_ratio 1/6 of num_features 20 distils 3.33333 channels" in panel.message.value
    assert panel.picture.value == shown
    panel.controls["distillation_ratio"].value = "1/4"
    panel.controls["esa"].value = False
    assert panel.message.value == ""
    assert panel.picture.value != shown


def test_a_change_in_words() -> None:
    assert describe_change("multiply-adds", 80e9, 60e9, 1e9, "G") == "multiply-adds 80.0 G → 60.0 G: −20.0 G, −25.0 %"
    assert describe_change("parameters", 2000, 2000, 1e3, "k") == "parameters 2.0 k, as the base"
