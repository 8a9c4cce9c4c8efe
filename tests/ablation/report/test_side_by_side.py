"""``asid ablate diff STUDY STUDY``: what was changed from one study to another, and what that did."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Call
from scipy import stats
from written_study import edit_file, make_study, seeded

from asid.ablation.report.results import load_results
from asid.ablation.report.side_by_side import SideBySide
from asid.files import RECORD

CHANGE = [0.30, 0.32, 0.31]
"""Of no_sharing from the first study to the second, seed by seed (dB)."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The second has one more benchmark, variant and seed, more steps, and a better no_sharing."""
    folder = tmp_path_factory.mktemp("studies")
    psnr = seeded({"no_sharing": [0.1, 0.1, 0.1]})
    first = make_study(folder / "a", psnr)
    more = seeded({"no_sharing": [0.1 + change for change in CHANGE] + [9.0], "more": [1.0] * 4})
    second = make_study(folder / "b", more, sets=("set_5", "set_14"), margin=0.1)

    def longer(content: Any) -> None:
        for run in content.get("runs", [content]):
            run["config"]["train"]["steps"] = 140

    for file in [second / "study.json", *second.glob(f"runs/*/{RECORD}")]:
        edit_file(file, longer)
    return first, second


def test_what_was_changed_comes_first(studies: tuple[Path, Path]) -> None:
    both = SideBySide(*map(load_results, studies))
    changed = {name: values for name, *values in both.changed}
    assert changed["train.steps"] == [70, 140]
    assert changed["margin"] == [0.05, 0.1]
    assert changed["variant more"] == [None, "change more"]
    assert changed["evaluation set set_14"][0] is None
    assert {name.split(" ")[0] for name in changed} == {"train.steps", "margin", "variant", "evaluation"}


def test_what_it_did_is_paired_by_the_seeds_of_both(studies: tuple[Path, Path]) -> None:
    table = SideBySide(*map(load_results, studies)).table.set_index(["data", "variant"])
    assert list(table.index) == [("set_5", name) for name in ("bicubic", "base", "no_sharing")]
    row = table.loc[("set_5", "no_sharing")]
    interval = stats.ttest_1samp(CHANGE, 0).confidence_interval(0.95)
    assert (row["seeds"], row["images"]) == (3, 2)
    assert row["change"] == pytest.approx(0.31)
    assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
    assert row["psnr_second"] - row["psnr_first"] == pytest.approx(0.31)
    assert (row["delta_first"], row["delta_second"]) == pytest.approx((0.1, 2.5575)), "as in the report of each"
    assert (row["verdict_first"], row["verdict_second"]) == ("better", "undecided")
    assert table.loc[("set_5", "base"), "change"] == 0


def test_a_study_beside_itself_has_no_changes(studies: tuple[Path, Path]) -> None:
    results = load_results(studies[0])
    both = SideBySide(results, results)
    assert both.changed == []
    assert (both.table["change"] == 0).all()


def test_bases_are_compared_whatever_their_names_and_other_images_are_not(tmp_path: Path, cli: Call) -> None:
    psnr = seeded({"no_sharing": [0.1, 0.1]})
    first = make_study(tmp_path / "a", psnr)
    psnr["full"] = psnr.pop("base")
    second = make_study(tmp_path / "b", psnr, variants={"full": {}}, preset="asid-d8")
    both = SideBySide(load_results(first), load_results(second))
    assert "base" in set(both.table["variant"])
    assert "variant full" not in {name for name, *_ in both.changed}
    for file in second.glob(f"*/*/{RECORD}"):
        edit_file(file, lambda record: record["data"][f"evaluate {tmp_path}/b/set_5"].update(manifest="f00d"))
    both = SideBySide(load_results(first), load_results(second))
    assert both.left_out == ["set_5"]
    assert both.table.empty
    ended = cli("ablate", "diff", first, second)
    assert (ended.status, "scores are not compared" in ended.out) == (0, True)


def test_the_command(studies: tuple[Path, Path], cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    ended = cli("ablate", "diff", *studies)
    assert ended.status == 0
    assert ended.out.index("train.steps") < ended.out.index("no_sharing ")
    assert "better → undecided" in ended.out
    content = json.loads(cli("ablate", "diff", *studies, "--json").out)
    assert content["changed"]["train.steps"] == [70, 140]
    assert content["flipped"] == ["no_sharing on set_5 (better → undecided)"]
    assert "Verdicts that depend on the changes: no_sharing on set_5 (better → undecided)" in ended.words
    assert [row["variant"] for row in content["scores"]] == ["bicubic", "base", "no_sharing"]
