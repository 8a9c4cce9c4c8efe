"""Studies under one results folder share trainings, and stay folders that can be moved on their own."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from paths import TRAIN_VARIANT
from runs_here import run_here

from asid.ablation.engine import cost, runner
from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.cost import Speed
from asid.ablation.engine.outcome import Outcome
from asid.ablation.engine.preflight import estimate_cost
from asid.ablation.engine.runner import run_study
from asid.ablation.engine.status import study_states
from asid.ablation.report.results import load_results
from asid.ablation.report.write import write_report
from asid.ablation.study.expand import Study, expand
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.study import StudyConfig
from asid.data.images import read_image, write_image
from asid.files import IMAGES, WEIGHTS
from asid.model.complexity import Complexity
from asid.runs import run as runs
from asid.runs.record import read_record
from asid.training.module import TrainingModule

pytestmark = pytest.mark.process

VARIANTS: dict[str, Any] = {
    "base": {},
    "no-esa": {"model": {"esa": False}},
    "no-se": {"model": {"squeeze_excitation": False}},
}

COMPLEXITY = Complexity(56164, 10**9, 10**9, 10**9, (1280, 720))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The training steps that were made: runs are executed in this process."""
    made: list[int] = []
    step = TrainingModule.training_step

    def training_step(self: TrainingModule, batch: Any, index: int) -> Any:
        made.append(index)
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", training_step)
    monkeypatch.setattr(runs, "complexity_once", lambda _: COMPLEXITY)  # takes seconds
    monkeypatch.setattr(cost, "measure_speed", lambda *_: Speed(1.0, 0.0))
    run_here(monkeypatch)
    return made


def make(crops: Path, name: str, *variants: str, sets: Sequence[Path] = (), **content: Any) -> Study:
    base = {
        "model": {"num_groups": 1},
        "data": {"train": str(crops / "train"), "validation": str(crops / "validation"), "patch_size": 16}
        | {"allow_overlap": True},
        "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "checkpoint_every": 2, "accelerator": "cpu"},
        "evaluate": {"data": list(map(str, sets or [crops / "validation"]))},
    }
    named = {variant: VARIANTS[variant] for variant in variants}
    content = {"name": name, "question": "Why?", "preset": "asid-tiny", "base": base, "variants": named, **content}
    return expand(StudyConfig.model_validate(content))


def run(study: Study, folder: Path) -> list[Outcome]:
    return run_study(study, TRAIN_VARIANT, folder, ClusterConfig(workers=1))


def test_two_studies_that_share_a_base_train_it_once(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    first = make(crops, "first", "base", "no-esa", profile="laptop")
    run(first, tmp_path / "first-laptop")
    assert len(steps) == 4
    second = make(crops, "second", "base", "no-se")
    estimated = estimate_cost(second, tmp_path / "second", ClusterConfig(workers=1))
    assert estimated.origins == {"base seed 0": "first-laptop"}
    assert [(row.variant, row.reused, row.hours > 0) for row in estimated.variants] == [
        ("base", 1, False),
        ("no-se", 0, True),
    ]
    outcomes = run(second, tmp_path / "second")
    assert outcomes == [Outcome("base seed 0", origin="first-laptop"), Outcome("no-se seed 0")]
    assert len(steps) == 6, "the base was not trained again"
    states = study_states(tmp_path / "second")
    assert [(state.state, state.origin, state.note) for state in states] == [
        ("done", "first-laptop", "from first-laptop"),
        ("done", None, ""),
    ]
    records = [read_record(planned.folder) for planned in plan_runs(second, tmp_path / "second")]
    assert [(record.study, record.variant, record.origin) for record in records] == [
        ("second", "base", "first-laptop"),
        ("second", "no-se", None),
    ]


def test_a_study_that_reuses_another_can_be_moved_on_its_own(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    run(make(crops, "first", "base", "no-esa"), tmp_path / "results" / "first")
    run(make(crops, "second", "base", "no-esa"), tmp_path / "results" / "second")
    assert len(steps) == 4
    moved = Path(shutil.move(tmp_path / "results" / "second", tmp_path / "elsewhere"))
    shutil.rmtree(tmp_path / "results")
    results = load_results(moved)
    assert results.missing == ()
    write_report(results)
    assert "from first" in (moved / "report.html").read_text()
    for state in study_states(moved):
        assert state.state == "done"
        assert (state.folder / WEIGHTS).is_file()
        assert (state.folder / IMAGES / "validation" / "face.png").is_file()


def test_a_benchmark_added_to_a_finished_study_trains_nothing(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    before = make(crops, "study", "base", "no-esa")
    run(before, tmp_path / "study")
    weights = {path: path.read_bytes() for path in (tmp_path / "study").glob(f"runs/*/{WEIGHTS}")}
    write_image(tmp_path / "more" / "a.png", _pixels(crops))
    after = make(crops, "study", "base", "no-esa", sets=[crops / "validation", tmp_path / "more"])
    steps.clear()

    runner.write_plan(runner.plan_study(after, tmp_path / "study", TRAIN_VARIANT), tmp_path / "study")
    assert {(state.state, state.note.partition(";")[0]) for state in study_states(tmp_path / "study")} == {
        ("stale", "trained, but not scored on more as planned")
    }
    assert [outcome.error for outcome in run(after, tmp_path / "study")] == [None, None]
    assert steps == []
    assert {path: path.read_bytes() for path in (tmp_path / "study").glob(f"runs/*/{WEIGHTS}")} == weights
    for planned in plan_runs(after, tmp_path / "study"):
        record = read_record(planned.folder, planned.run_id)
        assert [(row["data"], row["image"]) for row in record.scores] == [("validation", "face"), ("more", "a")]


def test_a_benchmark_removed_from_a_finished_study_runs_nothing(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    write_image(tmp_path / "more" / "a.png", _pixels(crops))
    run(make(crops, "study", sets=[crops / "validation", tmp_path / "more"]), tmp_path / "study")
    steps.clear()
    assert run(make(crops, "study"), tmp_path / "study") == [Outcome("base seed 0")]
    assert steps == []
    assert load_results(tmp_path / "study").sets == ["validation"]


def test_a_run_of_another_seed_or_length_is_not_reused(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    run(make(crops, "first"), tmp_path / "first")
    run(make(crops, "second", seeds=[1]), tmp_path / "second")
    assert len(steps) == 4
    assert all(state.origin is None for state in study_states(tmp_path / "second"))


def test_a_study_in_another_results_folder_is_not_searched(crops: Path, tmp_path: Path, steps: list[int]) -> None:
    run(make(crops, "first"), tmp_path / "a" / "first")
    run(make(crops, "first"), tmp_path / "b" / "first")
    assert len(steps) == 4


def _pixels(crops: Path) -> Any:
    return read_image(crops / "train" / "0.png")[:48, :48]
