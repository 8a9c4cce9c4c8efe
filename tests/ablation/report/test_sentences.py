"""Sentences: every verdict and limit is reported, with the numbers it rests on."""

from pathlib import Path

import pytest
from written_study import PROTOCOL, edit_file, make_study, seeded

from asid.ablation.report.results import StudyResults, load_results
from asid.ablation.report.sentences import conclude, describe, explain, limits
from asid.files import RECORD
from asid.runs.record import read_record, write_record

CHANGES = {
    "more": [0.10, 0.11, 0.09, 0.10, 0.12],
    "less": [-0.2, -0.21, -0.19, -0.2, -0.2],
    "same": [0.01, -0.01, 0.0, 0.01, -0.01],
    "noisy": [0.2, -0.2, 0.1, -0.1, 0.1],
}

EXACT = {"base": {0: {"ant": 32.0, "bee": 32.0}, 1: {"ant": 32.0, "bee": 32.0}}}


@pytest.fixture
def five(tmp_path: Path) -> StudyResults:
    """A study of five seeds with each verdict."""
    return load_results(make_study(tmp_path, seeded(CHANGES)))


def test_verdicts_and_noise_are_reported(five: StudyResults) -> None:
    first, noise, detectable = conclude(five)[1:]
    for words in ("Better than base: more (+0.104 dB)", "Worse than base: less (−0.200 dB)", "same (+0.000 dB)"):
        assert words in first
    assert "Undecided, the change may be noise: noisy (+0.020 dB)" in first
    assert "0.019 dB from seed to seed (SD of 5 trainings)" in noise
    low, high = (five.statistics["set_5"].comparisons[name].detectable for name in ("less", "noisy"))
    assert "power of 80 %" in detectable
    assert f"{low:.3f} dB (less) to {high:.3f} dB (noisy)" in detectable


@pytest.mark.parametrize(("seeds", "smallest"), [(3, "0.25"), (5, "0.0625")])
def test_too_few_seeds_for_the_exact_test_are_reported(seeds: int, smallest: str, tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1, 0.2, 0.1][:seeds]})))
    (sentence,) = [sentence for sentence in conclude(results) if "sign-flip" in sentence]
    assert f"{seeds} seeds are few" in sentence
    assert f"cannot go below p = {smallest} " in sentence
    assert "6 seeds can reach 0.05" in sentence


def test_different_numbers_of_threads_are_reported(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    for run, threads in [("base-0", 1), ("base-1", 1), ("no_sharing-0", 1)]:
        path = folder / "runs" / run
        write_record(read_record(path).override(execution={"exit": "done", "threads": threads}), path)
    assert not [sentence for sentence in limits(load_results(folder)) if "threads" in sentence]
    write_record(read_record(path).override(execution={"exit": "done", "threads": 4}), path)
    (sentence,) = [sentence for sentence in limits(load_results(folder)) if "threads" in sentence]
    assert "(1, 4)" in sentence


def test_unused_attention_maps_are_reported(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeded(CHANGES), map_use={"set_5": 0.012})
    first, *_ = conclude(load_results(folder))
    for words in ("hardly use their attention maps: ", "costs base 0.012 dB, less", "0.05 dB", "cannot tell whether"):
        assert words in first
    assert any("Map use: PSNR lost" in sentence for sentence in describe(load_results(folder)))


def test_unused_attention_maps_are_reported_for_each_set(tmp_path: Path) -> None:
    uses = {"set_5": -0.003, "set_14": 0.2, "b100": 0.049}
    first, *_ = conclude(load_results(make_study(tmp_path, sets=tuple(uses), map_use=uses)))
    assert "attention maps there: " in first
    assert "base −0.003 dB on set_5, 0.049 dB on b100, less" in first


@pytest.mark.parametrize(
    ("plan", "map_use"),
    [({}, {}), ({}, {"set_5": 0.05}), ({"margin": 0.01}, {"set_5": 0.012})],
    ids=["unknown", "at the margin", "above another margin"],
)
def test_attention_maps_that_are_used_are_not_called_unused(
    plan: dict[str, float], map_use: dict[str, float], tmp_path: Path
) -> None:
    results = load_results(make_study(tmp_path, EXACT, map_use=map_use, **plan))
    assert not any("attention maps" in sentence for sentence in conclude(results))
    assert any("Map use" in sentence for sentence in describe(results)) == bool(map_use)


def test_enough_seeds_for_the_exact_test_are_not_called_few(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1, 0.2, 0.1, 0.1]})))
    assert not any("few" in sentence for sentence in conclude(results))


