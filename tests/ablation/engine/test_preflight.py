"""Before a study runs: an axis without effect is found, speeds are measured without a trace, the cost adds up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from paths import ROOT

from asid.ablation.engine import cost as costs
from asid.ablation.engine.cost import Speed, StudyCost, VariantCost, disk_megabytes, estimate, measure_speed, with_steps
from asid.ablation.engine.finished import finished_outcomes
from asid.ablation.engine.preflight import check_networks
from asid.ablation.study import references
from asid.ablation.study.expand import Study, expand, load_study
from asid.ablation.study.plan import PlannedRun, plan_study, write_plan
from asid.ablation.study.study import PROFILES_FILE, StudyConfig, StudyError
from asid.config import RunConfig
from asid.model.complexity import count_macs
from asid.model.network import ASID

COMMITTED = sorted((ROOT / "ablations").glob("*.yaml"))
COMMITTED = [path for path in COMMITTED if path.name != PROFILES_FILE]


def make(**content: Any) -> Study:
    """A study of the tiny network."""
    return expand(StudyConfig.model_validate({"name": "s", "question": "What?", "preset": "asid-tiny", **content}))


# Axes that do nothing


def test_networks_that_differ_are_counted() -> None:
    study = make(variants={"wide": {"model": {"num_features": 20}}}, leave_one_out=["esa"])
    parameters = check_networks(study)
    assert list(parameters) == ["base", "wide", "no-esa"]
    for name, count in parameters.items():
        assert count == sum(parameter.numel() for parameter in ASID(study.run_config(name, 0).model).parameters())


WITHOUT_SPATIAL: dict[str, Any] = {"model": {"spatial_windows": []}}
IDLE: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "every third of three groups makes maps, as all": (
        {"factors": {"attention_sharing": ["all", 3]}},
        "attention_sharing",
        ["attention-sharing-3", "attention sharing: 3", "base"],
    ),
    "sharing in a single group": (
        {"base": {"model": {"num_groups": 1}}, "leave_one_out": ["sharing"]},
        "attention_sharing",
        ["no-sharing"],
    ),
    "sharing without spatial attention": (
        {"base": WITHOUT_SPATIAL, "leave_one_out": ["sharing"]},
        "attention_sharing",
        ["no-sharing"],
    ),
    "bias without spatial attention": (
        {"base": WITHOUT_SPATIAL, "leave_one_out": ["position-bias"]},
        "position_bias",
        ["no-position-bias"],
    ),
    "gate without the local module": (
        {"base": {"model": {"local_module": False}}, "leave_one_out": ["squeeze-excitation"]},
        "squeeze_excitation",
        ["no-squeeze-excitation"],
    ),
    "window size without such windows": (
        {"base": {"model": {"spatial_windows": ["global"], "channel_windows": []}}, "factors": {"window_size": [8, 4]}},
        "window_size",
        ["window-size-4", "window size: 4"],
    ),
    "kind of global windows without any": (
        {
            "base": {"model": {"spatial_windows": ["meso"], "channel_windows": []}},
            "factors": {"global_kind": ["grid", "window"]},
        },
        "global_kind",
        ["global-kind-window"],
    ),
    "global windows that are meso windows": (
        {
            "base": {"model": {"global_kind": "window", "channel_windows": []}},
            "variants": {"meso-only": {"model": {"spatial_windows": ["meso", "meso"]}}},
        },
        "spatial_windows",
        ["meso-only", "spatial windows: meso + meso"],
    ),
    "two variants, neither of them the base": (
        {"leave_one_out": ["local-module"], "pairwise": ["local-module", "squeeze-excitation"]},
        "squeeze_excitation",
        ["no-local-module", "no-local-module_no-squeeze-excitation"],
    ),
}


@pytest.mark.parametrize(("content", "axis", "words"), IDLE.values(), ids=IDLE)
def test_an_axis_that_does_nothing_is_named(content: dict[str, Any], axis: str, words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        check_networks(make(**content))
    message = str(caught.value)
    assert f": {axis} has no effect there" in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "content",
    [
        {"factors": {"train.learning_rate": [0.0005, 0.001]}},
        {"factors": {"train.steps": [100_000, 200_000], "data.augment": [True, False]}},
        {"variants": {"b": {"model": {"attention_sharing": 3}, "train": {"ema_decay": 0.9}}}},
    ],
    ids=["learning rate", "steps and data", "with an idle axis beside"],
)
def test_one_network_that_is_trained_in_two_ways_is_allowed(content: dict[str, Any]) -> None:
    parameters = check_networks(make(**content))
    assert len(parameters) > 1
    assert len(set(parameters.values())) == 1


def test_two_networks_of_one_size_are_allowed() -> None:
    variants = {
        name: {"model": {"spatial_windows": list(windows)}}
        for name, windows in {"a": ["global", "meso"], "b": ["meso", "meso"], "c": ["global", "global"]}.items()
    }
    kinds = {
        "d": {"model": {"global_kind": "window", "global_size": 16, "position_bias": False}},
        "e": {"model": {"position_bias": False}},
    }
    parameters = check_networks(make(variants={**variants, **kinds}))
    assert len({parameters[name] for name in "abc"}) == 1
    assert parameters["d"] == parameters["e"]


def test_every_component_does_something() -> None:
    components = [
        "sharing",
        "distillation",
        "meso",
        "global",
        "channel-attention",
        "local-module",
        "squeeze-excitation",
        "esa",
        "position-bias",
    ]
    assert len(check_networks(make(leave_one_out=components))) == 10


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["first", "every profile"])
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_no_axis_of_a_committed_study_does_nothing(path: Path, every: bool) -> None:
    profiles = list(yaml.safe_load(path.read_text()).get("profiles") or [None])
    for profile in profiles if every else profiles[:1]:
        study = load_study(path, profile)
        assert list(check_networks(study)) == study.run_names


# Nothing to do


def test_a_study_is_not_done_if_the_recipe_of_a_reference_is_another_now(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no part of the study's file, nor of the code that makes weights."""
    photographs = {"train": str(crops / "train"), "validation": str(crops / "validation"), "patch_size": 16}
    sets = {"data": [str(crops / "validation")]}
    study = make(variants={"no-esa": {"model": {"esa": False}}}, base={"data": photographs, "evaluate": sets})
    study = study.override(references=["plain-cnn"], seeds=[0])
    write_plan(plan_study(study, tmp_path, tmp_path / "run.ipynb"), tmp_path)
    monkeypatch.setattr(PlannedRun, "is_done", lambda _: True)
    outcomes = finished_outcomes(study, tmp_path)
    assert outcomes is not None
    assert [outcome.label for outcome in outcomes] == ["base seed 0", "no-esa seed 0", "plain-cnn seed 0"]
    monkeypatch.setitem(references._RECIPE, "learning_rate", 0.0041)
    assert finished_outcomes(study, tmp_path) is None


