"""Study files: the runs that they describe, and the errors of those that make no sense."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from paths import ROOT
from pydantic import ValidationError

from asid.ablation.study.expand import Study, expand, load_study
from asid.ablation.study.matching import size
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.references import plain_cnn_of_size
from asid.ablation.study.study import PROFILES_FILE, StudyConfig, StudyError, StudyFile
from asid.ablation.study.variants import Dropped, Variant, describe_delta, merge
from asid.config import PlainCNNConfig, describe_errors, preset
from asid.model.complexity import count_parameters
from asid.model.network import ASID

COMMITTED = sorted(path for path in (ROOT / "ablations").glob("*.yaml") if path.name != PROFILES_FILE)

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


def messages(path: Path, profile: str | None = None) -> list[str]:
    """The errors of a study file that is rejected, one line per problem."""
    with pytest.raises((StudyError, ValidationError)) as caught:
        load_study(path, profile)
    return describe_errors(caught.value) if isinstance(caught.value, ValidationError) else [str(caught.value)]


def make(**content: Any) -> Study:
    """A study of the tiny network."""
    return expand(StudyConfig.model_validate({"name": "s", "question": "What?", "preset": "asid-tiny", **content}))


def problem(**content: Any) -> str:
    """The only error of a study that is rejected."""
    with pytest.raises((StudyError, ValidationError)) as caught:
        make(**content)
    lines = describe_errors(caught.value) if isinstance(caught.value, ValidationError) else [str(caught.value)]
    (line,) = lines
    assert "\n" not in line
    return line


def deltas(study: Study) -> dict[str, Any]:
    return {name: variant.delta for name, variant in study.variants.items()}


def test_a_study_stands_for_each_variant_with_each_seed_in_the_order_of_the_file(tmp_path: Path) -> None:
    runs = plan_runs(load_study(write(tmp_path, STUDY)), tmp_path / "out")
    assert [(run.variant, run.seed) for run in runs] == [
        (name, seed) for name in ("plain", "gated", "longer") for seed in (5, 2)
    ]
    assert all(run.config.seed == run.seed and run.study == "some-study" for run in runs)
    assert len({run.run_id for run in runs}) == len({run.folder for run in runs}) == 6


def test_a_variant_is_the_preset_then_the_base_then_its_own_changes(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    plain, gated, longer = (study.run_config(name, 5) for name in study.variants)
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
    assert merge(base, delta) == {
        "model": {"esa": False, "scale": 4},
        "train": {"steps": 7},
        "data": {"patch_size": 16},
    }
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
        ({"model": {"esa": False}}, "esa: off"),
        ({"model": {"esa": True}}, "esa: on"),
        ({"model": {"distillation_ratio": 0}}, "distillation ratio: 0"),
    ],
)
def test_a_change_as_text(delta: dict[str, Any], words: str) -> None:
    assert describe_delta(delta) == words


def profiles_of(path: Path) -> list[str | None]:
    """Names of the profiles of a study file; ``None`` for one that has none."""
    return [*(yaml.safe_load(path.read_text()).get("profiles") or [None])]


@pytest.mark.parametrize(
    ("path", "profile"),
    [
        pytest.param(path, name, id=f"{path.stem}-{name}" if name else path.stem)
        for path in COMMITTED
        for name in profiles_of(path)
    ],
)
def test_every_committed_study_loads_in_every_profile_and_its_networks_build(path: Path, profile: str | None) -> None:
    study = load_study(path, profile)
    assert study.config.name == path.stem, "a study is called as its file"
    assert study.config.profile == profile
    assert (path.parent / study.config.notebook).is_file()
    assert len(study.variants) > 1
    models = {name: study.run_config(name, study.config.seeds[0]).model for name in study.variants}
    for name, config in models.items():
        assert ASID(config).config == config, name


def test_there_are_committed_studies() -> None:
    assert "quick.yaml" in [path.name for path in COMMITTED]


BAD_STUDIES: dict[str, tuple[str, list[str]]] = {
    "key of the file": ("variants: {a: }\nseed: [0]", ["seed: unknown key; did you mean 'seeds'?"]),
    "field of a variant": (
        "variants: {a: , b: {model: {atention_sharing: none}}}",
        ["variant b: model.atention_sharing: unknown key; did you mean 'attention_sharing'?"],
    ),
    "section of a variant": (
        "variants: {a: , b: {modle: {esa: false}}}",
        ["variant b: modle: unknown key; did you mean 'model'?"],
    ),
    "two variants at once": (
        "variants: {a: , b: {model: {esaa: false}}, c: {train: {step: 3}}}",
        [
            "variant b: model.esaa: unknown key; did you mean 'esa'?",
            "variant c: train.step: unknown key; did you mean 'steps'?",
        ],
    ),
    "ratio that cuts a channel": (
        "variants: {a: , b: {model: {distillation_ratio: 1/5}}}",
        ["variant b:", "1/5", "whole number"],
    ),
    "ratio that leaves nothing": (
        "variants: {a: , b: {model: {distillation_ratio: 1/2}}}",
        ["variant b:", "1/2", "leaves no channel"],
    ),
    "value of a wrong type": (
        "variants: {a: , b: {model: {attention_sharing: some}}}",
        ["variant b: model.attention_sharing:", "'all' or 'none'", "'some'"],
    ),
    "variant with its own tiles": (
        "variants: {a: , b: {evaluate: {tile: 64}}}",
        ["variant b is evaluated differently from the base"],
    ),
    "variant of another scale": (
        "variants: {a: , b: {model: {scale: 4}}}",
        ["variant b is evaluated differently", "model.scale"],
    ),
    "two bases": (
        "variants: {a: , b: {model: {}}}",
        ["variants:", "at most one variant without changes", "got 2: a, b"],
    ),
    "base with changes": (
        "variants: {base: {model: {esa: false}}}",
        ["variants:", "'base' has changes", "choose another name"],
    ),
    "variant called bicubic": (
        "variants: {a: , bicubic: {model: {esa: false}}}",
        ["variants: 'bicubic' is a reference"],
    ),
    "variant called linear": (
        "variants: {a: , linear: {model: {esa: false}}}",
        ["variants: 'linear' is a reference"],
    ),
    "reference twice": ("variants: {a: }\nreferences: [linear, linear]", ["references", "different"]),
    "name of a variant": ("variants: {a: , 'b/c': {model: {esa: false}}}", ["b/c", "pattern"]),
    "duplicate seeds": ("variants: {a: }\nseeds: [3, 1, 3]", ["seeds: expected different seeds, got [3, 1, 3]"]),
    "no seed": ("variants: {a: }\nseeds: []", ["seeds:", "at least 1"]),
    "unknown reference": ("variants: {a: }\nreferences: [lanczos]", ["references", "'bicubic'", "'lanczos'"]),
    "section that is not a mapping": ("variants: {a: , b: {model: 3}}", ["variants.b.model:", "dictionary"]),
    "base that is not a mapping": ("base: [1]", ["base:", "dictionary"]),
    "base that is not a mapping, with profiles": ("base: [1]\nprofiles: {a: {}}", ["base:", "dictionary"]),
    "section of the base that is not a mapping, with profiles": (
        "base: {model: 3}\nprofiles: {a: {}}",
        ["base.model:", "dictionary"],
    ),
    "field of the base": ("base: {model: {esaa: false}}", ["base: model.esaa: unknown key; did you mean 'esa'?"]),
    "factor without values": ("factors: {esa: []}", ["factors.esa:", "at least 1"]),
    "unknown component": ("leave_one_out: [eas]", ["leave_one_out.0:", "'squeeze-excitation'", "'eas'"]),
    "component that is not there": (
        "base: {model: {esa: false}}\nleave_one_out: [esa]",
        ["component esa is not in the network"],
    ),
    "component twice": ("pairwise: [esa, meso, esa]", ["pairwise: expected different components, got esa, meso, esa"]),
    "empty rule": ("leave_one_out: [esa]\nexclude: [{}]", ["exclude.0:", "at least 1"]),
    "unknown measure of size": ("match: flops", ["match:", "'params' or 'macs'", "'flops'"]),
    "no time": ("minutes: 0", ["minutes:", "greater than 0"]),
    "steps of no variant": ("variants: {a: }\nsteps_of: {b: 3}", ["steps_of.b: no such variant"]),
    "no steps": ("variants: {a: }\nsteps_of: {a: 0}", ["steps_of.a:", "greater than or equal to 1"]),
    "key of a profile": ("profiles: {a: {sees: [1]}}", ["profiles.a.sees: unknown key; did you mean 'seeds'?"]),
    "field of a profile": (
        "profiles: {a: {base: {model: {essa: false}}}}",
        ["base: model.essa: unknown key; did you mean 'esa'?"],
    ),
    "seeds of a profile": ("profiles: {a: {seeds: [1, 1]}}", ["seeds: expected different seeds, got [1, 1]"]),
    "name of a profile": ("profiles: {'a/b': {}}", ["a/b", "pattern"]),
    "preset of a profile": ("profiles: {a: {preset: asid-tinny}}", ["did you mean 'asid-tiny'?"]),
    "profiles that nobody wrote": ("profiles: [a]", ["profile a is empty"]),
}


@pytest.mark.parametrize(("text", "words"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_a_bad_study_is_reported_in_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    lines = messages(write(tmp_path, HEAD + text))
    assert len(lines) == 1
    assert "\n" not in lines[0]
    for word in words:
        assert word in lines[0]


def test_an_unknown_preset_has_a_suggestion(tmp_path: Path) -> None:
    lines = messages(write(tmp_path, "name: s\nquestion: What?\npreset: asid-tinny\nvariants: {a: }"))
    assert len(lines) == 1
    assert "did you mean 'asid-tiny'?" in lines[0]


def test_all_missing_keys_are_reported_at_once(tmp_path: Path) -> None:
    assert messages(write(tmp_path, "seeds: [1]")) == ["name: Field required", "question: Field required"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [\n", "not valid YAML"),
        ("- a\n- b\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("just words\n", "expected a mapping"),
    ],
)
def test_a_file_that_is_not_a_study_is_reported_with_its_path(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported_with_those_that_are_there(tmp_path: Path) -> None:
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
    study = expand(StudyConfig.model_validate({"name": "s", "question": "What?", "variants": {"a": {}}}))
    with pytest.raises(ValidationError):
        study.config.name = "other"


# The base


def test_the_base_is_there_without_being_named() -> None:
    assert make().variants == {"base": Variant("base", {})}
    study = make(variants={"gated": {"model": {"esa": False}}})
    assert list(study.variants) == ["base", "gated"]
    assert study.base_name == "base"
    assert study.run_config("base", 0) == make().run_config("base", 0)


def test_a_base_that_is_named_is_not_there_twice() -> None:
    study = make(variants={"gated": {"model": {"esa": False}}, "plain": {}}, leave_one_out=["sharing"])
    assert list(study.variants) == ["gated", "plain", "no-sharing"]
    assert study.base_name == "plain"


# Factors and zip


def test_factors_make_all_combinations_named_by_what_differs_from_the_base() -> None:
    study = make(factors={"attention_sharing": ["all", "none"], "distillation_ratio": ["1/4", "1/8", 0]})
    assert deltas(study) == {
        "base": {},
        "distillation-ratio-1-8": {"model": {"distillation_ratio": "1/8"}},
        "distillation-ratio-0": {"model": {"distillation_ratio": 0}},
        "attention-sharing-none": {"model": {"attention_sharing": "none"}},
        "attention-sharing-none_distillation-ratio-1-8": {
            "model": {"attention_sharing": "none", "distillation_ratio": "1/8"}
        },
        "attention-sharing-none_distillation-ratio-0": {
            "model": {"attention_sharing": "none", "distillation_ratio": 0}
        },
    }
    assert (
        study.run_config("attention-sharing-none_distillation-ratio-1-8", 0).model
        == make(variants={"b": {"model": {"attention_sharing": "none", "distillation_ratio": "1/8"}}})
        .run_config("b", 0)
        .model
    )


def test_each_combination_has_the_level_of_every_factor() -> None:
    """This includes the base, although its name lists no value."""
    study = make(
        factors={
            "esa": [True, False],
            "spatial_windows": [["meso", "global"], []],
            "train.learning_rate": [0.0005, 0.001],
        }
    )
    assert len(study.variants) == 8
    assert study.variants["base"].levels == {"esa": "on", "spatial_windows": "meso + global", "learning_rate": "0.0005"}
    last = study.variants["esa-off_spatial-windows-none_learning-rate-0.001"]
    assert last.levels == {"esa": "off", "spatial_windows": "none", "learning_rate": "0.001"}
    assert last.delta == {"model": {"esa": False, "spatial_windows": []}, "train": {"learning_rate": 0.001}}
    assert len({tuple(variant.levels.values()) for variant in study.variants.values()}) == 8


def test_the_combination_that_is_the_base_is_the_base() -> None:
    study = make(
        base={"model": {"esa": False}},
        variants={"plain": {}},
        factors={"esa": [True, False], "position_bias": [True, False]},
    )
    assert list(study.variants) == ["plain", "esa-on", "esa-on_position-bias-off", "position-bias-off"]
    assert study.variants["plain"] == Variant("plain", {}, {"esa": "off", "position_bias": "on"})


def test_factors_that_leave_the_base_out_do_not_make_it_a_combination() -> None:
    study = make(factors={"window_size": [4, 16]})
    assert list(study.variants) == ["base", "window-size-4", "window-size-16"]
    assert study.variants["base"].levels == {}


@pytest.mark.parametrize("value", ["1/4", "2/8", "0.25", 0.25], ids=repr)
def test_a_value_of_the_base_is_recognised_however_it_is_written(value: Any) -> None:
    assert list(make(factors={"distillation_ratio": [value, "1/8"]}).variants) == ["base", "distillation-ratio-1-8"]


def test_a_value_is_recognised_though_the_default_network_could_not_have_it() -> None:
    """A fifth of 20 channels is a whole number; a fifth of the default 48 is not."""
    base = {"model": {"num_features": 20, "distillation_ratio": "1/5"}}
    study = make(
        base=base,
        factors={"distillation_ratio": [0.2, 0.1], "esa": [True, False]},
        exclude=[{"distillation_ratio": "1/10", "esa": False}],
    )
    assert list(study.variants) == ["base", "esa-off", "distillation-ratio-0.1"]


def test_zip_makes_a_variant_of_each_row() -> None:
    study = make(zip={"window_size": [4, 8, 16], "global_size": [4, 8, 16], "train.batch_size": [16, 16, 8]})
    assert deltas(study) == {
        "base": {},
        "window-size-4_global-size-4": {"model": {"window_size": 4, "global_size": 4}},
        "window-size-16_global-size-16_batch-size-8": {
            "model": {"window_size": 16, "global_size": 16},
            "train": {"batch_size": 8},
        },
    }
    assert all(variant.levels == {} for variant in study.variants.values()), "rows are not factors"


def test_a_row_that_is_the_base_leaves_it_a_combination() -> None:
    study = make(factors={"esa": [True, False]}, zip={"window_size": [8, 4]})
    assert study.variants["base"].levels == {"esa": "on"}


def test_columns_of_unequal_length_are_refused() -> None:
    line = problem(zip={"window_size": [4, 16], "global_size": [4, 8, 16]})
    assert line == "zip: expected equally many values for each field, got 2 for window_size, 3 for global_size"


# Components


def test_components_are_taken_out_of_the_base() -> None:
    study = make(base={"model": {"position_bias": False}}, leave_one_out=["esa", "meso"], pairwise=["esa", "sharing"])
    without_meso = {"spatial_windows": ["global"], "channel_windows": ["global"]}
    assert deltas(study) == {
        "base": {},
        "no-esa": {"model": {"esa": False}},
        "no-meso": {"model": without_meso},
        "no-esa_no-sharing": {"model": {"esa": False, "attention_sharing": "none"}},
    }
    assert not study.run_config("no-esa", 0).model.position_bias, "a change of the base stays"


def test_components_are_added_to_a_network_without_any_of_them() -> None:
    study = make(add_one_in=["esa", "sharing", "position-bias"])
    assert deltas(study) == {
        "base": {},
        "bare": {"model": {"esa": False, "attention_sharing": "none", "position_bias": False}},
        "only-esa": {"model": {"attention_sharing": "none", "position_bias": False}},
        "only-sharing": {"model": {"esa": False, "position_bias": False}},
        "only-position-bias": {"model": {"esa": False, "attention_sharing": "none"}},
    }


def test_variants_come_in_one_order() -> None:
    study = make(
        pairwise=["sharing", "distillation"],
        add_one_in=["local-module", "channel-attention"],
        leave_one_out=["squeeze-excitation"],
        zip={"window_size": [4]},
        factors={"num_groups": [2]},
        variants={"named": {"model": {"global_size": 4}}},
    )
    generated = [
        "num-groups-2",
        "window-size-4",
        "no-squeeze-excitation",
        "bare",
        "only-local-module",
        "only-channel-attention",
    ]
    assert list(study.variants) == ["base", "named", *generated, "no-sharing_no-distillation"]


# Exclusion


def test_a_rule_drops_the_variants_that_have_all_its_values_and_lists_them() -> None:
    study = make(
        factors={"esa": [True, False], "position_bias": [True, False]}, exclude=[{"esa": False, "position_bias": False}]
    )
    assert list(study.variants) == ["base", "position-bias-off", "esa-off"]
    assert study.dropped == [Dropped("esa-off_position-bias-off", "esa: off, position bias: off")]
    assert {run.variant for run in plan_runs(study, "out")} == set(study.variants)


def test_a_rule_sees_what_a_variant_has_from_the_base_and_from_the_defaults() -> None:
    base = {"model": {"position_bias": False}, "train": {"steps": 7}}
    factors = {"esa": [True, False], "window_size": [8, 4]}
    rule = {
        "position_bias": False,
        "train.steps": 7,
        "train.batch_size": 16,
        "num_features": 16,
        "window_size": 4,
        "esa": True,
    }
    assert make(base=base, factors=factors, exclude=[rule]).dropped[0].variant == "window-size-4"


@pytest.mark.parametrize(("value", "rule"), [("1/8", 0.125), (0.125, "1/8"), ("2/16", "1/8")])
def test_a_rule_compares_values_as_the_configuration_holds_them(value: Any, rule: Any) -> None:
    study = make(factors={"distillation_ratio": ["1/4", value]}, exclude=[{"distillation_ratio": rule}])
    assert list(study.variants) == ["base"]
    study = make(factors={"spatial_windows": [["meso"], ["meso", "global"]]}, exclude=[{"spatial_windows": ["meso"]}])
    assert list(study.variants) == ["base"]


def test_a_rule_reaches_variants_of_every_generator() -> None:
    study = make(
        leave_one_out=["esa", "sharing"], zip={"window_size": [4]}, exclude=[{"esa": False}, {"window_size": 4}]
    )
    assert list(study.variants) == ["base", "no-sharing"]
    assert study.dropped == [Dropped("window-size-4", "window size: 4"), Dropped("no-esa", "esa: off")]


def test_named_variants_and_the_base_are_never_excluded() -> None:
    study = make(
        variants={"named": {"model": {"esa": False, "num_groups": 2}}},
        factors={"esa": [True, False], "position_bias": [True, False]},
        exclude=[{"esa": False}, {"position_bias": True}],
    )
    assert list(study.variants) == ["base", "named", "position-bias-off"]
    assert study.variants["base"].levels == {"esa": "on", "position_bias": "on"}
    assert [item.variant for item in study.dropped] == ["esa-off", "esa-off_position-bias-off"]


@pytest.mark.parametrize("rule", [{"window_size": 16}, {"esa": False, "window_size": 4}, {"esa": True}])
def test_a_rule_that_drops_nothing_is_refused(rule: dict[str, Any]) -> None:
    line = problem(
        factors={"esa": [True, False]}, variants={"b": {"model": {"esa": False, "window_size": 4}}}, exclude=[rule]
    )
    assert "exclude: no generated variant besides the base has" in line
    assert describe_delta({"": rule}) in line


def test_rules_may_overlap() -> None:
    rules = [{"esa": False}, {"esa": False, "position_bias": False}]
    study = make(factors={"esa": [True, False], "position_bias": [True, False]}, exclude=rules)
    assert list(study.variants) == ["base", "position-bias-off"]


def test_an_impossible_combination_can_be_excluded() -> None:
    factors = {"distillation_ratio": ["1/4", "3/8"], "distillation_steps": [3, 2]}
    assert "3/8" in problem(factors=factors)
    study = make(factors=factors, exclude=[{"distillation_ratio": "3/8", "distillation_steps": 3}])
    assert list(study.variants) == ["base", "distillation-steps-2", "distillation-ratio-3-8_distillation-steps-2"]


# What is refused


@pytest.mark.parametrize(
    "content",
    [
        {"variants": {"no-esa": {"model": {"num_groups": 2}}}, "leave_one_out": ["esa"]},
        {"factors": {"esa": [False, False]}},
        {"factors": {"esa": [True, False]}, "zip": {"esa": [False]}},
    ],
    ids=["a named one and a generated one", "a value twice", "two generators"],
)
def test_two_variants_of_one_name_are_refused(content: dict[str, Any]) -> None:
    assert re.search(r"two variants are called (no-esa|esa-off):", problem(**content))


def test_two_variants_that_are_the_same_run_are_refused() -> None:
    line = problem(variants={"gateless": {"model": {"esa": False}}}, leave_one_out=["esa"])
    assert "variant no-esa is the same network, data and training as gateless: remove one of the two" in line
    assert "changes nothing" not in line


FIELDS = {
    "field": ("atention_sharing", "atention_sharing: no such field; did you mean 'attention_sharing'?"),
    "field of a section": ("train.step", "train.step: no such field; did you mean 'steps'?"),
    "section": (
        "modle.esa",
        "modle.esa: expected a field of the network, or section.field with a section of model, data, train, evaluate",
    ),
    "field of another section": ("batch_size", "batch_size: no such field; did you mean 'train.batch_size'?"),
    "field like no other": ("quux", "quux: no such field; known: scale, num_features"),
    "no field": ("train.", "train.: no such field; known: steps"),
}


@pytest.mark.parametrize(("name", "words"), FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("generator", ["factors", "zip", "exclude"])
def test_an_unknown_field_has_a_suggestion(generator: str, name: str, words: str) -> None:
    content = (
        {"leave_one_out": ["esa"], "exclude": [{name: 1}]} if generator == "exclude" else {generator: {name: [1, 2]}}
    )
    assert words in problem(**content)


@pytest.mark.parametrize("match", [None, "params"])
@pytest.mark.parametrize("generator", ["factors", "zip"])
def test_a_value_out_of_range_is_reported_with_its_variant_and_the_remedy(generator: str, match: str | None) -> None:
    line = problem(match=match, **{generator: {"window_size": [8, 1, 4]}})
    assert "variant window-size-1: model.window_size: Input should be greater than or equal to 2 (got 1)" in line
    assert "exclude" in line
    assert "window-size-4" not in line


def test_a_change_that_a_person_wrote_is_not_to_be_excluded() -> None:
    assert "exclude" not in problem(variants={"b": {"model": {"window_size": 1}}}, match="params")


# Controls of the same size


def parameters(study: Study, variant: str) -> int:
    return count_parameters(ASID(study.run_config(variant, 0).model))


def test_match_adds_a_control_of_the_size_of_the_base_behind_each_variant_of_another_size() -> None:
    # Meso windows alone have as many parameters.
    named = {"meso-only": {"model": {"spatial_windows": ["meso", "meso"]}}}
    study = make(variants=named, leave_one_out=["sharing", "esa"], match="params")
    assert list(study.variants) == ["base", "meso-only", "no-sharing", "no-sharing-matched", "no-esa", "no-esa-matched"]
    assert {name: variant.control_of for name, variant in study.variants.items() if variant.control_of} == {
        "no-sharing-matched": "no-sharing",
        "no-esa-matched": "no-esa",
    }
    target = parameters(study, "base")
    for name in ("no-sharing", "no-esa"):
        assert abs(parameters(study, name) / target - 1) > 0.02
        assert abs(parameters(study, f"{name}-matched") / target - 1) <= 0.02
        variant, control = study.run_config(name, 0), study.run_config(f"{name}-matched", 0)
        changed = {key for key, value in control.model.to_dict().items() if value != variant.model.to_dict()[key]}
        assert changed <= {"num_features", "num_groups", "distillation_ratio"}
        assert "num_features" in changed
        assert control.override(model=variant.model.to_dict()) == variant


def test_without_match_there_are_no_controls() -> None:
    assert list(make(leave_one_out=["sharing"]).variants) == ["base", "no-sharing"]


def test_a_variant_that_cannot_be_brought_to_the_size_of_the_base_is_reported() -> None:
    line = problem(
        base={"model": {"num_features": 4, "num_groups": 1, "distillation_ratio": 0}},
        variants={"big": {"model": {"spatial_windows": ["meso"] * 4}}},
        match="params",
    )
    assert re.search(
        r"match: variant big: no width or number of groups .* 2% of the base's \d+ params; the nearest has \d+",
        line,
    )


def test_a_control_does_not_take_the_name_of_a_variant() -> None:
    variants = {"a": {"model": {"esa": False}}, "a-matched": {"model": {"num_groups": 2}}}
    assert "match: there is already a variant a-matched" in problem(variants=variants, match="params")


# Steps


def test_the_steps_of_a_variant_are_over_those_of_the_base_and_its_own() -> None:
    study = make(
        base={"train": {"steps": 7}},
        variants={"b": {"train": {"steps": 9}}, "c": {"model": {"esa": False}}},
        steps_of={"b": 3, "base": 2},
    )
    assert [study.run_config(name, 0).train.steps for name in ("base", "b", "c")] == [2, 3, 7]
    assert study.run_config("b", 0).train.override(steps=7) == study.run_config("c", 0).train


# References


def test_a_plain_cnn_is_planned_like_a_variant_with_the_data_and_steps_of_the_base() -> None:
    train = {"steps": 7, "start": "linear", "rates": {"deep": 0.1}, "ema_decay": 0.9}
    study = make(
        base={"train": train, "model": {"scale": 3}},
        variants={"b": {"model": {"esa": False}}},
        steps_of={"base": 5},
        references=("plain-cnn", "bicubic"),
        seeds=(1, 0),
    )
    assert list(study.variants) == ["base", "b"]
    assert study.run_names == ["base", "b", "plain-cnn"]
    assert study.run_count == 6
    base, cnn = study.run_config("base", 1), study.run_config("plain-cnn", 1)
    assert isinstance(cnn.model, PlainCNNConfig)
    assert (cnn.seed, cnn.data, cnn.evaluate, cnn.model.scale) == (1, base.data, base.evaluate, 3)
    shared = ("steps", "batch_size", "ema_decay", "weight_decay", "precision")
    assert all(getattr(cnn.train, name) == getattr(base.train, name) for name in shared)
    assert (cnn.train.steps, cnn.train.start, cnn.train.rates) == (5, "random", {})


@pytest.mark.parametrize(("name", "scale"), [("asid-tiny", 4), ("asid-laptop", 2), ("asid", 2), ("asid-d8", 3)])
def test_a_plain_cnn_has_the_parameters_of_the_base_as_nearly_as_a_width_can(name: str, scale: int) -> None:
    target = size(preset(name, scale=scale), "params")
    cnn = plain_cnn_of_size(preset(name, scale=scale))
    found = abs(size(cnn, "params") - target)
    assert found < 0.03 * target
    for width in (cnn.num_features - 1, cnn.num_features + 1):
        assert abs(size(cnn.override(num_features=width), "params") - target) >= found


@pytest.mark.parametrize("place", ["base", "variant"])
def test_a_plain_cnn_is_no_variant(place: str) -> None:
    plain = {"model": {"network": "plain-cnn"}}
    content = {"base": plain} if place == "base" else {"variants": {"cnn": plain}}
    assert "references" in problem(preset="asid", **content)


def test_a_study_is_the_same_after_it_was_written_and_read() -> None:
    """What the runner leaves in the study's folder is what is resumed."""
    study = make(
        base={"model": {"num_groups": 1}},
        variants={"gated": {"model": {"esa": False}, "train": {"ema_decay": None}}},
        factors={"distillation_ratio": [0.25, "1/8"], "train.gradient_clip": [None, 1.0]},
        pairwise=["position-bias", "esa"],
        exclude=[{"distillation_ratio": "1/8", "train.gradient_clip": 1}],
        match="params",
        minutes=2.5,
        steps_of={"base": 3},
        seeds=[1, 0],
    )
    again = expand(StudyConfig.model_validate(json.loads(json.dumps(study.config.to_dict()))))
    assert again == study
    assert again.variants == study.variants
    assert again.dropped == study.dropped
    assert [again.run_config(name, 1) for name in again.variants] == [
        study.run_config(name, 1) for name in study.variants
    ]


