"""``asid report --zip``: what is sent is enough to make the report again."""

import zipfile
from pathlib import Path

from command_line import Call
from written_study import make_study

from asid.ablation.report.results import load_results


def test_a_packed_report_is_a_study_of_its_own(tmp_path: Path, cli: Call) -> None:
    folder = make_study(tmp_path)
    ended = cli("report", folder, "--zip")
    file = folder.with_name("results.zip")
    assert f"Packed: {file}" in ended.words
    before = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "elsewhere")
    for name in ("report.html", "comparison.tex", "scores.csv", "study.json", "runs/base-0/record.json"):
        assert f"results/{name}" in names
    assert any(name.startswith("results/figures/") for name in names)
    assert not any("images" in name for name in names)
    assert load_results(tmp_path / "elsewhere" / "results").table.equals(load_results(folder).table)
    cli("report", folder, "--zip")
    assert file.read_bytes() == before, "the same report is the same bytes"
