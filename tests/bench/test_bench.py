"""``asid bench``: the JSON file, and the page that is made of it alone."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import Call

from asid.ablation.report.results import load_results
from asid.bench.bench import SECTIONS, add_earlier
from asid.bench.child import run_work
from asid.bench.page import to_markdown, write_page
from asid.bench.processes import busy_loops
from asid.bench.scale import write_records

MACHINE = {
    "cpu": "X",
    "cores": 2,
    "capability": "AVX2",
    "memory_gb": 8.0,
    "machine": "Linux x86_64",
    "libc": "glibc 2.36",
}
MACHINE |= {"python": "3.11", "torch": "2.6", "asid": "0.1.0", "commit": "abc", "matmul_gflops": {"1": 50.0, "2": 90.0}}


def bench_of(sections: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What :func:`asid.bench.bench.run_bench` returns."""
    measured = {
        name: {"rows": rows, "seconds": 1.0, "load": [0.5, 0.6], "commit": "abc"} for name, rows in sections.items()
    }
    about = {"format": 1, "quick": False, "against": "plain.py", "machine": MACHINE, "seconds": 60.0}
    return about | {"sections": measured} | changes


STEP = {"network": "asid", "batch": "8 × 32×32", "threads": 1, "ms": 400.0, "ms low": 390.0, "ms high": 410.0}
STEP |= {"plain ms": 600.0, "plain / asid": 1.5, "plain / asid low": 1.4, "plain / asid high": 1.6}
GROWTH = {"grows": "batch", "sizes": [1, 2], "ms": [1.0, 2.0], "exponent of time": 1.0, "exponent of MACs": 1.0}


@pytest.mark.process
def test_a_quick_bench_writes_its_measurements_and_the_page(cli: Call, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    assert cli("bench", "--quick", "--only", "data", "--write", page).status == 0
    measured = json.loads(page.with_suffix(".json").read_text())
    assert {name: type(value) for name, value in measured.items()} == {
        "format": int,
        "quick": bool,
        "against": str,
        "machine": dict,
        "seconds": float,
        "sections": dict,
    }
    assert measured["machine"].keys() >= {"cpu", "capability", "cores", "torch", "python", "commit", "matmul_gflops"}
    assert list(measured["sections"]) == ["data"]
    section = measured["sections"]["data"]
    assert section["seconds"] > 0
    assert len(section["load"]) == 2
    (row,) = section["rows"]
    assert row["empty / filled low"] <= row["empty / filled"] <= row["empty / filled high"]
    before = page.read_text()
    assert "quick" in before
    page.unlink()
    assert cli("bench", "--again", "--write", page).status == 0  # the page needs nothing but the file
    assert page.read_text() == before


def test_sections_are_measured_again_alone() -> None:
    earlier = bench_of({"step": [STEP], "growth": [GROWTH]})
    now = bench_of({"start": [], "step": []})
    both = add_earlier(now, earlier)["sections"]
    assert {name: section["rows"] for name, section in both.items()} == {"step": [], "start": [], "growth": [GROWTH]}
    assert add_earlier(now, {**earlier, "machine": {**MACHINE, "cpu": "Y"}}) == now


def test_the_page_has_every_section_and_both_plots(tmp_path: Path) -> None:
    bench = bench_of({name: [] for name in SECTIONS} | {"step": [STEP], "growth": [GROWTH]})
    files = write_page(bench, tmp_path / "page.md")
    text = files[0].read_text()
    assert all(f"## {section.title}\n" in text for section in SECTIONS.values())
    assert [file.relative_to(tmp_path).as_posix() for file in files[1:]] == ["page/ratios.png", "page/growth.png"]
    assert all(file.is_file() and f"({file.parent.name}/{file.name})" in text for file in files[1:])
    assert "1.50 (1.40–1.60)" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"quick": True}, "quick bench"), ({"against": None}, "no plain"), ({}, "was busy")],
)
def test_the_page_says_what_its_numbers_are_worth(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    quiet = bench_of({"step": [STEP]})
    busy = bench_of({"step": [STEP]}, **changes)
    busy["sections"]["step"]["load"] = [0.5, 9.0]
    texts = [write_page(bench, tmp_path / f"{index}.md")[0].read_text() for index, bench in enumerate((quiet, busy))]
    assert [said in text for text in texts] == [False, True]


def test_a_table_has_a_column_for_each_value_and_its_quartiles() -> None:
    header, _, first, second = to_markdown([STEP, {"network": "asid-d8", "pays": None}]).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("network", "batch", "threads", "ms", "plain ms", "plain / asid", "pays"),
    ]
    assert "400 (390–410)" in first
    assert "–" in second


def test_what_cannot_be_measured_is_refused(cli: Call, tmp_path: Path) -> None:
    unknown = cli("bench", "--only", "speed")
    assert (unknown.status, "speed" in unknown.err, "growth" in unknown.err) == (2, True, True)
    module = tmp_path / "other.py"
    module.write_text("x = 1\n")
    other = cli("bench", "--against", module)
    assert (other.status, "build" in other.err) == (2, True)
    missing = cli("bench", "--against", tmp_path / "none.py")
    assert (missing.status, "none.py" in missing.err) == (2, True)


def test_copied_records_make_a_report(tmp_path: Path) -> None:
    write_records(tmp_path, 20)
    results = load_results(tmp_path)
    assert not results.missing
    assert results.scores.groupby(["variant", "seed"]).ngroups == 20


@pytest.mark.process
def test_work_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_records(tmp_path, 10)
    cost = run_work("status", {"folder": str(tmp_path)})
    assert cost.seconds > 0
    assert cost.peak_mb > 10
    with pytest.raises(RuntimeError, match="no study"):
        run_work("status", {"folder": str(tmp_path / "none")})


@pytest.mark.process
def test_busy_processes_end() -> None:
    with busy_loops(2):
        loops = psutil.Process().children()
        assert len(loops) >= 2
    assert sum(loop.is_running() for loop in loops) == len(loops) - 2
