"""Results: the right numbers from hand-written records, on arrays with named axes, and no mixture of evaluations."""

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from written_study import PARAMETERS, PSNR, SSIM, edit_file, make_study, seeded

from asid.ablation.report.results import ReportError, load_results
from asid.ablation.statistics import paired
from asid.ablation.statistics.scores import Scores, compare_with_base
from asid.files import RECORD, STUDY


def rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in table.to_dict("records")}


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a record or plan, ``section__field`` one deep, as if it had been written so."""

    def change(content: dict[str, Any]) -> None:
        for name, value in changes.items():
            section, _, field = name.rpartition("__")
            (content[section] if section else content)[field] = value

    edit_file(path, change)


def edit_scores(folder: Path, changes: list[dict[str, Any]]) -> None:
    """Change the scores of each image in the record of a run."""
    path = folder / RECORD
    scores = json.loads(path.read_text())["scores"]
    edit(path, scores=[{**row, **change} for row, change in zip(scores, changes, strict=True)])


# Reading


@pytest.mark.parametrize(
    ("folder", "words"),
    [("nowhere", "no study in"), (".", "asid ablate")],
    ids=["no such folder", "folder of something else"],
)
def test_a_folder_without_a_study_is_reported(folder: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=words) as caught:
        load_results(tmp_path / folder)
    assert str(tmp_path / folder) in str(caught.value)


def test_a_damaged_plan_is_reported(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    (folder / STUDY).write_text("{}")
    with pytest.raises(ReportError, match="damaged"):
        load_results(folder)


def test_missing_and_foreign_records_are_listed(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("no_sharing", 1),))
    edit(folder / "runs" / "100%-meso-0" / RECORD, identity__training="another")
    assert load_results(folder).missing == ("no_sharing seed 1", "100%-meso seed 0")


def test_a_missing_reference_is_listed(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    (folder / "references" / "bicubic" / RECORD).unlink()
    results = load_results(folder)
    assert results.missing == ("bicubic",)
    assert list(results.table["variant"]) == list(PSNR)


def test_a_study_names_its_seeds_and_variants(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    assert (results.seeds, results.variants) == ([0, 1], list(PSNR))


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("evaluate", "tile", 64),
        ("evaluate", "protocol", "psnr-rgb/ssim-rgb crop=scale"),
        ("evaluate", "ensemble", True),
        ("model", "scale", 3),
    ],
)
def test_a_table_never_mixes_two_ways_of_evaluating(section: str, field: str, value: object, tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    edit_file(
        folder / "references" / "bicubic" / RECORD, lambda record: record["config"][section].update({field: value})
    )
    with pytest.raises(ReportError, match=rf"base-0 .* {field} .*bicubic with {value}"):
        load_results(folder)


@pytest.mark.parametrize("manifest", ["manifest", "lr_manifest"])
def test_a_table_never_mixes_two_sets_of_images(manifest: str, tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    use = f"evaluate {tmp_path / 'set_5'}"
    edit_file(folder / "runs" / "no_sharing-1" / RECORD, lambda record: record["data"][use].update({manifest: "0123"}))
    with pytest.raises(ReportError, match=r"no_sharing-1 .* images .*0123"):
        load_results(folder)


def test_results_are_frozen(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    with pytest.raises(FrozenInstanceError):
        results.missing = ("base",)  # type: ignore[misc]


# Scores


def test_every_score_is_kept(tmp_path: Path) -> None:
    table = load_results(make_study(tmp_path)).scores
    assert len(table) == 3 * 2 * 2 + 2
    psnr = table.set_index(["variant", "seed", "image"])["psnr"]
    for variant, seeds in PSNR.items():
        for seed, images in seeds.items():
            for image, value in images.items():
                assert psnr[variant, seed, image] == value


def test_the_array_has_an_axis_for_variants_seeds_and_images(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, missing=(("no_sharing", 1),), sets=("set_5", "set_14")))
    arrays = results.arrays
    assert list(arrays) == ["set_5", "set_14"]
    scores = arrays["set_14"]
    assert (scores.variants, scores.seeds, scores.images) == (list(PSNR), [0, 1], ["ant", "bee"])
    for v, variant in enumerate(scores.variants):
        for s, seed in enumerate(scores.seeds):
            expected = [np.nan, np.nan] if (variant, seed) == ("no_sharing", 1) else list(PSNR[variant][seed].values())
            np.testing.assert_array_equal(scores.psnr[v, s], expected)


# Comparison


def test_means_are_over_images_and_seeds(tmp_path: Path) -> None:
    table = rows(load_results(make_study(tmp_path)).table)
    assert {name: row["psnr"] for name, row in table.items()} == pytest.approx(
        {"bicubic": 27.5, "base": 30.0, "no_sharing": 30.75, "100%-meso": 29.5}
    )
    assert {name: row["ssim"] for name, row in table.items()} == pytest.approx({"bicubic": 0.8, **SSIM})


def test_map_use_is_a_mean_over_images_and_seeds_and_missing_where_it_was_not_measured(tmp_path: Path) -> None:
    folder = make_study(tmp_path, map_use={"set_5": 0.1})
    edit_scores(folder / "runs" / "base-1", [{"psnr_uniform_maps": 29.5}, {}])  # of 30.0: 0.5 dB
    for seed in (0, 1):
        edit_scores(folder / "runs" / f"no_sharing-{seed}", [{"psnr_uniform_maps": None}] * 2)
    table = rows(load_results(folder).table)
    assert {name: row["map_use"] for name, row in table.items()} == pytest.approx(
        {"bicubic": np.nan, "base": 0.2, "no_sharing": np.nan, "100%-meso": 0.1}, nan_ok=True
    )


def test_changes_are_against_the_base(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    table = rows(results.table)
    assert {name: row["delta"] for name, row in table.items()} == pytest.approx(
        {"bicubic": -2.5, "base": 0.0, "no_sharing": 0.75, "100%-meso": -0.5}
    )
    by_image = results.changes.groupby(["variant", "seed", "image"])["change"].mean()
    assert by_image["no_sharing", 1, "bee"] == pytest.approx(0.5)
    assert by_image["100%-meso", 0, "ant"] == pytest.approx(-1.0)
    assert by_image["bicubic", 0, "ant"] == pytest.approx(27 - 29.5), (
        "a reference is compared with the base's mean over seeds"
    )


def test_costs_are_those_of_the_records(tmp_path: Path) -> None:
    table = rows(load_results(make_study(tmp_path)).table)
    assert {name: table[name]["parameters"] for name in PSNR} == PARAMETERS
    assert table["base"]["macs"] == pytest.approx(5.6164)
    assert table["base"]["macs_ptflops"] == pytest.approx(2 * 5.6164)
    assert table["base"]["macs_fvcore"] == pytest.approx(3 * 5.6164)
    assert {name: table[name]["seeds"] for name in PSNR} == dict.fromkeys(PSNR, 2)
    for column in ("parameters", "macs", "seeds"):
        assert pd.isna(table["bicubic"][column])


def test_rows_are_in_the_order_of_the_plan_set_after_set(tmp_path: Path) -> None:
    table = load_results(make_study(tmp_path, sets=("set_5", "set_14"))).table
    assert list(table["variant"]) == ["bicubic", *PSNR] * 2
    assert list(table["data"]) == ["set_5"] * 4 + ["set_14"] * 4


def test_a_variant_is_compared_on_what_it_shares_with_the_base(tmp_path: Path) -> None:
    """A missing seed must not show up as a difference between variants."""
    table = rows(load_results(make_study(tmp_path, missing=(("no_sharing", 0),))).table)
    assert table["no_sharing"]["psnr"] == pytest.approx(31.25)
    assert table["no_sharing"]["seeds"] == table["no_sharing"]["pairs"] == 1
    assert table["no_sharing"]["delta"] == pytest.approx(31.25 - 30.5), (
        "against the base with seed 1, not with seeds 0 and 1"
    )
    assert table["no_sharing"]["verdict"] == "one seed"


def test_without_the_base_there_is_no_difference(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, missing=(("base", 0), ("base", 1))))
    table = results.table
    assert "base" not in set(table["variant"])
    assert table["delta"].isna().all()
    assert table["verdict"].isna().all()
    assert results.statistics == {}


def test_without_a_seed_in_common_there_is_no_difference(tmp_path: Path) -> None:
    table = rows(load_results(make_study(tmp_path, missing=(("base", 0), ("no_sharing", 1)))).table)
    assert pd.isna(table["no_sharing"]["delta"])
    assert pd.isna(table["no_sharing"]["verdict"])
    assert table["100%-meso"]["delta"] == pytest.approx(0.0)


# Statistics

CHANGES = {
    "more": [0.10, 0.11, 0.09, 0.10, 0.12],
    "less": [-0.2, -0.21, -0.19, -0.2, -0.2],
    "same": [0.01, -0.01, 0.0, 0.01, -0.01],
}


def test_the_table_holds_the_statistics_of_its_scores(tmp_path: Path) -> None:
    psnr = seeded({**CHANGES, "noisy": [0.2, -0.2, 0.1, -0.1, 0.1]})
    results = load_results(make_study(tmp_path, psnr))
    table = rows(results.table)
    assert {name: table[name]["verdict"] for name in psnr} == {
        "base": "base",
        "more": "better",
        "less": "worse",
        "same": "equivalent",
        "noisy": "undecided",
    }
    array = np.array([[list(images.values()) for images in seeds.values()] for seeds in psnr.values()])
    expected = paired.compare([array], 0, margin=0.05)[0][1]
    assert expected is not None
    more = table["more"]
    assert more["delta"] == pytest.approx(0.104)
    assert (more["low"], more["high"]) == pytest.approx((expected.seeds.low, expected.seeds.high))
    assert (more["image_low"], more["image_high"]) == pytest.approx((expected.images.low, expected.images.high))
    for name in ("p_t", "p_holm", "p_flip", "p_equivalent", "detectable"):
        assert more[name] == pytest.approx(getattr(expected, name)), name
    assert more["pairs"] == 5
    assert more["p_holm"] > more["p_t"], "adjusted for the other variants"
    assert results.statistics["set_5"].noise == pytest.approx(np.std([0.01, -0.02, 0.03, 0.0, -0.01], ddof=1))


def test_the_margin_is_that_of_the_plan(tmp_path: Path) -> None:
    table = rows(load_results(make_study(tmp_path, seeded(CHANGES), margin=0.001)).table)
    assert table["same"]["verdict"] == "undecided"


def test_all_evaluation_sets_are_one_family(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeded(CHANGES), sets=("set_5", "set_14")))
    np.testing.assert_allclose(results.table["p_holm"], paired.holm(results.table["p_t"]))
    assert {statistics.family for statistics in results.statistics.values()} == {6}


def test_a_study_that_changes_nothing_seldom_reports_a_verdict_on_any_of_its_sets() -> None:
    """200 studies of three variants with five sets each: at most 5 %, and two standard errors (in 20 000: 4.8 %)."""
    random, wrong, alone = np.random.default_rng(1), 0, 0
    for _ in range(200):
        sets = {
            name: Scores(["base", "a", "b"], [0, 1, 2], ["x"], 30 + random.normal(0, 0.05, (3, 3, 1)))
            for name in ("Set5", "Set14", "B100", "Urban100", "Manga109")
        }
        references = {name: replace(scores, variants=["base"], psnr=scores.psnr[:1]) for name, scores in sets.items()}
        results = [
            list(statistics.comparisons.values())
            for statistics in compare_with_base(sets, "base", 0.01, references).values()
        ]
        wrong += any(result.verdict in ("better", "worse") for of_set in results for result in of_set)
        alone += any((paired.holm([result.p_t for result in of_set]) < 0.05).any() for of_set in results)
    assert wrong / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert alone / 200 > 0.1, "what one family is for"


def test_one_seed_has_a_change_and_no_test(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeds=(1,)))
    row = rows(results.table)["no_sharing"]
    assert row["delta"] == pytest.approx(0.75)
    assert row["verdict"] == "one seed"
    for name in ("low", "high", "p_holm", "p_t", "p_equivalent", "detectable"):
        assert pd.isna(row[name]), name
    assert row["image_low"] < 0.75 < row["image_high"], "one training is enough to compare images"
    assert np.isnan(results.statistics["set_5"].noise)


def test_an_image_without_an_error_is_left_out_of_the_statistics_and_named(tmp_path: Path) -> None:
    psnr = {name: {seed: dict(images) for seed, images in seeds.items()} for name, seeds in PSNR.items()}
    psnr["no_sharing"][0]["ant"] = np.inf
    results = load_results(make_study(tmp_path, psnr))
    statistics = results.statistics["set_5"]
    assert statistics.left_out == ["ant"]
    assert statistics.comparisons["no_sharing"].seeds.mean == pytest.approx(0.5)
    assert rows(results.table)["no_sharing"]["delta"] == pytest.approx(0.5)


def test_every_reference_is_a_row_and_says_what_it_is(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, references=("bicubic", "linear")))
    assert list(results.table["variant"]) == ["bicubic", "linear", *PSNR]
    assert list(results.table["change"][:2]) == ["no training", "least-squares filter"]
    assert list(results.table["delta"][:2]) == [-2.5, -1.25]
    assert list(results.select(["base"], "set_5").table["variant"]) == ["bicubic", "linear", "base"]


PLAIN_CNN = {0: {"ant": 30.5, "bee": 31.0}, 1: {"ant": 31.0, "bee": 32.0}}
"""Against the base of :data:`written_study.PSNR`: +1.5, +1.0 and +1.0, +1.0 dB."""


def test_a_trained_reference_is_a_row_with_an_interval_and_changes_nothing_about_the_variants(tmp_path: Path) -> None:
    alone = load_results(make_study(tmp_path / "alone", references=("bicubic", "linear")))
    results = load_results(make_study(tmp_path / "both", references=("bicubic", "linear"), plain_cnn=PLAIN_CNN))
    assert list(results.table["variant"]) == ["bicubic", "linear", "plain-cnn", *PSNR]
    row = rows(results.table)["plain-cnn"]
    interval = paired.seed_interval([[1.5, 1.0], [1.0, 1.0]])
    assert (row["psnr"], row["seeds"], row["pairs"], row["delta"]) == (31.125, 2, 2, 1.125)
    assert row["sd"] == pytest.approx(np.std([30.75, 31.5], ddof=1))
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["parameters"] > 0
    assert row["macs"] > 0
    tests = ["verdict", "p_holm", "p_t", "p_flip", "p_equivalent", "detectable"]
    assert pd.isna([row[name] for name in tests]).all()
    for data, statistics in results.statistics.items():
        assert statistics.family == 2
        assert replace(statistics, references={}) == alone.statistics[data]
    variants = results.table[~results.table["variant"].isin(["plain-cnn"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(variants, alone.table)
    assert (results.variants, results.axes) == (alone.variants, alone.axes)


def test_a_trained_reference_with_another_seed_or_a_perfect_image_is_compared_on_the_rest(tmp_path: Path) -> None:
    cnn = {1: {"ant": np.inf, "bee": 32.0}, 7: {"ant": 30.0, "bee": 30.0}}
    results = load_results(make_study(tmp_path, plain_cnn=cnn))
    (difference,) = results.statistics["set_5"].references.values()
    assert (difference.seeds.mean, difference.seeds.n) == (1.0, 1)
    assert results.statistics["set_5"].left_out == []


def test_a_run_of_a_trained_reference_is_missing_like_any_other(tmp_path: Path) -> None:
    folder = make_study(tmp_path, plain_cnn=PLAIN_CNN)
    (folder / "runs" / "plain-cnn-1" / RECORD).unlink()
    results = load_results(folder)
    assert results.missing == ("plain-cnn seed 1",)
    assert len(results.timings) == 7
    assert len(results.trained) == 6


# A selection


def test_a_selection_hides_variants_and_changes_no_number(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeded(CHANGES), sets=("set_5", "set_14")))
    selection = results.select(["base", "more"], "set_14")
    assert (selection.variants, selection.sets) == (["base", "more"], ["set_14"])
    assert list(selection.table["variant"]) == ["bicubic", "base", "more"]
    pd.testing.assert_frame_equal(selection.table, results.table.loc[selection.table.index])
    pd.testing.assert_frame_equal(selection.scores, results.scores.loc[selection.scores.index])
    assert list(selection.statistics) == ["set_14"]
    shown, everything = selection.statistics["set_14"], results.statistics["set_14"]
    assert shown.comparisons == {"more": everything.comparisons["more"]}
    assert (shown.family, shown.noise) == (everything.family, everything.noise) == (6, everything.noise)


# Times


def test_latency_is_the_time_in_the_network_for_one_image(tmp_path: Path) -> None:
    table = load_results(make_study(tmp_path, seconds={"train": 60.0, "evaluate": 3.0, "upscale": 0.5})).timings
    assert len(table) == 6
    assert set(table["latency"]) == {250.0}
    assert set(table["train"]) == {60.0}
    assert set(table["cpus"]) == {77}


def test_a_record_without_times_has_none(tmp_path: Path) -> None:
    assert load_results(make_study(tmp_path)).timings[["train", "evaluate", "upscale", "latency"]].isna().all(axis=None)


def test_the_comparison_does_not_depend_on_the_machine_or_its_speed(tmp_path: Path) -> None:
    slow = make_study(tmp_path, seconds={"train": 60.0, "evaluate": 3.0, "upscale": 0.5})
    first = load_results(slow).table
    for path in slow.rglob(RECORD):
        edit(path, seconds__train=1.0, provenance__cpus=1, provenance__finished="later")
    pd.testing.assert_frame_equal(load_results(slow).table, first)
