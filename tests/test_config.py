"""Configurations: validation and its messages, spellings, digests, axes, presets."""

import json
import math
from fractions import Fraction
from typing import Any, Self

import pytest
from pydantic import ValidationError, model_validator

from asid.config import (
    AXES,
    PRESETS,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    PlainCNNConfig,
    RunConfig,
    TrainConfig,
    build_run,
    describe_errors,
    preset,
)
from asid.files import is_printable

# Another valid value for every field of every configuration.
CHANGES: dict[type, dict[str, Any]] = {
    ModelConfig: {
        "scale": 3,
        "num_features": 64,
        "num_groups": 8,
        "attention_sharing": "none",
        "distillation_ratio": "1/8",
        "distillation_steps": 2,
        "spatial_windows": ["global", "meso"],
        "channel_windows": [],
        "window_size": 4,
        "global_kind": "window",
        "global_size": 16,
        "local_module": False,
        "squeeze_excitation": False,
        "esa": False,
        "position_bias": False,
        "padding": "reflect",
    },
    DataConfig: {
        "train": "photos",
        "validation": "photos",
        "allow_overlap": True,
        "patch_size": 48,
        "candidates": 2,
        "augment": False,
        "border": "replicate",
    },
    TrainConfig: {
        "start": "linear",
        "pretrained": "asid-tiny",
        "value_range": [-1.0, 1.0],
        "rates": {"deep": 0.1},
        "steps": 10,
        "batch_size": 8,
        "optimizer": "muon",
        "muon_rate": 0.01,
        "learning_rate": 1e-3,
        "betas": [0.9, 0.99],
        "weight_decay": 0.0,
        "schedule": "step",
        "warmup_steps": 5,
        "gradient_clip": 1.0,
        "ema_decay": 0.999,
        "validate_every": 10,
        "checkpoint_every": 10,
        "checkpoints": [0.25, 0.5],
        "precision": "bf16-mixed",
        "compile": True,
        "accelerator": "cpu",
        "devices": 2,
        "num_nodes": 2,
        "loader_workers": 2,
    },
    EvalConfig: {
        "data": ["samples", "photos"],
        "border": "replicate",
        "protocol": "psnr-rgb/ssim-rgb crop=scale",
        "tile": 64,
        "overlap": 8,
        "blend": "smooth",
        "ensemble": True,
        "precision": "bf16-mixed",
        "also_tile": 32,
    },
    RunConfig: {
        "model": {"scale": 4},
        "data": {"augment": False},
        "train": {"steps": 3},
        "evaluate": {"border": "replicate"},
        "seed": 1,
    },
}
FIELDS = [(config, field) for config, changes in CHANGES.items() for field in changes]


