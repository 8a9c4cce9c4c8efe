"""Diagrams that follow the configuration, and bars of its cost."""

from typing import Any

from matplotlib.axes import Axes

from asid.config import preset
from asid.interpret.architecture import PARTS, costs, costs_by_part
from asid.model.complexity import count_parameters
from asid.model.network import ASID
from asid.plots.architecture import PART_COLOURS, PART_LABELS, plot_costs, plot_costs_by_group, plot_group, plot_network
from asid.plots.style import new_figure

SMALL = (64, 48)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_diagram_of_the_network() -> None:
    def draw(**changes: Any) -> list[str]:
        ax = new_figure(10, 2).subplots()
        plot_network(preset("asid", **changes), ax)
        return texts(ax)

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


def test_the_diagram_of_a_group() -> None:
    def draw(**changes: Any) -> list[str]:
        ax = new_figure(10, 3).subplots()
        plot_group(preset("asid", **changes), ax)
        return texts(ax)

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
    assert texts(ax) == ["+200 %"]  # maps, in three groups instead of one
    ax = new_figure(5, 3).subplots()
    plot_costs_by_group(costs(preset("asid-tiny"), SMALL), "parameters", ax, "parameters")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["group 1", "group 2", "group 3", "outside"]
    assert sum(bar.get_width() for bar in ax.patches) == count_parameters(ASID(preset("asid-tiny")))
