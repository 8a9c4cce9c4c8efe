"""Nothing is trained or scored twice: not for an added evaluation set, not for a run that another study has."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asid.config import RunConfig
from asid.files import CHECKPOINT, CONFIG, HISTORY, IMAGES, RECORD, WEIGHTS, read_json
from asid.runs import run as runs
from asid.runs.identity import run_identity
from asid.runs.record import Record, read_record
from asid.runs.reuse import find_trained, run_folder, take_over
from asid.runs.run import train_and_score
from asid.training.module import TrainingModule

pytestmark = pytest.mark.process

MakeRun = Callable[..., RunConfig]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done: ``step`` for each training step, and the name of each evaluation set that is scored."""
    done: list[str] = []
    step, evaluate = TrainingModule.training_step, runs.evaluate

    def training_step(self: TrainingModule, batch: Any, index: int) -> Any:
        done.append("step")
        return step(self, batch, index)

    def scored(model: Any, scale: int, config: Any, **options: Any) -> Any:
        done.extend(Path(data).name for data in config.data)
        return evaluate(model, scale, config, **options)

    monkeypatch.setattr(TrainingModule, "training_step", training_step)
    monkeypatch.setattr(runs, "evaluate", scored)
    return done


@pytest.fixture
def config(tiny_run: MakeRun) -> RunConfig:
    return tiny_run(model={"num_groups": 1}, steps=2)


def with_sets(config: RunConfig, *sets: Path) -> RunConfig:
    """``config`` with other evaluation sets, perhaps the training photographs."""
    data = {**config.data.to_dict(), "allow_overlap": True}
    return config.override(data=data, evaluate={"data": list(map(str, sets))})


def run_in(results: Path, study: str, variant: str, config: RunConfig) -> Record:
    """Run a variant of a study as its notebook does."""
    folder = run_folder(results / study, variant, config.seed, run_identity(config))
    return train_and_score(config, folder, progress=False).write_record(study, variant)


def scores(record: Record, name: str) -> list[Any]:
    return [row for row in record.scores if row["data"] == name]


def test_an_added_evaluation_set_trains_nothing(
    config: RunConfig, crops: Path, tmp_path: Path, work: list[str]
) -> None:
    first = run_in(tmp_path, "study", "base", config)
    assert work == ["step", "step", "validation"]
    work.clear()
    more = with_sets(config, crops / "train", crops / "validation")
    second = run_in(tmp_path, "study", "base", more)
    assert work == ["train"]
    [folder] = (tmp_path / "study" / "runs").iterdir()
    assert read_record(folder, run_identity(more).run_id) == second
    assert scores(second, "validation") == first.scores
    assert [row["image"] for row in scores(second, "train")] == ["0", "1", "2"]
    assert second.seconds == {
        **first.seconds,
        **{f"{kind} train": second.seconds[f"{kind} train"] for kind in ("evaluate", "upscale")},
    }
    assert second.total_seconds("evaluate") == pytest.approx(
        sum(v for k, v in second.seconds.items() if "evaluate" in k)
    )
    assert second.provenance == first.provenance, "of the run that trained"
    assert list(second.later) == ["train"]
    assert second.later["train"]["source"] == first.provenance["source"]
    assert read_json(folder / CONFIG)["evaluate"] == more.evaluate.to_dict()
    assert sorted(path.name for path in (folder / IMAGES).iterdir()) == ["train", "validation"]


def test_evaluating_in_another_way_trains_nothing(config: RunConfig, tmp_path: Path, work: list[str]) -> None:
    first = run_in(tmp_path, "study", "base", config)
    work.clear()
    second = run_in(
        tmp_path, "study", "base", config.override(evaluate={**config.evaluate.to_dict(), "ensemble": True})
    )
    assert work == ["validation"]
    assert second.scores != first.scores


def test_a_study_takes_over_a_run_of_another_study(config: RunConfig, tmp_path: Path, work: list[str]) -> None:
    first = run_in(tmp_path, "sharing", "base", config)
    source = run_folder(tmp_path / "sharing", "base", 0, first.identity)
    work.clear()
    trained = find_trained(tmp_path, run_identity(config))
    assert trained is not None
    assert (trained.folder, trained.study, trained.record) == (source, "sharing", first)
    assert trained.is_complete(run_identity(config))

    target = run_folder(tmp_path / "windows", "meso", 0, first.identity)
    record = take_over(trained, target, study="windows", variant="meso", config=config)
    assert record == read_record(target, first.run_id)
    assert (record.study, record.variant, record.origin) == ("windows", "meso", "sharing")
    assert record == first.model_copy(update={"study": "windows", "variant": "meso", "origin": "sharing"})
    assert not work
    shutil.rmtree(tmp_path / "sharing")  # the study stands on its own
    again = train_and_score(config, target, progress=False)
    assert not work
    assert again.image_path("face").is_file()
    assert again.write_record("windows", "meso").origin == "sharing"


def test_only_missing_evaluation_sets_are_scored(
    config: RunConfig, crops: Path, tmp_path: Path, work: list[str]
) -> None:
    first = run_in(tmp_path, "sharing", "base", with_sets(config, crops / "validation", crops / "train"))
    both = with_sets(config, crops / "validation", crops)
    shutil.copytree(crops / "validation", crops / "copy", dirs_exist_ok=True)
    both = with_sets(config, crops / "copy", crops / "validation")
    trained = find_trained(tmp_path, run_identity(both))
    assert trained is not None
    assert trained.evaluations(run_identity(both)) == ["validation"]
    assert not trained.is_complete(run_identity(both))
    target = run_folder(tmp_path / "windows", "base", 0, first.identity)
    partial = take_over(trained, target, study="windows", variant="base", config=both)
    assert partial.scores == scores(first, "validation")
    assert partial.run_id != run_identity(both).run_id, "not done"
    assert [path.name for path in (target / IMAGES).iterdir()] == ["validation"]
    work.clear()
    record = run_in(tmp_path, "windows", "base", both)
    assert work == ["copy"]
    assert record.origin == "sharing"
    assert record.run_id == run_identity(both).run_id
    assert [row["data"] for row in record.scores] == ["copy", "validation"]