# Profiles

PROFILES = (
    HEAD
    + """
base: {model: {esa: false, scale: 3}, train: {steps: 7, batch_size: 4}}
seeds: [4]
minutes: 5
factors: {position_bias: [true, false]}
profiles:
  laptop: {base: {train: {steps: 9}, data: {patch_size: 16}}}
  paper: {preset: asid, seeds: [1, 2], minutes: 60, references: [bicubic, plain-cnn], until: {looks: [2, 3]}}
"""
)


def test_the_first_profile_is_the_default(tmp_path: Path) -> None:
    path = write(tmp_path, PROFILES)
    assert load_study(path) == load_study(path, "laptop")
    assert load_study(path).config.profile == "laptop"


def test_a_profile_is_merged_into_the_base_section_by_section(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, PROFILES), "laptop")
    assert study.config.base == {
        "model": {"esa": False, "scale": 3},
        "train": {"steps": 9, "batch_size": 4},
        "data": {"patch_size": 16},
    }
    assert (study.config.preset, study.config.seeds, study.config.minutes) == ("asid-tiny", (4,), 5)
    assert list(study.variants) == ["base", "position-bias-off"]


def test_a_profile_replaces_preset_seeds_looks_minutes_and_references(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, PROFILES), "paper")
    config = study.config
    assert (config.profile, config.preset, config.seeds, config.minutes) == ("paper", "asid", (1, 2, 0), 60)
    assert config.until
    assert config.until.looks == (2, 3)
    assert config.references == ("bicubic", "plain-cnn")
    assert load_study(write(tmp_path, PROFILES), "laptop").config.references == ("bicubic", "linear")
    assert study.run_config("base", 1).model.num_features == 48
    assert study.config.base == {"model": {"esa": False, "scale": 3}, "train": {"steps": 7, "batch_size": 4}}


