"""The page over all studies: each with its question, verdicts, size and report; studies without results as such."""

import re
from pathlib import Path

import pytest
from command_line import run_command
from written_study import make_study

from asid.ablation.report.index import study_lines, write_index
from asid.ablation.report.results import ReportError, load_results
from asid.files import STUDY

pytestmark = pytest.mark.process


def test_each_study_is_there_with_its_verdicts_and_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = tmp_path / "lab"
    study = make_study(lab, question="Is <b>it</b> better?").rename(lab / "my study")
    other = make_study(lab, missing=(("base", 0),)).rename(lab / "other")
    (study / "report.html").write_text("")
    (lab / "broken").mkdir()
    (lab / "broken" / STUDY).write_text("{")

    ended = run_command(monkeypatch, capsys, "results", "index", lab)
    assert (ended.status, ended.out) == (0, f"Written: {lab / 'index.html'}\n")
    page = (lab / "index.html").read_text()
    assert re.findall(r'href="([^"]*)"', page) == ["my%20study/report.html"]
    assert "Is &lt;b&gt;it&lt;/b&gt; better?" in page
    assert "<script" not in page

    lines = {line.name: line for line in study_lines(lab)}
    assert set(lines) == {"my study", "other", "broken"}
    results = load_results(study)
    assert list(lines["my study"].verdicts) == results.sets
    for data, verdicts in lines["my study"].verdicts.items():
        table = results.rows(data).set_index("variant")
        assert verdicts
        for variant, verdict, change in verdicts:
            assert verdict == table.loc[variant, "verdict"]
            assert float(change.replace("−", "-")) == pytest.approx(table.loc[variant, "delta"], abs=0.0005)
    total = len(load_results(other).plan.runs)
    assert f"{total - 1} of {total} runs" in lines["other"].size
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", lines["other"].finished)
    assert "is damaged" in lines["broken"].problem
    before = page
    assert write_index(lab).read_text() == before


def test_a_folder_without_studies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no study in"):
        write_index(tmp_path)