def problems(config: type, content: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        config.model_validate(content)
    return describe_errors(caught.value)


@pytest.mark.parametrize("data", [["a/Set5", "b/Set5"], ["Set5", "Set5"]])
def test_evaluation_sets_need_different_names(data: list[str]) -> None:
    with pytest.raises(ValidationError, match="two evaluation sets are called Set5"):
        EvalConfig(data=data)
    EvalConfig(data=["a/Set5", "b/Set14"])


@pytest.mark.parametrize("config", CHANGES)
def test_changes_cover_every_field(config: type) -> None:
    assert set(CHANGES[config]) == set(config.model_fields)


@pytest.mark.parametrize(("config", "field"), FIELDS)
def test_digest_differs_for_each_field(config: type, field: str) -> None:
    changed = config().override(**{field: CHANGES[config][field]})
    assert getattr(changed, field) != getattr(config(), field)
    assert changed.digest() != config().digest()


@pytest.mark.parametrize("config", CHANGES)
def test_digest_is_equal_for_equal_content(config: type) -> None:
    content = CHANGES[config]
    shuffled = dict(reversed(content.items()))
    assert config.model_validate(content) == config.model_validate(shuffled)
    assert config.model_validate(content).digest() == config.model_validate(shuffled).digest()
    assert len(config().digest()) == 12


def test_digest_does_not_depend_on_the_spelling_of_a_ratio() -> None:
    assert (
        len(
            {
                ModelConfig(distillation_ratio=ratio).digest()
                for ratio in ("1/8", "0.125", 0.125, Fraction(1, 8), "2/16")
            }
        )
        == 1
    )


@pytest.mark.parametrize("config", CHANGES)
def test_json_round_trip(config: type) -> None:
    changed = config.model_validate(CHANGES[config])
    assert config.model_validate(json.loads(json.dumps(changed.to_dict()))) == changed


@pytest.mark.parametrize(("config", "field"), FIELDS)
def test_fields_are_frozen_and_described(config: type, field: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config(), field, CHANGES[config][field])
    assert config.model_fields[field].description


@pytest.mark.parametrize(
    ("config", "content", "field", "words"),
    [
        (ModelConfig, {"num_feature": 48}, "num_feature", ["unknown key", "did you mean 'num_features'"]),
        (RunConfig, {"model": {"attention_shared": 2}}, "model.attention_shared", ["did you mean 'attention_sharing'"]),
        (RunConfig, {"training": {}}, "training", ["did you mean 'train'"]),
        (EvalConfig, {"zzz": 1}, "zzz", ["unknown key", "known keys: tile, overlap"]),
        (ModelConfig, {"scale": 5}, "scale", ["1, 2, 3, 4 or 8", "got 5"]),
        (TrainConfig, {"steps": 0}, "steps", ["greater than or equal to 1", "got 0"]),
        (TrainConfig, {"batch_size": 1.5}, "batch_size", ["valid integer", "got 1.5"]),
    ],
)
def test_a_problem_is_one_line(config: type, content: dict[str, Any], field: str, words: list[str]) -> None:
    (line,) = problems(config, content)
    assert line.startswith(f"{field}: ")
    assert all(word in line for word in words), line


def test_all_problems_are_reported_at_once() -> None:
    content = {
        "model": {"scale": 5, "num_featurs": 48, "spatial_windows": ["mesa"], "distillation_ratio": "quarter"},
        "data": {"patch_size": 2},
        "train": {"steps": 0, "learning_rate": -1},
        "seed": -1,
        "sede": 1,
    }
    lines = problems(RunConfig, content)
    assert sorted(line.split(":")[0] for line in lines) == [
        "data.patch_size",
        "model.distillation_ratio",
        "model.num_featurs",
        "model.scale",
        "model.spatial_windows.0",
        "sede",
        "seed",
        "train.learning_rate",
        "train.steps",
    ]


def test_alternatives_of_one_field_are_one_problem() -> None:
    (line,) = problems(ModelConfig, {"attention_sharing": "some"})
    assert line.startswith("attention_sharing: ")
    assert "'all' or 'none'" in line
    assert "integer" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distillation_ratio": "1/5"}, ["1/5", "48", "9.6", "whole number"]),
        ({"distillation_ratio": "1/3"}, ["1/3", "3", "no channel to refine"]),
        ({"distillation_ratio": "1/4", "distillation_steps": 4}, ["1/4", "4", "no channel to refine"]),
        ({"num_features": 50}, ["1/4", "50", "12.5"]),
    ],
)
def test_impossible_distillation_raises(changes: dict[str, Any], words: list[str]) -> None:
    (line,) = problems(ModelConfig, changes)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(("ratio", "steps"), [("1/3", 2), ("1/4", 3), ("1/8", 7), (0, 16)])
def test_possible_distillation(ratio: str | int, steps: int) -> None:
    config = ModelConfig(distillation_ratio=ratio, distillation_steps=steps)
    distilled = int(48 * Fraction(ratio))
    assert config.distilled_channels == distilled
    assert config.step_widths == tuple(48 - i * distilled for i in range(steps))


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        (["1/4", 0.25, "0.25", " 1/4 ", Fraction(1, 4), "12/48"], Fraction(1, 4)),
        (["1/6", 1 / 6, Fraction(1, 6)], Fraction(1, 6)),
        ([0, 0.0, "0", "0/1"], Fraction(0)),
    ],
)
def test_spellings_of_a_ratio_agree(spellings: list[Any], expected: Fraction) -> None:
    assert {ModelConfig(distillation_ratio=spelling).distillation_ratio for spelling in spellings} == {expected}


