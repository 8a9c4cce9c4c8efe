"""The files of a report: all of them, the same bytes each time, and nothing trained."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paths import ROOT
from PIL import Image
from written_study import FINISHED, PSNR, make_study, seeded

from asid.ablation.report.results import ReportError, load_results
from asid.ablation.report.sentences import conclude, describe, explain
from asid.ablation.report.write import to_json, write_report
from asid.files import RECORD
from asid.runs.record import read_record, write_record

pytestmark = pytest.mark.process

TABLES = {f"comparison.{ending}" for ending in ("csv", "json", "md", "tex")}
"""What does not depend on the machine."""
FILES = (
    TABLES
    | {"scores.csv", "timings.csv", "report.html"}
    | {
        f"figures/{name}.{ending}"
        for name in ("forest", "pareto", "seeds", "curves", "crops")
        for ending in ("png", "svg")
    }
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with its report, written once."""
    folder = make_study(tmp_path_factory.mktemp("written"))
    files = write_report(load_results(folder))
    assert {path.relative_to(folder).as_posix() for path in files} == FILES
    return folder


def contents(folder: Path, names: set[str] = FILES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def test_the_files_hold_the_numbers(written: Path) -> None:
    for name, content in contents(written).items():
        assert len(content) > 100, name
        if name.endswith(".png"):
            with Image.open(written / name) as image:
                assert min(image.size) > 200
                assert np.asarray(image.convert("L")).std() > 1, f"{name} is empty"
    read = pd.read_csv(written / "comparison.csv")
    expected = load_results(written).table
    assert list(read.columns) == list(expected.columns)
    for column in ("psnr", "ssim", "delta", "low", "high", "p_holm", "macs"):
        np.testing.assert_allclose(read[column].astype(float), expected[column].astype(float))
    assert len(pd.read_csv(written / "scores.csv")) == len(load_results(written).scores) == 14
    assert len(pd.read_csv(written / "timings.csv")) == 6


def test_another_process_writes_the_same_bytes_where_the_study_was_moved_and_needs_no_torch(
    written: Path, tmp_path: Path
) -> None:
    """Nothing is trained: the module that could is not even loaded. The photographs stay; other paths are relative."""
    folder = tmp_path / "another parent" / "renamed"
    shutil.copytree(written, folder, ignore=shutil.ignore_patterns("comparison.*", "*.csv", "*.html", "figures"))
    code = (
        "import sys\n"
        "from asid.ablation.report.results import load_results\n"
        "from asid.ablation.report.write import write_report\n"
        f"write_report(load_results({str(folder)!r}))\n"
        "print({'torch', 'lightning', 'asid.training.train', 'asid.model.network'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
    moved, first = contents(folder), contents(written)
    assert b"asid report results/renamed" in moved["report.html"]
    moved["report.html"] = moved["report.html"].replace(b"results/renamed", b"results/results")
    assert [name for name in FILES if moved[name] != first[name]] == []
    assert str(written) not in first["report.html"].decode()


def test_the_tables_are_the_same_on_another_machine_and_the_times_are_not(tmp_path: Path, written: Path) -> None:
    first = contents(written)
    folder = shutil.copytree(written, tmp_path / "results")
    elsewhere = {"machine": "another", "cpus": 3, "finished": "2031-01-01T00:00:00+00:00"}
    for path in (folder / "runs").rglob(RECORD):
        record = read_record(path.parent)
        seconds = {"train": 60.0, "evaluate": 3.0, "upscale": 0.5}
        write_record(record.override(seconds=seconds, provenance={**record.provenance, **elsewhere}), path.parent)
    write_report(load_results(folder))
    second = contents(folder)
    assert {name for name in FILES if second[name] != first[name]} == {
        "timings.csv",
        "report.html",
        "figures/pareto.png",
        "figures/pareto.svg",
    }
    assert "time in the network" in second["figures/pareto.svg"].decode()
    assert "time in the network" not in first["figures/pareto.svg"].decode()
    assert FINISHED not in b"".join(first[name] for name in TABLES).decode()


def test_a_study_without_a_finished_run_is_reported(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=tuple((variant, seed) for variant in PSNR for seed in (0, 1)))
    with pytest.raises(ReportError, match="no finished run"):
        write_report(load_results(folder))
    assert not (folder / "comparison.md").exists()


def test_without_base_and_photographs_the_rest_is_written_and_shown(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("base", 0), ("base", 1)))
    shutil.rmtree(tmp_path / "set_5")
    write_report(load_results(folder))
    text = (folder / "comparison.md").read_text()
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert figures == [f"figures/{name}.png" for name in ("pareto", "seeds", "curves")]
    assert {path.name for path in (folder / "figures").glob("*.png")} == {Path(name).name for name in figures}
    assert f"- No crops: no folder of images at {tmp_path / 'set_5'}" in text
    html = (folder / "report.html").read_text()
    assert "No crops: no folder of images" in html
    assert "No variant can be compared with base" in html


# JSON


def test_the_json_holds_table_statistics_and_provenance(tmp_path: Path) -> None:
    dropped = [{"variant": "x", "rule": "esa: false"}]
    folder = make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1]}), matched={"more": "base"}, dropped=dropped)
    results = load_results(folder)
    table = results.table
    content = json.loads(to_json(results), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    read = pd.DataFrame(content["table"])
    assert list(read.columns) == list(table.columns)
    for name in table.columns:
        expected = [None if pd.isna(value) else value for value in table[name]]
        assert [None if pd.isna(value) else value for value in read[name]] == expected, name
    result = content["statistics"]["set_5"]
    assert result["comparisons"]["more"]["seeds"]["mean"] == pytest.approx(0.4 / 3)
    assert result["comparisons"]["more"]["verdict"] == "undecided"
    assert result["noise_floor"] == pytest.approx(np.std([0.01, -0.02, 0.03], ddof=1))
    assert (result["images"], result["seeds"]) == (["ant", "bee"], [0, 1, 2])
    assert content["conclusions"] == conclude(results)
    assert content["explanations"] == explain(results)
    assert content["description"] == describe(results)
    assert (content["matched"], content["dropped"]) == ({"more": "base"}, dropped)
    assert (content["margin"], content["level"], content["base"]) == (0.05, 0.95, "base")
    assert content["provenance"] == {"commit": ["0123456789ab"], "asid": ["0.1.0"], "torch": ["2.6.0"]}
    assert [run["run_id"] for run in content["runs"]] == [run.run_id for run in results.plan.runs]
    assert content["data"][f"evaluate {tmp_path / 'set_5'}"]["images"] == ["ant.png", "bee.png"]


def test_infinite_scores_are_valid_json(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, {"base": {0: {"ant": np.inf, "bee": 30.0}}}))
    content = json.loads(to_json(results), parse_constant=lambda name: pytest.fail(name))
    assert content["table"][1]["psnr"] == "inf"


def test_the_committed_study_reports_itself_byte_for_byte_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its SR images are not committed: the crops that were drawn from them stay."""
    reference = ROOT / "results" / "reference" / "quick"
    folder = shutil.copytree(reference, tmp_path / "quick")
    monkeypatch.chdir(tmp_path)
    write_report(load_results(folder))
    assert contents(folder) == contents(reference)
    assert str(tmp_path) not in (folder / "report.html").read_text()


def test_crops_of_other_scores_are_not_kept(tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asid.ablation.report.write.draw_figures", lambda _: [])  # the other figures take seconds
    folder = shutil.copytree(written, tmp_path / "results")
    shutil.rmtree(folder / "runs" / "base-0" / "images")
    write_report(load_results(folder))
    assert contents(folder)["figures/crops.png"] == contents(written)["figures/crops.png"]
    (folder / "scores.csv").write_text("")
    write_report(load_results(folder))
    assert not list((folder / "figures").glob("crops.*"))
    assert "No crops: no image at runs/base-0/images" in (folder / "comparison.md").read_text()
