"""The comparison as LaTeX: bold, marks and escapes."""

import re
from pathlib import Path

import pytest
from written_study import make_study, seeded

from asid.ablation.report.latex import to_latex
from asid.ablation.report.results import StudyResults, load_results

CHANGES = {
    "more": [0.10, 0.11, 0.09, 0.10, 0.12],
    "less": [-0.2, -0.21, -0.19, -0.2, -0.2],
    "same": [0.01, -0.01, 0.0, 0.01, -0.01],
    "noisy": [0.2, -0.2, 0.1, -0.1, 0.1],
}


@pytest.fixture
def five(tmp_path: Path) -> StudyResults:
    """A study of five seeds with each verdict."""
    return load_results(make_study(tmp_path, seeded(CHANGES)))


def latex(results: StudyResults) -> str:
    """The table without its comments."""
    lines = to_latex(results).splitlines()
    assert "booktabs" in lines[0]
    return "\n".join(line for line in lines if not line.startswith("%"))


def cells(text: str) -> dict[str, list[str]]:
    """The cells of each row by its variant."""
    rows = {}
    for line in text.splitlines():
        if line.endswith(r"\\"):
            first, *others = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
            rows[first.strip()] = [cell.strip() for cell in others]
    return rows


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


def test_letters_with_a_meaning_in_latex_are_escaped(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, question=r"$ { } # ~ ^ \ < > × ± Δ – %"))
    expected = (
        r"\$ \{ \} \# \textasciitilde{} \textasciicircum{} \textbackslash{} $<$ $>$ $\times$ $\pm$ $\Delta$ -- \%"
    )
    assert rf"\caption{{{expected} Scale" in latex(results)


def test_the_latex_table_has_as_many_cells_as_columns(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path)))
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    rows = cells(text)
    assert len(rows) == 1 + 4
    assert {len(others) for others in rows.values()} == {len(columns) - 1}


def test_the_best_values_are_bold_in_latex(tmp_path: Path) -> None:
    rows = cells(latex(load_results(make_study(tmp_path))))
    assert rows["base"][:2] == [r"\textbf{56\,164}", r"\textbf{5.62}"]
    assert rows[r"no\_sharing"][2:4] == [r"\textbf{30.75}", "0.9100"]
    assert rows[r"no\_sharing"][5].startswith(r"$\mathbf{+0.750}$")
    assert sum(cell.count("bf{") for others in rows.values() for cell in others) == 4


def test_changes_that_may_be_noise_are_marked_and_the_marks_explained(five: StudyResults) -> None:
    text = latex(five)
    rows = cells(text)
    marks = {
        name: re.findall(r"\\textsuperscript\{(.*?)\}", others[5]) for name, others in rows.items() if name in CHANGES
    }
    assert marks == {"more": [], "less": [], "same": ["eq"], "noisy": ["ns"]}
    assert rows["more"][5].startswith(r"$\mathbf{+0.104}$ $\pm$ 0.0")
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert r"\textsuperscript{ns}: not significant" in caption
    assert r"\textsuperscript{eq}: not significant, and equivalent within $\pm$0.05~dB" in caption
    assert r"\dag" not in caption
    assert r"$\pm$ half of the 95~\% interval" in caption


def test_one_seed_is_marked_in_latex(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path, seeds=(0,))))
    assert r"$+0.750$\rlap{\textsuperscript{\dag}}" in text
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert r"\textsuperscript{\dag}: one seed, no test" in caption
    assert "interval" not in caption
    assert "Holm" not in caption


def test_each_evaluation_set_is_named_in_latex(tmp_path: Path) -> None:
    text = latex(load_results(make_study(tmp_path, sets=("set_5", "set_14"))))
    assert [line for line in text.splitlines() if "multicolumn" in line] == [
        rf"\multicolumn{{9}}{{l}}{{\emph{{{name}}}}} \\" for name in (r"set\_5", r"set\_14")
    ]
