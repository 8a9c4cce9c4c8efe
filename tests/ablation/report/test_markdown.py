"""The comparison as Markdown."""

from pathlib import Path

from written_study import QUESTION, make_study

from asid.ablation.report.markdown import to_markdown
from asid.ablation.report.results import load_results
from asid.ablation.report.sentences import conclude, describe, explain


def test_the_markdown_table_has_a_line_for_each_row(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    text = to_markdown(results, ["forest"], ["No crops: gone."])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    assert QUESTION in text
    for sentence in [*conclude(results), *explain(results), *describe(results), "No crops: gone."]:
        assert f"- {sentence}\n" in text
    assert "![forest](figures/forest.png)" in text