@pytest.mark.parametrize(
    "ratio", ["quarter", "1/0", "", None, True, [1, 4], 0.123, math.nan, math.inf, 1, -0.25, "5/4"]
)
def test_bad_ratios_raise(ratio: Any) -> None:
    (line,) = problems(ModelConfig, {"distillation_ratio": ratio})
    assert line.startswith("distillation_ratio: ")


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "gradient_clip", "ema_decay"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_must_be_finite(field: str, value: float) -> None:
    (line,) = problems(TrainConfig, {field: value})
    assert line.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("asid", {}),
        ("asid-d8", {"num_groups": 8}),
        ("asid-laptop", {"num_features": 32, "num_groups": 2, "distillation_steps": 2}),
        ("asid-tiny", {"num_features": 16}),
    ],
)
def test_presets_are_deltas_over_the_paper(name: str, expected: dict[str, Any]) -> None:
    assert preset(name) == ModelConfig(**expected)
    assert preset(name, scale=4) == ModelConfig(**expected, scale=4)
    assert set(PRESETS) == {"asid", "asid-d8", "asid-laptop", "asid-tiny"}


def test_unknown_preset_has_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"expected one of asid, .*; did you mean 'asid-d8'"):
        preset("asid_d8")


def test_preset_changes_are_validated() -> None:
    with pytest.raises(ValidationError, match="did you mean 'scale'"):
        preset("asid", scal=4)


def test_override_validates_and_leaves_the_original() -> None:
    base = ModelConfig()
    changed = base.override(attention_sharing=2, distillation_ratio="1/8")
    assert (changed.attention_sharing, changed.distillation_ratio) == (2, Fraction(1, 8))
    assert base == ModelConfig()
    with pytest.raises(ValidationError, match="whole number"):
        base.override(distillation_ratio="1/5")
    with pytest.raises(ValidationError, match="unknown key"):
        base.override(ratio="1/8")


@pytest.mark.parametrize(
    ("sharing", "groups", "making"),
    [("all", 3, {0}), ("none", 3, {0, 1, 2}), (1, 3, {0, 1, 2}), (2, 5, {0, 2, 4}), (3, 8, {0, 3, 6}), (9, 3, {0})],
)
def test_which_groups_make_maps(sharing: str | int, groups: int, making: set[int]) -> None:
    config = ModelConfig(attention_sharing=sharing, num_groups=groups)
    assert {group for group in range(groups) if config.makes_maps(group)} == making


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 8),
        ({"global_size": 16}, 16),
        ({"global_size": 6}, 24),
        ({"window_size": 4, "spatial_windows": ["meso"], "channel_windows": ["meso"]}, 4),
        ({"global_size": 16, "spatial_windows": ["meso"], "channel_windows": ["global"]}, 16),
        ({"spatial_windows": [], "channel_windows": []}, 1),
    ],
)
def test_size_multiple_fits_every_window_in_use(changes: dict[str, Any], expected: int) -> None:
    assert ModelConfig(**changes).size_multiple == expected


def test_every_field_of_the_network_is_an_axis() -> None:
    assert list(AXES) == list(ModelConfig.model_fields)


@pytest.mark.parametrize("name", AXES)
def test_the_off_value_of_an_axis_is_one_of_its_values(name: str) -> None:
    axis = AXES[name]
    assert (axis.component is None) == (axis.off is None)
    if axis.component:
        assert axis.off in axis.values
    assert set(axis.items) <= {item for value in axis.values if isinstance(value, tuple) for item in value}


@pytest.mark.parametrize(
    ("changes", "reduced_groups", "kinds"),
    [
        ({}, 2, (0, 1, 1)),
        ({"attention_sharing": "none"}, 1, (0, 0, 0)),
        ({"attention_sharing": 2, "num_groups": 5}, 2, (0, 1, 0, 1, 0)),
        ({"num_groups": 1}, 1, (0,)),
    ],
)
def test_one_group_of_each_kind(changes: dict[str, Any], reduced_groups: int, kinds: tuple[int, ...]) -> None:
    config = ModelConfig(**changes)
    reduced, group_kinds = config.group_kinds()
    assert group_kinds == kinds
    assert reduced == config.override(num_groups=reduced_groups)
    assert [reduced.makes_maps(kind) for kind in range(reduced_groups)] == [True, False][:reduced_groups]


