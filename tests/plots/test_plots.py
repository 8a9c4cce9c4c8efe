"""Plots: what is drawn is what the data says."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from PIL import Image

from asid.plots import study as plots
from asid.plots import style

PALETTE = {"a": "red", "b": "green", "c": "blue"}


@pytest.fixture
def ax() -> Axes:
    return style.new_figure(4, 3).subplots()


@pytest.mark.parametrize(
    ("costs", "scores", "front"),
    [
        ([1, 2, 3], [10, 11, 12], [0, 1, 2]),
        ([3, 2, 1], [12, 11, 10], [2, 1, 0]),
        ([1, 2, 3], [12, 11, 10], [0]),
        ([1, 1, 2], [10, 11, 11], [1]),
        ([1, 2, 3, 4], [10, 9, 12, 11], [0, 2]),
    ],
    ids=["rising", "by cost, not by row", "the cheapest is the best", "ties", "beaten ones are left out"],
)
def test_the_pareto_front_holds_what_no_other_beats(costs: list[float], scores: list[float], front: list[int]) -> None:
    assert plots.pareto_front(costs, scores) == front


def test_the_pareto_plot_has_the_front_the_points_and_the_links(ax: Axes) -> None:
    table = pd.DataFrame(
        {"variant": ["a", "b", "c"], "macs": [1.0, 2.0, 3.0], "psnr": [30.0, 29.0, 31.0], "low": 28.0, "high": 32.0}
    )
    plots.plot_pareto(table, "macs", ax, "multiply-adds (G)", PALETTE, {"b": "c", "gone": "a"})
    step, link = ax.lines
    assert step.get_drawstyle() == "steps-post"
    assert step.get_xydata().tolist() == [[1, 30], [3, 31], [3, 31]]
    assert link.get_xydata().tolist() == [[2, 29], [3, 31]]
    assert ax.get_legend_handles_labels()[1] == ["Pareto front", "a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("multiply-adds (G)", "PSNR-Y (dB)")


@pytest.mark.parametrize(("psnr", "words"), [(30.5, None), (25.0, "↓ bicubic 25.00 dB"), (40.0, "↑ bicubic 40.00 dB")])
def test_a_reference_far_away_is_text_and_does_not_squeeze_the_points(psnr: float, words: str | None, ax: Axes) -> None:
    ax.scatter([1, 2], [30, 31])
    before = ax.get_ylim()
    plots.plot_references({"bicubic": psnr}, ax)
    assert [text.get_text() for text in ax.texts] == ([words] if words else [])
    assert [line.get_label() for line in ax.lines] == ([] if words else ["bicubic"])
    assert ax.get_ylim() == before


def test_references_are_told_apart_and_do_not_cover_each_other(ax: Axes) -> None:
    ax.scatter([1, 2], [30, 31])
    plots.plot_references({"bicubic": 25, "linear": 26, "near": 30.2, "nearer": 30.4}, ax)
    assert [text.get_text() for text in ax.texts] == ["↓ bicubic 25.00 dB\n↓ linear 26.00 dB"]
    near, nearer = ax.lines
    assert (near.get_label(), nearer.get_label()) == ("near", "nearer")
    assert near.get_linestyle() != nearer.get_linestyle()


def forest(ax: Axes, low: float, high: float, verdict: str = "better", noise: float = 0.02) -> None:
    changes = pd.DataFrame(
        {
            "variant": ["a", "b"],
            "delta": [0.1, -0.1],
            "low": [low, np.nan],
            "high": [high, np.nan],
            "verdict": [verdict, "one seed"],
        }
    )
    dots = pd.DataFrame({"variant": ["a", "a", "b"], "change": [0.09, 0.11, -0.1]})
    plots.plot_forest(changes, dots, ax, base="base", margin=0.05, noise=noise, dot="one seed")


def test_the_forest_has_a_row_a_variant_with_interval_mean_and_seeds(ax: Axes) -> None:
    forest(ax, 0.06, 0.14)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    intervals = [
        segment.tolist()
        for collection in ax.collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
    ]
    assert intervals == [[[0.06, 0], [0.14, 0]]], "no interval for one seed"
    points = [c.get_offsets().tolist() for c in ax.collections if not isinstance(c, LineCollection)]
    assert points == [[[0.09, 0.27], [0.11, 0.27]], [[0.1, 0]], [[-0.1, 1.27]], [[-0.1, 1]]]
    assert ax.patches[0].get_x() == pytest.approx(-0.05)
    assert ax.patches[0].get_width() == pytest.approx(0.1)
    dashed = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert dashed == [-0.02, 0.02]
    assert "(dB)" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("verdict", "filled"), [("better", True), ("worse", True), ("equivalent", False), ("undecided", False)]
)
def test_only_a_significant_change_is_filled(verdict: str, filled: bool, ax: Axes) -> None:
    forest(ax, 0.06, 0.14, verdict)
    marker = [c for c in ax.collections if not isinstance(c, LineCollection)][1]
    colour = to_hex(plots.VERDICTS[verdict])
    assert to_hex(marker.get_edgecolor()[0]) == colour
    assert to_hex(marker.get_facecolor()[0]) == (colour if filled else "#ffffff")


def test_without_noise_floor_and_interval_neither_is_drawn_nor_explained(ax: Axes) -> None:
    forest(ax, np.nan, np.nan, "one seed", noise=np.nan)
    assert ax.get_legend_handles_labels()[1] == ["margin, ±0.05 dB", "one seed"]
    assert not [line for line in ax.lines if line.get_linestyle() == "--"]


def test_a_very_wide_interval_ends_in_arrows(ax: Axes) -> None:
    forest(ax, -5.0, 5.2)
    low, high = ax.get_xlim()
    assert -1 < low < -0.1
    assert 0.14 < high < 1
    assert [line.get_marker() for line in ax.lines if line.get_marker() in "<>"] == ["<", ">"]


def test_the_heat_map_shows_the_value_of_each_cell(ax: Axes) -> None:
    values = pd.DataFrame([[0.0, 0.1], [-0.2, np.nan]], index=["all", "none"], columns=["1/4", "1/8"]).rename_axis(
        index="sharing", columns="ratio"
    )
    plots.plot_interaction(values, ax, "change (dB)")
    assert [text.get_text() for text in ax.texts] == ["+0.000", "+0.100", "−0.200", "–"]
    assert [text.get_position() for text in ax.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert ax.images[0].get_clim() == (-0.2, 0.2), "white is no change"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ratio", "sharing")


def test_the_strips_have_a_marker_a_seed_and_a_bar_for_the_mean(ax: Axes) -> None:
    scores = pd.DataFrame({"variant": ["a", "a", "b"], "seed": [0, 1, 0], "psnr": [30.0, 31.0, 29.0]})
    plots.plot_seeds(scores, ax)
    points = [c.get_offsets().tolist() for c in ax.collections if not isinstance(c, LineCollection)]
    assert points == [[[30, 0], [29, 1]], [[31, 0]]]
    means = [segment[0][0] for c in ax.collections if isinstance(c, LineCollection) for segment in c.get_segments()]
    assert means == [30.5, 29]
    assert ax.get_legend_handles_labels()[1] == ["seed 0", "seed 1", "mean over seeds"]


def test_the_curves_of_several_seeds_are_their_mean() -> None:
    history = pd.DataFrame({"step": [1, 2, 1, 2], "loss": [4.0, 2.0, 2.0, 1.0], "psnr": [np.nan, 30.0, np.nan, 32.0]})
    loss_ax, psnr_ax = style.new_figure(6, 3).subplots(1, 2)
    plots.plot_history(history, loss_ax, psnr_ax, "a", "red")
    assert loss_ax.lines[0].get_xydata().tolist() == [[1, 3], [2, 1.5]]
    assert psnr_ax.lines[0].get_xydata().tolist() == [[2, 31]]
    assert {30.0, 32.0} <= set(psnr_ax.collections[0].get_paths()[0].vertices[:, 1])


@pytest.mark.parametrize(("value", "text"), [(0.1234, "+0.123"), (-0.1, "−0.100"), (-0.0001, "+0.000")])
def test_changes_have_a_sign(value: float, text: str) -> None:
    assert style.signed(value) == text


def test_a_legend_with_long_words_has_few_columns_and_makes_room_for_itself() -> None:
    figure = style.new_figure(7, 3)
    ax = figure.subplots()
    for name in range(6):
        ax.plot([], [], label=f"a variant with a very long name {name}")
    style.legend_below(figure, ax)
    assert figure.get_size_inches()[1] == pytest.approx(3 + 3 * 0.17)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_figure_is_saved_for_print_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        figure = style.new_figure(2, 1)
        figure.subplots().plot([1, 2])
        files = style.save_figure(figure, tmp_path / name)
        assert [file.name for file in files] == [f"{name}.png", f"{name}.svg"]
    for ending in ("png", "svg"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_plots_keep_their_colours_in_few_and_images_keep_all(tmp_path: Path) -> None:
    plot, photograph = style.new_figure(5, 3), style.new_figure(3, 2)
    ax = plot.subplots()
    ax.axvspan(25, 40, color="0.93")
    for band in range(5):
        ax.fill_between([0, 40], [4 * band, 0], [50 + band, 40 - 5 * band], color=f"C{band}", alpha=0.2)
    photograph.subplots().imshow(np.random.default_rng(0).random((30, 30, 3)))
    for figure, mode, largest in ((plot, "P", 25), (photograph, "RGB", 0)):
        png, _ = style.save_figure(figure, tmp_path / "figure")
        drawn = BytesIO()
        with rc_context(style.STYLE):
            figure.savefig(drawn, dpi=200)
        with Image.open(png) as saved, Image.open(drawn) as expected:
            assert saved.mode == mode
            colours, original = (np.asarray(image.convert("RGB"), int) for image in (saved, expected))
        assert np.abs(colours - original).max() <= largest
        grey = np.ptp(original, axis=-1) == 0
        assert (np.ptp(colours[grey], axis=-1) > 3).mean() < 0.02, "greys have a tint"
