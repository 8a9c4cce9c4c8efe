"""The comparison as text: digits, intervals, and the best values."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from written_study import make_study, seeded

from asid.ablation.report.results import StudyResults, load_results
from asid.ablation.report.sentences import explain
from asid.ablation.report.tables import best_values, show_interval, show_p, to_text

CHANGES = {
    "more": [0.10, 0.11, 0.09, 0.10, 0.12],
    "less": [-0.2, -0.21, -0.19, -0.2, -0.2],
    "same": [0.01, -0.01, 0.0, 0.01, -0.01],
    "noisy": [0.2, -0.2, 0.1, -0.1, 0.1],
}


def rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in table.to_dict("records")}


@pytest.fixture
def five(tmp_path: Path) -> StudyResults:
    """A study of five seeds with each verdict."""
    return load_results(make_study(tmp_path, seeded(CHANGES)))


def test_numbers_are_shown_with_their_digits(tmp_path: Path) -> None:
    shown = rows(to_text(load_results(make_study(tmp_path)).table))
    assert shown["no_sharing"]["params"] == "60 964"
    assert shown["100%-meso"]["params"] == "1 056 164"
    assert shown["no_sharing"]["PSNR (dB)"] == "30.75"
    assert shown["no_sharing"]["SSIM"] == "0.9100"
    assert shown["no_sharing"]["Δ dB"] == "+0.750"
    assert shown["100%-meso"]["Δ dB"] == "-0.500"
    assert (shown["bicubic"]["params"], shown["bicubic"]["change"], shown["base"]["change"]) == (
        "–",
        "no training",
        "–",
    )


def test_map_use_is_shown_and_a_dash_where_it_is_unknown(tmp_path: Path) -> None:
    known = load_results(make_study(tmp_path / "known", map_use={"set_5": 0.1234})).table
    assert {name: row["map use (dB)"] for name, row in rows(to_text(known)).items()} == {
        "bicubic": "–",
        "base": "0.123",
        "no_sharing": "0.123",
        "100%-meso": "0.123",
    }
    unknown = load_results(make_study(tmp_path / "unknown")).table
    assert {row["map use (dB)"] for row in rows(to_text(unknown)).values()} == {"–"}


def test_the_interval_is_shown_by_its_ends_or_by_half_its_width(five: StudyResults) -> None:
    table = five.table
    more = rows(table)["more"]
    assert rows(to_text(table))["more"]["95 % interval"] == f"[{more['low']:+.3f}, {more['high']:+.3f}]"
    half = rows(to_text(table, compact=True))["more"]["± 95 %"]
    assert float(half) == pytest.approx(more["high"] - more["delta"], abs=5e-4)
    assert rows(to_text(table))["bicubic"]["95 % interval"] == "–"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0314, "0.031"), (0.001, "0.001"), (0.00099, "<0.001"), (0.0, "<0.001"), (1.0, "1.000"), (float("nan"), "–")],
)
def test_p_values_have_three_decimals(p: float, text: str) -> None:
    assert show_p(p) == text


def test_what_rounds_to_zero_has_no_minus() -> None:
    assert show_interval(-0.0004, 0.0004) == "[+0.000, +0.000]"


def test_the_best_trained_value_of_each_column(tmp_path: Path) -> None:
    table = load_results(make_study(tmp_path)).table
    names = list(table["variant"])
    assert {(names[index], column) for index, column in best_values(table)} == {
        ("base", "params"),
        ("base", "MACs (G)"),
        ("no_sharing", "PSNR (dB)"),
        ("no_sharing", "Δ dB"),
    }


def test_equal_digits_are_equally_good_and_each_set_has_its_best(tmp_path: Path) -> None:
    psnr = seeded({"little": [0.001, 0.001], "tiny": [0.0011, 0.0011], "less": [-0.2, -0.2]})
    table = load_results(make_study(tmp_path, psnr, sets=("set_5", "set_14"))).table
    best = {
        (table["data"][index], table["variant"][index]) for index, column in best_values(table) if column == "PSNR (dB)"
    }
    assert best == {(data, name) for data in ("set_5", "set_14") for name in ("little", "tiny")}
    assert {table["variant"][index] for index, column in best_values(table) if column == "Δ dB"} == {"little", "tiny"}


@pytest.mark.parametrize(
    ("changes", "bold"),
    [
        ({"noisy": [0.2, -0.2, 0.3], "less": [-0.2, -0.21, -0.2]}, set()),
        ({"less": [-0.2, -0.21, -0.2], "least": [-0.5, -0.51, -0.5]}, {"base"}),
    ],
)
def test_only_what_is_significant_is_the_best(changes: dict[str, list[float]], bold: set[str], tmp_path: Path) -> None:
    table = load_results(make_study(tmp_path, seeded(changes))).table
    best = {(table["variant"][index], column) for index, column in best_values(table)}
    assert {name for name, column in best if column in ("PSNR (dB)", "Δ dB")} == bold


def test_a_mean_over_other_seeds_than_the_base_is_marked(tmp_path: Path) -> None:
    """Of two seeds one variant lacks the second: its PSNR and that of the base differ by more than their change."""
    results = load_results(make_study(tmp_path, missing=(("no_sharing", 1),)))
    shown = rows(to_text(results.table))
    assert [name for name, row in shown.items() if row["PSNR (dB)"].endswith("*")] == ["no_sharing"]
    assert shown["no_sharing"]["Δ dB"] == "+0.750"
    assert any(sentence.startswith("*") for sentence in explain(results))
    whole = load_results(make_study(tmp_path / "whole"))
    assert not any(sentence.startswith("*") for sentence in explain(whole))


def test_a_reference_is_never_the_best(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, {"base": {0: {"ant": 20.0, "bee": 20.0}}}))
    table = results.table
    assert {table["variant"][index] for index, _ in best_values(table)} == {"base"}