def test_a_study_need_not_be_valid_without_its_profile(tmp_path: Path) -> None:
    """For example a ratio that fits one width only."""
    text = (
        HEAD
        + "factors: {distillation_ratio: [1/4, 1/6]}\nprofiles: {wide: {base: {model: {num_features: 24}}}, narrow: {}}"
    )
    path = write(tmp_path, text)
    assert list(load_study(path).variants) == ["base", "distillation-ratio-1-6"]
    assert "1/6" in messages(path, "narrow")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [(PROFILES, "expected one of laptop, paper"), (STUDY, "it has none"), (HEAD + "profiles: {}", "none")],
)
def test_an_unknown_profile_is_reported_with_those_there_are(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    (line,) = messages(path, "labtop")
    assert line.startswith(f"{path} has no profile labtop: ")
    assert words in line


@pytest.mark.parametrize("text", ["", "profiles: {}\n", "profiles:\n"])
def test_a_study_without_profiles_is_itself(text: str, tmp_path: Path) -> None:
    study = load_study(write(tmp_path, HEAD + text))
    assert study.config.profile is None
    assert type(study.config) is StudyConfig


SHARED = """
laptop: {preset: asid-tiny, base: {train: {steps: 9}, data: {patch_size: 16}}, seeds: [1, 2]}
paper: {base: {train: {steps: 90}}}
"""


def write_shared(folder: Path, text: str = SHARED) -> None:
    (folder / PROFILES_FILE).write_text(text)


def test_a_study_names_profiles_that_are_written_once(tmp_path: Path) -> None:
    write_shared(tmp_path)
    path = write(tmp_path, HEAD + "base: {train: {steps: 7, batch_size: 4}}\nprofiles: [laptop, paper]")
    study = load_study(path).config
    assert (study.profile, study.preset, study.seeds) == ("laptop", "asid-tiny", (1, 2))
    assert study.base == {"train": {"steps": 9, "batch_size": 4}, "data": {"patch_size": 16}}
    assert load_study(path, "paper").config.base == {"train": {"steps": 90, "batch_size": 4}}


def test_a_study_changes_a_shared_profile(tmp_path: Path) -> None:
    write_shared(tmp_path)
    laptop = "{base: {model: {esa: false}, train: {steps: 8}}, seeds: [5]}"
    text = f"profiles:\n  laptop: {laptop}\n  paper:\n  own: {{minutes: 3}}"
    path = write(tmp_path, HEAD + text)
    study = load_study(path).config
    assert (study.preset, study.seeds) == ("asid-tiny", (5,))
    assert study.base == {"model": {"esa": False}, "train": {"steps": 8}, "data": {"patch_size": 16}}
    assert load_study(path, "paper").config.base == {"train": {"steps": 90}}
    assert load_study(path, "own").config.minutes == 3


def test_a_shared_profile_is_not_applied_unless_it_is_named(tmp_path: Path) -> None:
    write_shared(tmp_path)
    assert load_study(write(tmp_path, HEAD)).config.profile is None
    assert "it has none" in messages(write(tmp_path, HEAD), "laptop")[0]


@pytest.mark.parametrize("text", ["profiles: [labtop]", "profiles: {labtop: }"])
def test_a_profile_that_nobody_wrote_is_reported(text: str, tmp_path: Path) -> None:
    (line,) = messages(write(tmp_path, HEAD + text))
    assert "labtop is empty" in line
    write_shared(tmp_path)
    (line,) = messages(write(tmp_path, HEAD + text))
    assert "laptop, paper" in line


@pytest.mark.parametrize(
    ("text", "word"), [("laptop: {sees: [1]}", "did you mean 'seeds'"), ("[", "YAML"), ("- laptop", "mapping")]
)
def test_damaged_shared_profiles_are_reported(text: str, word: str, tmp_path: Path) -> None:
    write_shared(tmp_path, text)
    assert word in messages(write(tmp_path, HEAD + "profiles: [laptop]"))[0]


# The schema for editors

SCHEMA = jsonschema.Draft202012Validator(StudyFile.model_json_schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(StudyFile.model_json_schema())
    described = StudyFile.model_json_schema()["properties"]
    assert [name for name, field in described.items() if not field.get("description")] == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_the_schema_takes_every_committed_study(path: Path) -> None:
    SCHEMA.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        STUDY,
        PROFILES,
        HEAD + "exclude: [{esa: false}]\nleave_one_out: [esa, sharing]\nmatch: null",
        HEAD + "profiles: [laptop]",
    ],
)
def test_the_schema_takes_what_is_loaded(text: str, tmp_path: Path) -> None:
    write_shared(tmp_path)
    load_study(write(tmp_path, text))
    SCHEMA.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "variants: {a: }\nseed: [0]",
        "profiles: {a: {sees: [1]}}",
        "profiles: [3]",
        "leave_one_out: [eas]",
        "match: flops",
        "factors: {esa: true}",
        "exclude: {esa: true}",
        "variants: {a: {model: 3}}",
    ],
)
def test_the_schema_refuses_what_is_not_loaded(text: str, tmp_path: Path) -> None:
    assert messages(write(tmp_path, HEAD + text))
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(yaml.safe_load(HEAD + text))


