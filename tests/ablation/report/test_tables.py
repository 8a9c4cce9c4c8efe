"""The forms of a comparison: digits, bold, marks and escapes, and the sentences that go with them."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from written_study import PROTOCOL, QUESTION, make_study, seeded

from asid.ablation.report.results import Study, comparison, load_results, statistics
from asid.ablation.report.tables import (
    best_cells,
    conclude,
    describe,
    explain,
    show_interval,
    show_p,
    to_latex,
    to_markdown,
    to_text,
)
from asid.files import RECORD

CHANGES = {
    "more": [0.10, 0.11, 0.09, 0.10, 0.12],
    "less": [-0.2, -0.21, -0.19, -0.2, -0.2],
    "same": [0.01, -0.01, 0.0, 0.01, -0.01],
    "noisy": [0.2, -0.2, 0.1, -0.1, 0.1],
}


def rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in table.to_dict("records")}


@pytest.fixture
def five(tmp_path: Path) -> Study:
    """A study of five seeds with each verdict."""
    return load_results(make_study(tmp_path, seeded(CHANGES)))


# Cells


def test_numbers_are_shown_with_their_digits(tmp_path: Path) -> None:
    shown = rows(to_text(comparison(load_results(make_study(tmp_path)))))
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


def test_the_interval_is_shown_by_its_ends_or_by_half_its_width(five: Study) -> None:
    table = comparison(five)
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


def test_the_best_trained_value_of_each_column_is_found(tmp_path: Path) -> None:
    table = comparison(load_results(make_study(tmp_path)))
    names = list(table["variant"])
    assert {(names[index], column) for index, column in best_cells(table)} == {
        ("base", "params"),
        ("base", "MACs (G)"),
        ("no_sharing", "PSNR (dB)"),
        ("no_sharing", "SSIM"),
        ("no_sharing", "Δ dB"),
    }


def test_equal_digits_are_equally_good_and_each_set_has_its_best(tmp_path: Path) -> None:
    psnr = seeded({"little": [0.001, 0.001], "less": [-0.2, -0.2]})
    table = comparison(load_results(make_study(tmp_path, psnr, sets=("set_5", "set_14"))))
    found = {
        (table["data"][index], table["variant"][index]) for index, column in best_cells(table) if column == "PSNR (dB)"
    }
    assert found == {(data, name) for data in ("set_5", "set_14") for name in ("base", "little")}
    assert {table["variant"][index] for index, column in best_cells(table) if column == "Δ dB"} == {"little"}


def test_a_reference_is_never_the_best(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, {"base": {0: {"ant": 20.0, "bee": 20.0}}}))
    table = comparison(study)
    assert {table["variant"][index] for index, _ in best_cells(table)} == {"base"}


# Sentences


def test_verdicts_and_noise_are_told(five: Study) -> None:
    first, noise, detectable = conclude(five, statistics(five))[1:]
    assert first == (
        "Better than base: more (+0.104 dB). Worse than base: less (−0.200 dB). Equivalent to base within ±0.05 dB: same (+0.000 dB). "
        "Undecided, the change may be noise: noisy (+0.020 dB)."
    )
    assert noise == "Noise floor: base varies by 0.019 dB from seed to seed (SD of 5 trainings)."
    low, high = (statistics(five)["set_5"].comparisons[name].detectable for name in ("less", "noisy"))
    assert (
        detectable
        == f"Smallest detectable difference, with a power of 80 % before adjustment: {low:.3f} dB (less) to {high:.3f} dB (noisy)."
    )


@pytest.mark.parametrize(("seeds", "smallest"), [(3, "0.25"), (5, "0.0625")])
def test_too_few_seeds_for_the_exact_test_are_told(seeds: int, smallest: str, tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1, 0.2, 0.1][:seeds]})))
    (sentence,) = [sentence for sentence in conclude(study, statistics(study)) if "sign-flip" in sentence]
    assert f"{seeds} seeds are few" in sentence
    assert f"cannot go below p = {smallest} " in sentence
    assert "6 seeds can reach 0.05" in sentence


def test_enough_seeds_for_the_exact_test_are_not_told_to_be_few(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1, 0.2, 0.1, 0.1]})))
    assert not any("few" in sentence for sentence in conclude(study, statistics(study)))


def test_one_seed_is_told_to_be_noise(tmp_path: Path) -> None:
    one, two = (load_results(make_study(tmp_path / str(len(seeds)), seeds=seeds)) for seeds in ((1,), (0, 1)))
    assert any("One seed: no interval and no test" in sentence for sentence in conclude(one, statistics(one)))
    assert explain(one, statistics(one)) == []
    assert not any("One seed" in sentence for sentence in conclude(two, statistics(two)))


def test_a_variant_with_one_seed_of_several_is_told(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, missing=(("no_sharing", 0),)))
    assert any(
        "One seed in common with base, no verdict: no_sharing (+0.750 dB)." in s
        for s in conclude(study, statistics(study))
    )


def test_the_method_is_told_with_its_family_and_margin(five: Study) -> None:
    text = " ".join(explain(five, statistics(five)))
    for words in (
        "paired by seed",
        "95 %, Student's t over seeds",
        "Holm-adjusted for 4 variants",
        "within ±0.05 dB",
        "new trainings",
    ):
        assert words in text


def test_several_sets_are_told_apart(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, seeded(CHANGES), sets=("set_5", "set_14")))
    sentences = conclude(study, statistics(study))
    assert [sum(sentence.startswith(f"{data}: ") for sentence in sentences) for data in ("set_5", "set_14")] == [3, 3]


def test_an_image_left_out_is_named(tmp_path: Path) -> None:
    psnr = seeded({"more": [0.1, 0.2]})
    psnr["more"][0]["bee"] = float("inf")
    study = load_results(make_study(tmp_path, psnr))
    assert any("left out of changes and tests: bee." in sentence for sentence in conclude(study, statistics(study)))


def test_the_sentences_name_data_steps_and_seeds(tmp_path: Path) -> None:
    text = " ".join(describe(load_results(make_study(tmp_path))))
    for words in ("×2", PROTOCOL, "set_5 (2 images, ", "for 70 steps", "seeds 0, 1", "1280×720", "0123456789ab"):
        assert words in text


def test_runs_without_a_record_are_listed(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("no_sharing", 1),))
    (folder / "runs" / "base-1" / RECORD).unlink()
    assert "Without a record, not in the table: base seed 1, no_sharing seed 1." in describe(load_results(folder))


def test_controls_dropped_cells_and_the_profile_are_listed(tmp_path: Path) -> None:
    dropped = [
        {"variant": "x", "rule": "esa: false"},
        {"variant": "y", "rule": "esa: false"},
        {"variant": "z", "rule": "ratio 0"},
    ]
    folder = make_study(tmp_path, matched={"100%-meso": "no_sharing"}, dropped=dropped, profile="laptop")
    sentences = describe(load_results(folder))
    assert "Profile: laptop." in sentences
    assert "Controls of matched size, the same change at the size of base: 100%-meso for no_sharing." in sentences
    assert "Dropped from the grid by the rule esa: false: x, y." in sentences
    assert "Dropped from the grid by the rule ratio 0: z." in sentences


# Markdown


def test_the_markdown_table_has_a_line_for_each_row(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path))
    found = statistics(study)
    text = to_markdown(study, comparison(study), found, ["forest"], ["No crops: gone."])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    assert QUESTION in text
    for sentence in [*conclude(study, found), *explain(study, found), *describe(study), "No crops: gone."]:
        assert f"- {sentence}\n" in text
    assert "![forest](figures/forest.png)" in text


# LaTeX


def latex(study: Study) -> str:
    """The table without its comments."""
    lines = to_latex(study, comparison(study)).splitlines()
    assert "booktabs" in lines[0]
    return "\n".join(line for line in lines if not line.startswith("%"))


def cells(text: str) -> dict[str, list[str]]:
    """The cells of each row by its variant."""
    found = {}
    for line in text.splitlines():
        if line.endswith(r"\\"):
            first, *others = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
            found[first.strip()] = [cell.strip() for cell in others]
    return found


@pytest.mark.parametrize("sets", [("set_5",), ("set_5", "set_14")])
def test_the_latex_table_is_well_formed(sets: tuple[str, ...], tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path, sets=sets)))
    assert text.count(r"\midrule") == len(sets)
    for rule in (r"\toprule", r"\bottomrule"):
        assert text.count(rule) == 1
    opened = re.findall(r"\\begin\{([\w*]+)\}", text)
    assert opened == ["table*", "tabular"]
    assert re.findall(r"\\end\{([\w*]+)\}", text) == opened[::-1]
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    outside = re.sub(r"\\label\{.*?\}", "", text)
    assert re.findall(r"(?<!\\)[_%#&^](?! )", outside) == []
    assert r"no\_sharing" in text
    assert r"100\%-meso" in text
    assert r"50 \% of\_that do \& why?" in text
    assert text.isascii(), "letters that plain LaTeX does not know"


def test_letters_that_latex_reads_otherwise_are_escaped(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, question=r"$ { } # ~ ^ \ < > × ± Δ – %"))
    expected = (
        r"\$ \{ \} \# \textasciitilde{} \textasciicircum{} \textbackslash{} $<$ $>$ $\times$ $\pm$ $\Delta$ -- \%"
    )
    assert rf"\caption{{{expected} Scale" in latex(study)


def test_the_latex_table_has_as_many_cells_as_columns(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path)))
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    found = cells(text)
    assert len(found) == 1 + 4
    assert {len(others) for others in found.values()} == {len(columns) - 1}


def test_the_best_values_are_bold_in_latex(tmp_path: Path) -> None:
    found = cells(latex(load_results(make_study(tmp_path))))
    assert found["base"][:2] == [r"\textbf{56\,164}", r"\textbf{5.62}"]
    assert found[r"no\_sharing"][2:4] == [r"\textbf{30.75}", r"\textbf{0.9100}"]
    assert found[r"no\_sharing"][4].startswith(r"$\mathbf{+0.750}$")
    assert sum(cell.count("bf{") for others in found.values() for cell in others) == 5


def test_changes_that_may_be_noise_are_marked_and_the_marks_explained(five: Study) -> None:
    text = latex(five)
    found = cells(text)
    marks = {
        name: re.findall(r"\\textsuperscript\{(.*?)\}", others[4]) for name, others in found.items() if name in CHANGES
    }
    assert marks == {"more": [], "less": [], "same": ["eq"], "noisy": ["ns"]}
    assert found["more"][4].startswith(r"$\mathbf{+0.104}$ $\pm$ 0.0")
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert r"\textsuperscript{ns}: not significant" in caption
    assert r"\textsuperscript{eq}: not significant, and equivalent within $\pm$0.05~dB" in caption
    assert r"\dag" not in caption
    assert r"$\pm$ half of the 95~\% interval" in caption


def test_one_seed_is_marked_in_latex(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path, seeds=(0,))))
    assert r"$\mathbf{+0.750}$\rlap{\textsuperscript{\dag}}" in text
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert r"\textsuperscript{\dag}: one seed, no test" in caption
    assert "interval" not in caption
    assert "Holm" not in caption


def test_each_evaluation_set_is_named_in_latex(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path, sets=("set_5", "set_14"))))
    assert [line for line in text.splitlines() if "multicolumn" in line] == [
        rf"\multicolumn{{8}}{{l}}{{\emph{{{name}}}}} \\" for name in (r"set\_5", r"set\_14")
    ]
