"""Studies from ticks, and what is wrong with the text of a study: each problem at its line."""

from pathlib import Path

import pytest
from paths import ROOT

from asid.ablation.study.build import axis_values, build_study, to_yaml
from asid.ablation.study.problems import check_text
from asid.ablation.study.study import PROFILES_FILE, StudyConfig, StudyError, list_profiles, read_study_file
from asid.config import AXES

QUICK = ROOT / "ablations" / "quick.yaml"
ANYWHERE = ROOT / "results" / "mine.yaml"


@pytest.fixture(scope="module")
def quick() -> StudyConfig:
    return read_study_file(QUICK)


def test_every_axis_is_offered_with_the_value_of_the_base_first(quick: StudyConfig) -> None:
    values = axis_values(quick)
    assert list(values) == list(AXES)
    assert next(iter(values["num_features"])) == "32"
    assert values["spatial_windows"]["none"] == ([], "")
    assert values["scale"]["2"] == (2, "")
    assert "one scale" in values["scale"]["4"][1]
    assert values["distillation_ratio"]["1/6"][1].startswith("distillation_ratio 1/6 of num_features 32")


def test_ticks_make_one_variant_each_or_all_combinations(quick: StudyConfig) -> None:
    ticks = {"attention_sharing": ["none"], "esa": [False], "window_size": []}
    alone = build_study(quick, ticks, name="mine", seeds=2, steps=50)
    study, problems = check_text(to_yaml(alone), ANYWHERE)
    assert problems == []
    assert study is not None
    assert study.config == alone, "the text says all"
    assert list(study.variants) == ["base", "attention-sharing-none", "esa-off"]
    assert alone.seeds == (0, 1)
    run = study.run_config("esa-off")
    assert (run.model.esa, run.train.steps, run.train.optimizer) == (False, 50, "muon")  # type: ignore[union-attr]
    crossed, _ = check_text(to_yaml(build_study(quick, ticks, name="mine", seeds=1, crossed=True)), ANYWHERE)
    assert crossed is not None
    assert set(crossed.variants) == {*study.variants, "attention-sharing-none_esa-off"}
    assert crossed.config.question == "Does the effect of attention sharing depend on esa?"


@pytest.mark.parametrize("path", sorted(QUICK.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_text_of_a_study_is_the_study(path: Path) -> None:
    if path.name == PROFILES_FILE:
        assert list_profiles(path) == []
        return
    config = read_study_file(path)
    assert config.profile == next(iter(list_profiles(path)), None)
    assert StudyConfig.model_validate(config.to_dict()) == config
    problems = [] if config.match else check_text(to_yaml(config), ANYWHERE)[1]  # matching builds networks
    assert problems == []


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("base:\n  train:\n    batch_size: 4\n    steps: -3", 6, "base: train.steps"),
        ("base:\n  train:\n    stepz: 3", 5, "did you mean 'steps'"),
        ("seeds: [a]", 3, "seeds.0"),
        ("variants:\n  v1.5:\n    model: {esaa: 1}", 5, "variant v1.5: model.esaa"),
        ("margin: 1\nfactors: {esa: [1, 2]}", 4, "variant esa-2"),
        ("factors: {distillation_ratio: [1/7]}", 3, "1/7"),
        ("preset: huge", 3, "unknown preset"),
        ("name: again", 3, "duplicate key"),
        ("base: [", 4, "not valid YAML"),
    ],
)
def test_a_problem_has_the_line_of_its_field(lines: str, line: int, words: str) -> None:
    study, problems = check_text(f"name: mine\nquestion: Why?\n{lines}\n", ANYWHERE)
    assert study is None
    assert words in problems[0].text
    assert problems[0].line == line


def test_seeds_are_added_to_a_study_without_looks(quick: StudyConfig) -> None:
    assert quick.override(seeds=[1, 7]).with_more_seeds(2).seeds == (1, 7, 0, 2)
    with pytest.raises(StudyError, match="looks"):
        quick.override(until={}).with_more_seeds(2)
