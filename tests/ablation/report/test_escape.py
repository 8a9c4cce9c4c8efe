"""Names from strangers in tables: shown, not obeyed."""

from pathlib import Path

import pandas as pd
import pytest
import written_study
from written_study import PSNR, make_study

from asid.ablation.report.escape import markdown, tex_comment, to_csv
from asid.ablation.report.latex import to_latex
from asid.ablation.report.markdown import to_markdown
from asid.ablation.report.results import load_results


def test_markdown_has_no_tags_and_no_broken_cells() -> None:
    assert markdown("<script>a|b</script> ![x](http://y)") == r"&lt;script>a\|b&lt;/script> !\[x](http://y)"
    assert markdown("p <0.001, [+0.010, +0.020]") == "p <0.001, [+0.010, +0.020]"


def test_a_spreadsheet_computes_nothing() -> None:
    table = pd.DataFrame({"image": ["=HYPERLINK(1)", "@x", "a=b"], "psnr": [-1.5, 2.0, 3.0]})
    assert to_csv(table).splitlines() == ["image,psnr", "'=HYPERLINK(1),-1.5", "'@x,2.0", "a=b,3.0"]


def test_a_comment_ends_with_its_line() -> None:
    assert tex_comment("a\n\\input{x}\rb\u2028c") == "a \\input{x} b c"


def test_the_report_of_a_study_with_hostile_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = dict.fromkeys(PSNR, "<img src=x>\n\\input{/etc/passwd}")
    monkeypatch.setattr(written_study, "CHANGES", changes)
    results = load_results(make_study(tmp_path))
    assert "<img" not in to_markdown(results)
    assert [line for line in to_latex(results).splitlines() if line.lstrip().startswith("\\input")] == []