def test_the_quick_study_and_the_laptop_profile_train_by_the_same_recipe() -> None:
    """The recipe of docs/recipe.md; the quick study is shorter, and its average follows more closely."""
    recipes = []
    for name, profile in (("quick", None), ("sharing", "laptop")):
        base = load_study(ROOT / "ablations" / f"{name}.yaml", profile).config.base
        train = {key: value for key, value in base["train"].items() if not key.endswith("_every")}
        recipes.append(({**train, "steps": None, "ema_decay": None}, base["data"]))
    assert recipes[0] == recipes[1]


# Looks at a growing study


def looking(until: dict[str, Any], **study: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "growing", "question": "When?", "until": until, **study})


def test_a_study_with_looks_has_the_seeds_of_its_last_look() -> None:
    assert looking({}).seeds == tuple(range(8))
    assert looking({"looks": [2, 4]}, seeds=[7, 0]).seeds == (7, 0, 1, 2)
    again = StudyConfig.model_validate(looking({"looks": [2, 4]}, seeds=[7, 0]).to_dict())
    assert again.seeds == (7, 0, 1, 2)


@pytest.mark.parametrize(
    ("until", "study", "words"),
    [
        ({"looks": [3, 3]}, {}, "more seeds at each look"),
        ({"looks": [1, 3]}, {}, "greater than or equal to 2"),
        ({"looks": []}, {}, "at least 1 item"),
        ({"alpha": 0.5}, {}, "0.2"),
        ({"spending": "none"}, {}, "obrien-fleming"),
        ({"lookz": [3]}, {}, "lookz"),
        ({"looks": [2, 3]}, {"seeds": [0, 1, 2, 3]}, "at most 3 seeds"),
        ({"looks": [2, 3]}, {"seeds": [-1]}, "seeds"),
    ],
)
def test_wrong_looks_are_refused(until: dict[str, Any], study: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        looking(until, **study)