def test_one_seed_has_no_verdict(tmp_path: Path) -> None:
    one, two = (load_results(make_study(tmp_path / str(len(seeds)), seeds=seeds)) for seeds in ((1,), (0, 1)))
    assert any("One seed: no interval and no test" in sentence for sentence in conclude(one))
    assert explain(one) == []
    assert not any("One seed" in sentence for sentence in conclude(two))


def test_a_variant_with_one_seed_of_several_is_reported(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, missing=(("no_sharing", 0),)))
    assert any("One seed shared with base, no verdict: no_sharing (+0.750 dB)." in s for s in conclude(results))


def test_the_method_is_explained_with_its_family_and_margin(five: StudyResults) -> None:
    text = " ".join(explain(five))
    for words in (
        "paired by seed",
        "95 %, Student's t over seeds",
        "Holm-adjusted for all 4 comparisons",
        "within ±0.05 dB",
        "new trainings",
    ):
        assert words in text


def test_each_set_has_its_sentences(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, seeded(CHANGES), sets=("set_5", "set_14")))
    sentences = conclude(results)
    assert [sum(sentence.startswith(f"{data}: ") for sentence in sentences) for data in ("set_5", "set_14")] == [3, 3]


def test_an_image_left_out_is_named(tmp_path: Path) -> None:
    psnr = seeded({"more": [0.1, 0.2]})
    psnr["more"][0]["bee"] = float("inf")
    results = load_results(make_study(tmp_path, psnr))
    assert any("left out of changes and tests: bee." in sentence for sentence in conclude(results))


def test_the_sentences_name_data_steps_and_seeds(tmp_path: Path) -> None:
    text = " ".join(describe(load_results(make_study(tmp_path))))
    for words in ("×2", PROTOCOL, "set_5 (2 images, ", "for 70 steps", "seeds 0, 1", "1280×720", "0123456789ab"):
        assert words in text


def take_over(folder: Path, *names: str) -> None:
    """Let runs be those of another study."""
    for name in names:
        record = read_record(folder / "runs" / name)
        write_record(record.override(origin="sharing-laptop"), folder / "runs" / name)


def test_runs_of_another_study_are_listed(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    take_over(folder, "base-0", "base-1", "no_sharing-1")
    assert "Trained by sharing-laptop, not again: base seed 0, 1; no_sharing seed 1." in describe(load_results(folder))


def test_the_code_that_scored_later_is_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    record = read_record(folder / "runs" / "base-0")
    made = {**record.provenance, "commit": "fedcba987654"}
    write_record(record.override(later={"set_5": made}), folder / "runs" / "base-0")
    results = load_results(folder)
    assert any("commit 0123456789ab, fedcba987654" in sentence for sentence in describe(results))
    assert results.provenance["commit"] == ["0123456789ab", "fedcba987654"]


def test_runs_without_a_record_are_listed(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("no_sharing", 1),))
    (folder / "runs" / "base-1" / RECORD).unlink()
    assert "Without a record, not in the table: base seed 1, no_sharing seed 1." in describe(load_results(folder))


def test_controls_dropped_variants_and_the_profile_are_listed(tmp_path: Path) -> None:
    dropped = [
        {"variant": "x", "rule": "esa: false"},
        {"variant": "y", "rule": "esa: false"},
        {"variant": "z", "rule": "ratio 0"},
    ]
    folder = make_study(tmp_path, matched={"100%-meso": "no_sharing"}, dropped=dropped, profile="laptop")
    sentences = describe(load_results(folder))
    assert "Profile: laptop." in sentences
    assert "Controls of matched size, the same change at the size of base: 100%-meso for no_sharing." in sentences
    assert "Dropped by the rule esa: false: x, y." in sentences
    assert "Dropped by the rule ratio 0: z." in sentences


def test_images_with_two_uses_are_told(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    text = " ".join(describe(load_results(folder)))
    assert "Validated on the images of set_5; no checkpoint is chosen by it." in text
    assert "allow_overlap" not in text
    path = folder / "runs" / "base-1" / RECORD
    edit_file(path, lambda record: record["config"]["data"].update(allow_overlap=True))
    assert "data.allow_overlap: the training photographs were not compared" in " ".join(describe(load_results(folder)))


def test_different_machines_are_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    assert not [sentence for sentence in limits(load_results(folder)) if "processors" in sentence]
    made = {"cpu": "Zen 7", "capability": "AVX512"}
    edit_file(folder / "runs" / "base-1" / RECORD, lambda record: record["provenance"].update(made))
    (sentence,) = [sentence for sentence in limits(load_results(folder)) if "processors" in sentence]
    assert "Zen 7, AVX512: base seed 1" in sentence
