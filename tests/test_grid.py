"""Study files: the runs they stand for, and what is told about those that make no sense."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from asid.ablation.grid import StudyConfig, StudyError, describe_delta, load_study, merge
from asid.ablation.runner import plan
from asid.config import describe_errors
from asid.model.network import ASID

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = sorted((ROOT / "ablations").glob("*.yaml"))

HEAD = "name: some-study\nquestion: What?\npreset: asid-tiny\n"
STUDY = (
    HEAD
    + """
base: {model: {scale: 3, esa: false}, train: {steps: 7}}
variants:
  plain:
  gated: {model: {esa: true}}
  longer: {train: {steps: 9, batch_size: 4}, data: {patch_size: 16}}
seeds: [5, 2]
"""
)


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def messages(path: Path) -> list[str]:
    """What is told about a study file that is refused, a line for each problem."""
    with pytest.raises((StudyError, ValidationError)) as caught:
        load_study(path)
    return describe_errors(caught.value) if isinstance(caught.value, ValidationError) else [str(caught.value)]


def test_a_study_stands_for_each_variant_with_each_seed_in_the_order_of_the_file(tmp_path: Path) -> None:
    runs = plan(load_study(write(tmp_path, STUDY)), tmp_path / "out")
    assert [(run.variant, run.seed) for run in runs] == [(name, seed) for name in ("plain", "gated", "longer") for seed in (5, 2)]
    assert all(run.config.seed == run.seed and run.study == "some-study" for run in runs)
    assert len({run.run_id for run in runs}) == len({run.folder for run in runs}) == 6


def test_a_variant_is_the_preset_then_the_base_then_its_own_changes(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    plain, gated, longer = (study.config(name, 5) for name in study.variants)
    assert (plain.model.num_features, plain.model.scale, plain.model.esa, plain.train.steps) == (16, 3, False, 7)
    assert gated == plain.override(model=plain.model.override(esa=True).to_dict())
    assert (longer.train.steps, longer.train.batch_size, longer.data.patch_size) == (9, 4, 16)
    assert longer.model == plain.model


def test_the_base_is_the_variant_without_changes(tmp_path: Path) -> None:
    text = HEAD + "variants: {other: {model: {esa: false}}, this: {model: {}}}"
    assert load_study(write(tmp_path, text)).base_name == "this"


def test_merge_goes_by_section_and_leaves_both_as_they_were() -> None:
    base: dict[str, Any] = {"model": {"esa": False, "scale": 2}, "train": {"steps": 7}}
    delta: dict[str, Any] = {"model": {"scale": 4}, "data": {"patch_size": 16}}
    assert merge(base, delta) == {"model": {"esa": False, "scale": 4}, "train": {"steps": 7}, "data": {"patch_size": 16}}
    assert base == {"model": {"esa": False, "scale": 2}, "train": {"steps": 7}}
    assert delta == {"model": {"scale": 4}, "data": {"patch_size": 16}}


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        ({}, ""),
        ({"model": {}}, ""),
        ({"model": {"attention_sharing": "none"}}, "attention sharing: none"),
        ({"model": {"distillation_ratio": "1/8"}, "train": {"steps": 7}}, "distillation ratio: 1/8, steps: 7"),
        ({"model": {"spatial_windows": ["meso", "global"]}}, "spatial windows: meso + global"),
        ({"model": {"spatial_windows": []}}, "spatial windows: none"),
        ({"model": {"esa": False}}, "esa: False"),
        ({"model": {"distillation_ratio": 0}}, "distillation ratio: 0"),
    ],
)
def test_a_change_in_words(delta: dict[str, Any], words: str) -> None:
    assert describe_delta(delta) == words


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_every_committed_study_loads_and_its_networks_build(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem, "a study is called as its file"
    assert (path.parent / study.notebook).is_file()
    models = {name: study.config(name, study.seeds[0]).model for name in study.variants}
    for name, config in models.items():
        with torch.device("meta"):
            assert ASID(config).config == config, name


def test_there_are_committed_studies() -> None:
    assert "quick.yaml" in [path.name for path in COMMITTED]


BAD_STUDIES: dict[str, tuple[str, list[str]]] = {
    "key of the file": ("variants: {a: }\nseed: [0]", ["seed: unknown key; did you mean 'seeds'?"]),
    "field of a variant": (
        "variants: {a: , b: {model: {atention_sharing: none}}}",
        ["variant b: model.atention_sharing: unknown key; did you mean 'attention_sharing'?"],
    ),
    "section of a variant": ("variants: {a: , b: {modle: {esa: false}}}", ["variant b: modle: unknown key; did you mean 'model'?"]),
    "two variants at once": (
        "variants: {a: , b: {model: {esaa: false}}, c: {train: {step: 3}}}",
        ["variant b: model.esaa: unknown key; did you mean 'esa'?", "variant c: train.step: unknown key; did you mean 'steps'?"],
    ),
    "ratio that cuts a channel": ("variants: {a: , b: {model: {distillation_ratio: 1/5}}}", ["variant b:", "1/5", "whole number"]),
    "ratio that leaves nothing": ("variants: {a: , b: {model: {distillation_ratio: 1/2}}}", ["variant b:", "1/2", "leaves no channel"]),
    "value of another kind": (
        "variants: {a: , b: {model: {attention_sharing: some}}}",
        ["variant b: model.attention_sharing:", "'all' or 'none'", "'some'"],
    ),
    "variant with its own tiles": ("variants: {a: , b: {evaluate: {tile: 64}}}", ["variant b is evaluated otherwise than the base"]),
    "variant of another scale": ("variants: {a: , b: {model: {scale: 4}}}", ["variant b is evaluated otherwise", "model.scale"]),
    "no base": ("variants: {a: {model: {esa: false}}}", ["variants:", "exactly one variant without changes", "got 0"]),
    "no variant": ("variants: {}", ["variants:", "exactly one variant without changes", "got 0"]),
    "two bases": ("variants: {a: , b: {model: {}}}", ["variants:", "exactly one variant without changes", "got 2: a, b"]),
    "variant called bicubic": ("variants: {a: , bicubic: {model: {esa: false}}}", ["variants: 'bicubic' is a reference"]),
    "name of a variant": ("variants: {a: , 'b/c': {model: {esa: false}}}", ["b/c", "pattern"]),
    "duplicate seeds": ("variants: {a: }\nseeds: [3, 1, 3]", ["seeds: expected different seeds, got [3, 1, 3]"]),
    "no seed": ("variants: {a: }\nseeds: []", ["seeds:", "at least 1"]),
    "unknown reference": ("variants: {a: }\nreferences: [lanczos]", ["references", "'bicubic'", "'lanczos'"]),
    "section that is no mapping": ("variants: {a: , b: {model: 3}}", ["variants.b.model:", "dictionary"]),
}


@pytest.mark.parametrize(("text", "words"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_a_bad_study_is_told_in_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    lines = messages(write(tmp_path, HEAD + text))
    assert len(lines) == 1
    assert "\n" not in lines[0]
    for word in words:
        assert word in lines[0]


def test_an_unknown_preset_has_a_suggestion(tmp_path: Path) -> None:
    lines = messages(write(tmp_path, "name: s\nquestion: What?\npreset: asid-tinny\nvariants: {a: }"))
    assert len(lines) == 1
    assert "did you mean 'asid-tiny'?" in lines[0]


def test_all_missing_keys_are_told_at_once(tmp_path: Path) -> None:
    assert messages(write(tmp_path, "name: s")) == ["question: Field required", "variants: Field required"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [\n", "no valid YAML"),
        ("- a\n- b\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("just words\n", "expected a mapping"),
    ],
)
def test_a_file_that_is_no_study_is_told_with_its_path(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    there = write(tmp_path, STUDY)
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "stduy.yaml")
    assert str(tmp_path / "stduy.yaml") in str(caught.value)
    assert str(there) in str(caught.value)


def test_every_seed_is_checked_when_the_file_is_read(tmp_path: Path) -> None:
    (line,) = messages(write(tmp_path, HEAD + "variants: {a: }\nseeds: [0, -1]"))
    assert "-1" in line


def test_a_variant_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    text = HEAD + "variants:\n  a:\n  b: {model: {esa: false}}\n  b: {train: {steps: 9}}\n"
    (line,) = messages(write(tmp_path, text))
    assert re.search(r"\bb\b", line)


def test_a_variant_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    """It repeats a value of the base: a second base in disguise, whose row would compare a run with itself."""
    text = HEAD + "base: {model: {esa: false}}\nvariants: {a: , b: {model: {esa: false}}}"
    (line,) = messages(write(tmp_path, text))
    assert re.search(r"\bb\b", line)


def test_a_study_is_frozen() -> None:
    study = StudyConfig.model_validate({"name": "s", "question": "What?", "variants": {"a": {}}})
    with pytest.raises(ValidationError):
        study.name = "other"
