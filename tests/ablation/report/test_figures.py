"""The figures of a report: which ones there are, and what they show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from written_study import make_study

from asid.ablation.report.figures import band_changes, draw_figures, interaction_table
from asid.ablation.report.results import StudyResults, load_results

LEVELS = {
    "base": {"sharing": "all", "ratio": "1/4", "esa": "on"},
    "no_sharing": {"sharing": "none", "ratio": "1/4", "esa": "on"},
    "100%-meso": {"sharing": "none", "ratio": "1/8", "esa": "on"},
}


def draw_names(results: StudyResults) -> list[str]:
    return [figure.name for figure in draw_figures(results)]


def test_each_evaluation_set_has_figures_of_its_own(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, sets=("set_5", "set 14"), factors=["sharing", "ratio"], levels=LEVELS))
    assert draw_names(results) == [
        *(f"{name}-{data}" for data in ("set_5", "set-14") for name in ("forest", "pareto", "interaction", "seeds")),
        "curves",
    ]


def test_every_reference_is_a_line_beside_the_costs(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, references=("bicubic", "linear")))
    (pareto,) = [figure.figure for figure in draw_figures(results) if figure.name == "pareto"]
    drawn = [line.get_label() for line in pareto.axes[0].lines]
    assert {"bicubic", "linear"} <= {*drawn, *" ".join(text.get_text() for text in pareto.axes[0].texts).split()}


def test_a_trained_reference_is_beside_the_variants_and_not_on_their_front(tmp_path: Path) -> None:
    cnn = {seed: {"ant": 35.0, "bee": 35.0} for seed in (0, 1)}
    figures = {f.name: f.figure for f in draw_figures(load_results(make_study(tmp_path, plain_cnn=cnn)))}
    legends = {name: [text.get_text() for text in figure.legends[0].get_texts()] for name, figure in figures.items()}
    assert "plain-cnn" in legends["pareto"]
    assert "plain-cnn" in legends["curves"]
    (front,) = [line for line in figures["pareto"].axes[0].lines if line.get_label() == "Pareto front"]
    assert max(np.asarray(front.get_ydata())) < 35
    rows = {name: [text.get_text() for text in figures[name].axes[0].get_yticklabels()] for name in ("forest", "seeds")}
    assert "plain-cnn" in rows["seeds"]
    assert "plain-cnn" not in rows["forest"]


def test_one_seed_has_no_strips_and_its_forest_shows_images(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeds=(0,)))
    figures = draw_figures(results)
    assert [figure.name for figure in figures] == ["forest", "pareto", "curves"]
    assert "no interval over seeds" in figures[0].caption
    labels = [text.get_text() for text in figures[0].figure.legends[0].get_texts()]
    assert labels == ["margin, ±0.05 dB", "one image (one seed: no interval over seeds)"]


def test_the_interaction_averages_over_other_factors() -> None:
    levels = {
        "base": {"sharing": "all", "ratio": "1/4", "esa": "on"},
        "b": {"sharing": "all", "ratio": "1/4", "esa": "off"},
        "c": {"sharing": "none", "ratio": "1/4", "esa": "on"},
        "d": {"sharing": "none", "ratio": "1/8", "esa": "on"},
    }
    rows = pd.DataFrame(
        {"variant": ["bicubic", "base", "b", "c", "d", "control"], "delta": [-3.0, 0.0, 0.2, 0.3, -0.4, 9.0]}
    )
    table = interaction_table(rows, levels, ("sharing", "ratio"))
    assert (list(table.index), list(table.columns)) == (["all", "none"], ["1/8", "1/4"])
    np.testing.assert_allclose(table.to_numpy(), [[np.nan, 0.1], [-0.4, 0.3]])


@pytest.mark.parametrize("levels", [{}, LEVELS])
def test_without_two_crossed_factors_there_is_no_interaction(levels: dict[str, dict[str, str]], tmp_path: Path) -> None:
    factors = ["sharing"] if levels else ["sharing", "ratio"]
    assert "interaction" not in draw_names(
        load_results(make_study(tmp_path, seeds=(0,), factors=factors, levels=levels))
    )


def test_a_control_of_matched_size_is_not_in_the_interaction(tmp_path: Path) -> None:
    """It has the levels of its variant, at another size."""
    folder = make_study(tmp_path, factors=["sharing", "ratio"], levels=LEVELS, matched={"100%-meso": "no_sharing"})
    results = load_results(folder)
    (figure,) = [figure for figure in draw_figures(results) if figure.name == "interaction"]
    assert [text.get_text() for text in figure.figure.axes[0].texts] == ["–", "+0.000", "–", "+0.750"]


def test_the_change_by_frequency_is_that_of_the_errors_paired_by_seed(tmp_path: Path) -> None:
    """The third band has twice the error of the base in seed 0, and four times in seed 1."""

    def bands(variant: str, seed: int, _: float) -> dict[str, list[float]]:
        powers = [3.0] * 16
        powers[2] *= 1 if variant == "base" else 2 << seed
        return {"error_by_band": powers, "image_by_band": [1.0] * 16}

    results = load_results(make_study(tmp_path, seeds=(0, 1), more=bands))
    expected = np.zeros((2, 16))
    expected[:, 2] = -10 * np.log10([2, 4])
    np.testing.assert_allclose(band_changes(results, "set_5", "no_sharing"), expected, atol=1e-12)
    (figure,) = [figure for figure in draw_figures(results) if figure.name == "frequency"]
    (line,) = [line for line in figure.figure.axes[0].lines if line.get_label() == "no_sharing"]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), expected.mean(axis=0), atol=1e-12)
    assert "95 % interval over seeds" in figure.caption