# Speed


def test_a_speed_is_positive_and_measuring_it_leaves_no_trace(
    tiny_run: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    monkeypatch.setattr(costs, "_TIMED", 1)
    speed = measure_speed(tiny_run(model={"num_groups": 1}), threads + 1)
    assert speed.seconds_a_step > 0
    assert speed.seconds_a_pixel > 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_are_as_before_though_measuring_failed(
    tiny_run: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(*_: Any, **__: Any) -> None:
        seen.append(torch.get_num_threads())
        raise MemoryError

    monkeypatch.setattr(costs, "build_network", fail)
    threads = torch.get_num_threads()
    with pytest.raises(MemoryError):
        measure_speed(tiny_run(), threads + 1)
    assert seen == [threads + 1], "measured with as many as a run has"
    assert torch.get_num_threads() == threads


def test_a_batch_that_does_not_fit_is_said_in_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(costs, "measure_speed", fail)
    with pytest.raises(MemoryError, match=r"base: expected memory for a step .* lower train\.batch_size"):
        costs.measure_speeds(make(base={"train": {"batch_size": 7}}), 1, tmp_path, store=False)


# Cost

SPEED = Speed(seconds_a_step=0.5, seconds_a_pixel=0.001)
LR_PIXELS = 24 * 24
"""Of the one photograph that is validated and evaluated, 48×48 at scale 2."""


@pytest.fixture
def cost(tiny_run: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> Callable[..., VariantCost]:
    """``cost(seeds=[0, 1], train={...}, evaluate={...}, windows=[])``: the estimate of a study of one variant.

    Its speed is :data:`SPEED`.
    """
    run = tiny_run(steps=100, validate_every=100).to_dict()
    monkeypatch.setattr(costs, "count_macs", lambda _: 1)  # takes half a second, and no time is estimated from it

    def of(
        seeds: tuple[int, ...] = (0,),
        train: dict[str, Any] | None = None,
        evaluate: dict[str, Any] | None = None,
        windows: tuple[str, ...] = ("meso", "global"),
    ) -> VariantCost:
        model = {"num_groups": 2, "spatial_windows": windows}
        base = {"model": model, "data": run["data"], "train": {**run["train"], **(train or {})}}
        study = make(base={**base, "evaluate": {**run["evaluate"], **(evaluate or {})}}, seeds=seeds)
        (row,) = estimate(study, {"base": 1000}, {"base": SPEED})
        assert row.hours > 0
        return row

    return of


def test_an_estimate_describes_its_variant(tiny_run: Callable[..., RunConfig]) -> None:
    run = tiny_run().to_dict()
    base = {key: run[key] for key in ("data", "train", "evaluate")}
    study = make(
        base=base, variants={"b": {"model": {"num_groups": 2, "esa": False}, "train": {"steps": 9}}}, seeds=[0, 1]
    )
    rows = estimate(study, {"base": 10, "b": 20}, {"base": SPEED, "b": Speed(1.5, 0.1)})
    assert [(row.variant, row.change, row.seeds, row.parameters, row.steps, row.seconds_a_step) for row in rows] == [
        ("base", "–", 2, 10, 6, 0.5),
        ("b", "num groups: 2, esa: off, steps: 9", 2, 20, 9, 1.5),
    ]
    assert [row.macs for row in rows] == [count_macs(study.run_config(name, 0).model) for name in study.variants]


def test_a_trained_reference_has_its_cost_and_the_steps_of_the_base() -> None:
    study = make(references=["plain-cnn"], seeds=[0, 1], minutes=1)
    speeds = {"base": SPEED, "plain-cnn": Speed(seconds_a_step=0.1, seconds_a_pixel=0.001)}
    base, cnn = estimate(with_steps(study, speeds), check_networks(study), speeds)
    assert (cnn.variant, cnn.seeds, cnn.steps) == ("plain-cnn", 2, base.steps)
    assert cnn.parameters == pytest.approx(base.parameters, rel=0.05)
    assert 0 < cnn.hours < base.hours


def test_the_hours_are_those_of_all_seeds(cost: Callable[..., VariantCost]) -> None:
    assert cost(seeds=(0, 1, 2)).hours == pytest.approx(3 * cost().hours)


def test_a_budget_pays_only_for_the_seeds_that_are_left(cost: Callable[..., VariantCost]) -> None:
    row = replace(cost(seeds=(0, 1, 2, 3, 4)), done=3, hours_a_run=1.0, hours=2.0)
    fits = {hours: StudyCost(1, [row], {}).fit(hours) for hours in (0.5, 1.5, 2.0)}
    assert {hours: (fit.fits, fit.seeds) for hours, fit in fits.items()} == {
        0.5: (False, 3),
        1.5: (False, 4),
        2.0: (True, 5),
    }
    decided = replace(row, done=3, spared=2, hours=0.0)
    assert StudyCost(1, [row, decided], {}).left == 2
    assert StudyCost(1, [row, decided], {}).fit(1.0).seeds == 4
    assert [replace(row, done=0, spared=2).left_of(seeds) for seeds in (2, 4)] == [2, 3], "the first three are needed"


def test_each_step_takes_its_time(cost: Callable[..., VariantCost]) -> None:
    longer = cost(train={"steps": 300, "validate_every": 300})
    assert longer.steps == 300
    assert longer.hours - cost().hours == pytest.approx(200 * 0.5 / 3600)


def test_each_validation_takes_its_time(cost: Callable[..., VariantCost]) -> None:
    assert cost(train={"validate_every": 30}).hours - cost().hours == pytest.approx(3 * LR_PIXELS * 0.001 / 3600), (
        "four instead of one"
    )


@pytest.mark.parametrize(
    ("evaluate", "factor"),
    [
        ({"ensemble": True}, 8),
        ({"tile": 16, "overlap": 8}, 4),
        ({"tile": 16, "overlap": 0}, 1),
        ({"tile": 16, "overlap": 8, "ensemble": True}, 32),
    ],
    ids=str,
)
def test_how_a_network_is_applied_takes_its_time(
    evaluate: dict[str, Any], factor: int, cost: Callable[..., VariantCost]
) -> None:
    passes = 2  # with the network's own attention maps and with uniform ones
    expected = passes * (factor - 1) * LR_PIXELS * 0.001 / 3600
    assert cost(evaluate=evaluate).hours - cost().hours == pytest.approx(expected)


def test_a_network_without_spatial_attention_is_evaluated_in_one_pass(cost: Callable[..., VariantCost]) -> None:
    without = cost(windows=())
    assert cost().hours - without.hours == pytest.approx(LR_PIXELS * 0.001 / 3600)


def test_the_disk_holds_what_every_run_leaves(
    tiny_run: Callable[..., RunConfig], cost: Callable[..., VariantCost]
) -> None:
    run = tiny_run().to_dict()
    study = make(
        base={key: run[key] for key in ("data", "train", "evaluate")},
        variants={"b": {"model": {"num_groups": 2}}},
        seeds=[0, 1],
    )
    parameters = {"base": 1_000_000, "b": 2_000_000}
    rows = estimate(study, parameters, dict.fromkeys(study.variants, SPEED))
    assert disk_megabytes(study, parameters) == pytest.approx(sum(row.megabytes for row in rows))
    assert rows[1].megabytes - rows[0].megabytes == pytest.approx(2 * 16), (
        "weights, and those of a checkpoint with two moments each"
    )
    assert rows[0].megabytes > 2 * 16
    assert cost(seeds=(0, 1)).megabytes == pytest.approx(2 * cost().megabytes)


def test_missing_evaluation_data_is_reported(tiny_run: Callable[..., RunConfig]) -> None:
    with pytest.raises(ValueError, match="no folder of images at nowhere"):
        disk_megabytes(make(base={"evaluate": {"data": ["nowhere"]}}), {"base": 1})