def test_a_run_is_of_asid_or_of_a_plain_cnn() -> None:
    plain = RunConfig.model_validate({"model": {"network": "plain-cnn", "num_features": 8}})
    assert plain.model == PlainCNNConfig(num_features=8)
    for run in (plain, RunConfig(), RunConfig(model=plain.model)):
        assert RunConfig.model_validate(run.to_dict()) == run
        assert run.override(seed=3).model == run.model
    assert build_run("asid", {"model": {"network": "plain-cnn"}}).model == PlainCNNConfig()
    with pytest.raises(ValueError, match="preset asid-tiny"):
        build_run("asid-tiny", {"model": {"network": "plain-cnn"}})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {"network": "plain-cnn", "num_block": 2}}, ["model.num_block:", "did you mean 'num_blocks'"]),
        ({"model": {"network": "plain-cnn", "esa": True}}, ["model.esa:", "unknown key", "num_features"]),
        ({"model": {"network": "resnet"}}, ["model.network:", "'plain-cnn'", "'resnet'"]),
        ({"model": {"num_group": 2}}, ["model.num_group:", "did you mean 'num_groups'"]),
        ({"model": {"scale": 5}}, ["model.scale:", "got 5"]),
        ({"model": {"network": "plain-cnn"}, "train": {"start": "linear"}}, ["train.start", "plain CNN"]),
        ({"model": {"network": "plain-cnn"}, "train": {"rates": {"deep": 2}}}, ["train.rates", "plain CNN"]),
    ],
    ids=str,
)
def test_a_mistake_in_either_network_is_reported_for_its_own_field(content: dict[str, Any], words: list[str]) -> None:
    (problem,) = problems(RunConfig, content)
    assert all(word in problem for word in words), problem


def test_messages_may_contain_braces() -> None:
    class Picky(Config):
        value: int = 0

        @model_validator(mode="after")
        def _check(self) -> Self:
            raise ValueError("expected {nothing}, got {value}")

    assert problems(Picky, {}) == ["Picky: expected {nothing}, got {value}"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rates": {"uppsample": 0.1}}, ["rates", "uppsample", "did you mean 'upsample'"]),
        ({"rates": {"esa": 0.1}}, ["rates", "'esa'", "groups"]),
        ({"rates": {"deep": 0}}, ["rates.deep", "greater than 0"]),
        ({"value_range": [1, 1]}, ["value_range", "black below white"]),
        ({"start": "bicubic"}, ["start", "'random'", "'linear'"]),
    ],
    ids=str,
)
def test_training_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: list[str]) -> None:
    (problem,) = problems(TrainConfig, settings)
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.steps", 10**19),
        ("train.steps", True),
        ("train.devices", 1_000_000),
        ("train.num_nodes", 10**6),
        ("train.loader_workers", 10**6),
        ("train.batch_size", 10**9),
        ("train.warmup_steps", 10**30),
        ("evaluate.data", []),
        ("evaluate.data", ["a\x1b[2J"]),
        ("evaluate.tile", 10**9),
        ("data.train", "two\nlines"),
        ("data.train", ""),
        ("model.distillation_ratio", "9" * 5000),
        ("model.distillation_ratio", "1e999999999"),
        ("model.spatial_windows", ["meso"] * 20_000),
        ("seed", 2**40),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_out_of_bounds_are_refused_in_a_short_line(field: str, value: Any) -> None:
    section, _, name = field.rpartition(".")
    (line,) = problems(RunConfig, {section: {name: value}} if section else {name: value})
    assert line.startswith(field)
    assert len(line) < 500
    assert is_printable(line)


def test_windows_that_do_not_divide_each_other_may_not_pad_an_image_to_gigapixels() -> None:
    with pytest.raises(ValidationError, match="4032 pixels"):
        ModelConfig(window_size=64, global_size=63)
    assert (
        ModelConfig(window_size=64, global_size=63, spatial_windows=("meso",), channel_windows=()).size_multiple == 64
    )


def test_many_problems_are_not_all_listed() -> None:
    lines = problems(TrainConfig, {f"key{index}": 1 for index in range(30_000)})
    assert len(lines) <= 21
