"""Which runs a study with looks wants next: undecided variants and the base, up to the last look."""

from pathlib import Path

import pytest
from written_study import make_study

from asid.ablation.report.latex import to_latex
from asid.ablation.report.page import to_html
from asid.ablation.report.results import load_results
from asid.ablation.report.sentences import conclude, describe, overview
from asid.ablation.report.tables import to_text
from asid.ablation.statistics.looks import Standing, read_standing
from asid.ablation.study.plan import read_plan

CHANGES = {"much": 0.5, "nothing": 0.0, "unclear": 0.1}
NOISE = [0.0, 0.004, -0.004, 0.002, -0.002, 0.001, -0.001, 0.0]


def write(folder: Path, done: dict[str, int], looks: tuple[int, ...] = (3, 5, 8), cnn: int = 0) -> Path:
    """A study with looks: one variant is better at the first, one equivalent; the third is undecided, then better.

    Args:
        folder: Where it is written.
        done: Number of finished seeds; the others have no record.
        looks: The looks.
        cnn: Finished seeds of the trained reference.
    """
    psnr = {"base": {seed: {"ant": 30.0 + seed / 100, "bee": 31.0} for seed in range(looks[-1])}}
    for name, change in CHANGES.items():
        scale = 25 if name == "unclear" else 1
        psnr[name] = {
            seed: {image: p + change + scale * NOISE[seed] for image, p in of_base.items()}
            for seed, of_base in psnr["base"].items()
        }
    missing = tuple((name, seed) for name in psnr for seed in range(done.get(name, 0), looks[-1]))
    plain = {seed: {"ant": 29.0, "bee": 29.5} for seed in range(cnn)}
    return make_study(folder, psnr, missing=missing, until={"looks": looks}, plain_cnn=plain or None)


def stand(folder: Path, finished: dict[str, int]) -> Standing:
    plan = read_plan(write(folder, finished))
    found = read_standing(plan, [run.label for run in plan.runs if run.is_done()])
    assert found
    return found


def count(runs: list) -> dict[str, int]:
    return {name: sum(run.variant == name for run in runs) for name in dict.fromkeys(run.variant for run in runs)}


@pytest.mark.parametrize(
    ("finished", "decided", "wanted", "spared"),
    [
        ({}, [], {"base": 3, "much": 3, "nothing": 3, "unclear": 3}, {}),
        (
            {"base": 3, "much": 3, "nothing": 3},
            ["much", "nothing"],
            {"base": 3, "unclear": 3},
            {"much": 5, "nothing": 5},
        ),
        (
            dict.fromkeys(("base", *CHANGES), 3),
            ["much", "nothing"],
            {"base": 5, "unclear": 5},
            {"much": 5, "nothing": 5},
        ),
        (
            {"base": 8, "much": 8, "nothing": 3, "unclear": 8},
            ["much", "nothing", "unclear"],
            {},
            {"much": 5, "nothing": 5},
        ),
    ],
)
def test_undecided_variants_and_the_base_get_more_seeds(
    finished: dict[str, int], decided: list[str], wanted: dict[str, int], spared: dict[str, int], tmp_path: Path
) -> None:
    found = stand(tmp_path, finished)
    assert found.decided == decided
    assert count(found.wanted()) == wanted
    assert count(found.spared) == spared


def test_a_failed_variant_does_not_keep_the_others_from_their_look(tmp_path: Path) -> None:
    found = stand(tmp_path, {"base": 3, "unclear": 3})
    assert count(found.wanted()) == {"base": 3, "much": 3, "nothing": 3}
    assert count(found.wanted(["much", "nothing"])) == {"base": 5, "unclear": 5}
    assert found.wanted(["base"]) == []


def test_a_report_rests_on_the_runs_of_its_looks(tmp_path: Path) -> None:
    done = {"base": 8, "much": 8, "nothing": 3, "unclear": 8}
    results = load_results(write(tmp_path / "more", done, cnn=8))
    assert results.missing == ()
    assert len(results.unused) == 5 + 5, "of a decided variant, and of the reference, which is not tested"
    assert {record.config.seed for record in results.runs_of("much")} == {0, 1, 2}
    least = load_results(write(tmp_path / "least", done | {"much": 3}, cnn=3))
    assert least.table.equals(results.table)
    assert results.table.set_index("variant")["look"].dropna().to_dict() == {"much": 1, "nothing": 1, "unclear": 3}


def test_a_report_says_at_which_look_verdicts_fell_and_what_was_saved(tmp_path: Path) -> None:
    done = {"base": 8, "much": 8, "nothing": 3, "unclear": 8}
    results = load_results(write(tmp_path, done))
    fell, saved = overview(results)[:2]
    assert "fell at look 1 (3 seeds): much, nothing; look 3 (8 seeds): unclear." in fell
    assert "Open" not in fell
    assert saved == "22 of 32 runs are enough: 10 (31%) are saved."
    assert any("much seed 3" in sentence for sentence in describe(results)), "what was trained for nothing"
    shown = {row["variant"]: row for row in to_text(results.table).to_dict("records")}
    assert (shown["much"]["seeds"], shown["much"]["look"], shown["much"]["PSNR (dB)"][-1]) == ("3", "1", "*")
    assert shown["unclear"]["PSNR (dB)"][-1] != "*"
    text = to_html(results, [], [])
    assert "repeated confidence intervals" in text
    assert r"\ddag" not in to_latex(results)
    waiting = load_results(write(tmp_path / "early", {"base": 2, "much": 2, "nothing": 1, "unclear": 0}))
    assert set(waiting.table["verdict"].dropna()) == {"base", "waiting"}
    assert r"\textsuperscript{\ddag}" in to_latex(waiting)
    said = " ".join(conclude(waiting))
    assert "No verdict before the first look: much" in said
    assert "Open: much, nothing, unclear." in said
    assert not any(words in said for words in ("nan", "fell at", "Undecided at the last look"))