def test_scoring_again_leaves_the_other_study_alone(config: RunConfig, tmp_path: Path) -> None:
    """Images and weights may be links to the same bytes on disk."""
    first = run_in(tmp_path, "sharing", "base", config)
    source = run_folder(tmp_path / "sharing", "base", 0, first.identity)
    target = run_folder(tmp_path / "windows", "base", 0, first.identity)
    trained = find_trained(tmp_path, first.identity)
    assert trained is not None
    take_over(trained, target, study="windows", variant="base", config=config)
    before = {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    run_in(tmp_path, "windows", "base", config.override(evaluate={**config.evaluate.to_dict(), "ensemble": True}))
    assert (target / IMAGES / "validation" / "face.png").read_bytes() != before[
        source / IMAGES / "validation" / "face.png"
    ]
    (target / WEIGHTS).unlink()
    run_in(tmp_path, "windows", "base", config)
    assert {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()} == before


def test_without_links_files_are_copied(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_in(tmp_path, "sharing", "base", config)
    trained = find_trained(tmp_path, first.identity)
    assert trained is not None

    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "elsewhere"
    take_over(trained, target, study="windows", variant="base", config=config)
    for name in (WEIGHTS, HISTORY, f"{IMAGES}/validation/face.png"):
        assert (target / name).read_bytes() == (trained.folder / name).read_bytes()


def test_a_variant_that_is_renamed_keeps_its_run(config: RunConfig, tmp_path: Path) -> None:
    first = run_in(tmp_path, "sharing", "old", config)
    trained = find_trained(tmp_path, first.identity)
    assert trained is not None
    target = run_folder(tmp_path / "sharing", "new", 0, first.identity)
    record = take_over(trained, target, study="sharing", variant="new", config=config)
    assert (record.variant, record.origin) == ("new", None)


def test_a_set_removed_from_a_study_is_removed_from_the_record(
    config: RunConfig, crops: Path, tmp_path: Path, work: list[str]
) -> None:
    both = with_sets(config, crops / "train", crops / "validation")
    first = run_in(tmp_path, "study", "base", both)
    work.clear()
    trained = find_trained(tmp_path, run_identity(config))
    assert trained is not None
    record = take_over(trained, trained.folder, study="study", variant="base", config=config)
    assert not work
    assert record == read_record(trained.folder, run_identity(config).run_id)
    assert record.scores == scores(first, "validation")
    assert list(record.data) == ["train", "validation", f"evaluate {crops / 'validation'}"]
    assert "upscale train" not in record.seconds


def test_an_interrupted_training_in_the_folder_is_replaced(config: RunConfig, tmp_path: Path, work: list[str]) -> None:
    first = run_in(tmp_path, "sharing", "base", config)
    trained = find_trained(tmp_path, first.identity)
    assert trained is not None
    target = tmp_path / "windows"
    target.mkdir()
    (target / CHECKPOINT).write_bytes(b"half trained")
    (target / HISTORY).write_text("step\n")
    take_over(trained, target, study="windows", variant="base", config=config)
    work.clear()
    train_and_score(config, target, progress=False)
    assert not work
    assert not (target / CHECKPOINT).exists()


@pytest.mark.parametrize("damage", [RECORD, WEIGHTS, "record of another training"])
def test_an_incomplete_run_is_not_taken_over(damage: str, config: RunConfig, tmp_path: Path) -> None:
    first = run_in(tmp_path, "sharing", "base", config)
    folder = run_folder(tmp_path / "sharing", "base", 0, first.identity)
    if damage in (RECORD, WEIGHTS):
        (folder / damage).unlink()
    else:
        (folder / RECORD).write_text((folder / RECORD).read_text().replace(first.identity.training, "0" * 12))
    assert find_trained(tmp_path, first.identity) is None


def test_the_run_with_most_evaluations_is_preferred(config: RunConfig, crops: Path, tmp_path: Path) -> None:
    both = with_sets(config, crops / "train", crops / "validation")
    run_in(tmp_path, "a", "base", config)
    run_in(tmp_path, "b", "base", both)
    run_in(tmp_path, "c", "base", both)
    for wanted, study in ((both, "b"), (config, "a")):
        trained = find_trained(tmp_path, run_identity(wanted))
        assert trained is not None
        assert trained.study == study


def test_a_training_is_taken_over_although_everything_is_scored_in_another_way(
    config: RunConfig, tmp_path: Path, work: list[str]
) -> None:
    first = run_in(tmp_path, "one", "base", config)
    work.clear()
    other = config.override(evaluate={**config.evaluate.to_dict(), "also_tile": 16, "overlap": 4})
    identity = run_identity(other)
    source = find_trained(tmp_path, identity)
    assert source
    folder = run_folder(tmp_path / "two", "renamed", other.seed, identity)
    take_over(source, folder, study="two", variant="renamed", config=other)
    record = train_and_score(other, folder, progress=False).write_record("two", "renamed")
    assert work == ["validation"]
    assert (record.origin, record.provenance) == ("one", first.provenance)
    assert read_record(folder, identity.run_id).scores[0]["psnr_in_tiles"]
