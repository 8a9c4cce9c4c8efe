"""Records: written whole or not at all, read with suspicion, and the identity of a run."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asid.ablation.study.expand import expand
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.data.images import write_image
from asid.runs import record as records
from asid.runs.record import (
    RECORD,
    Record,
    RecordError,
    check_identity,
    data_manifests,
    read_record,
    run_identity,
    to_rows,
    write_record,
)

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Configurations of runs on a folder of photographs that a test may change; further names are sections."""
    for name, value in (("a", 50), ("b", 200)):
        write_image(tmp_path / "photographs" / f"{name}.png", np.full((40, 40, 3), value, np.uint8))

    def make(**sections: Any) -> RunConfig:
        folder = str(tmp_path / "photographs")
        content = {"data": {"train": folder, "validation": folder}, "evaluate": {"data": [folder]}, **sections}
        return RunConfig.model_validate(content)

    return make


def make_record(run_id: str = "0123456789ab", **changes: Any) -> Record:
    content: dict[str, Any] = {
        "study": "some-study",
        "variant": "base",
        "run_id": run_id,
        "config": RunConfig(),
        "protocol": "psnr-y/ssim-y crop=scale",
        "data": {"train": {"source": "samples", "images": ["a.png"], "manifest": "ba9876543210"}},
        "complexity": {
            "parameters": 56164,
            "macs_torch": 12,
            "macs_ptflops": 13,
            "macs_fvcore": 14,
            "output": [1280, 720],
        },
        "scores": [{"data": "samples", "image": "ä", "psnr": 28.123456789012345, "ssim": 0.1 + 0.2}],
        "history": [{"step": 1, "loss": 0.1, "learning_rate": 1e-3, "psnr": None, "seconds": 1.5}],
        "seconds": {"train": 1.5},
        "provenance": {"commit": None},
    }
    return Record.model_validate({**content, **changes})


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = make_record()
    path = write_record(record, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / RECORD
    assert read_record(path.parent) == read_record(path.parent, record.run_id) == record
    assert read_record(path.parent).score_table.to_dict("records") == record.scores  # to the last digit


def test_a_perfect_score_is_kept(tmp_path: Path) -> None:
    """Two equal images have an infinite PSNR: at scale 1 bicubic has it."""
    table = pd.DataFrame({"data": "set", "image": ["a", "b"], "psnr": [math.inf, 30.0], "ssim": [1.0, 0.9]})
    path = write_record(make_record(scores=to_rows(table)), tmp_path)
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [row["psnr"] for row in read_record(tmp_path).scores] == [math.inf, 30.0]


def test_only_the_record_stays(tmp_path: Path) -> None:
    write_record(make_record(), tmp_path)
    write_record(make_record(seconds={"train": 2.5}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]
    assert read_record(tmp_path).seconds == {"train": 2.5}


@pytest.mark.parametrize("before", [False, True], ids=["none before", "one before"])
def test_a_record_that_cannot_be_written_whole_is_not_there(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        write_record(make_record(), tmp_path)

    def stop_half_way(path: Path, text: str, **_: Any) -> None:
        path.write_bytes(text[:20].encode())
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", stop_half_way)
        with pytest.raises(OSError, match="no space left"):
            write_record(make_record(seconds={"train": 9.0}), tmp_path)
    assert (tmp_path / RECORD).exists() == before
    if before:
        assert read_record(tmp_path) == make_record()


def test_a_partial_record_is_not_read(tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    path.rename(f"{path}.partial")
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path)


def test_a_record_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / RECORD).exists()))
    write_record(make_record(), tmp_path)
    assert synced == [False]


def _truncate(text: str) -> str:
    return text[: len(text) // 2]


def _add_field(text: str) -> str:
    return json.dumps({**json.loads(text), "psnrs": []})


def _drop_field(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "scores"})


def _newer_format(text: str) -> str:
    return json.dumps({**json.loads(text), "format": 2})


def _add_model_field(text: str) -> str:
    content = json.loads(text)
    content["config"]["model"]["depth"] = 3
    return json.dumps(content)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (_truncate, "damaged"),
        (lambda _: "", "damaged"),
        (lambda _: "[]", "record"),
        (_add_field, "psnrs: unknown key"),
        (_drop_field, "scores"),
        (_newer_format, "format"),
        (_add_model_field, "config.model.depth: unknown key"),
    ],
    ids=["truncated", "empty", "a list", "unknown field", "missing field", "newer format", "unknown model field"],
)
def test_a_damaged_record_is_told_with_its_path(damage: Callable[[str], str], word: str, tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path)
    assert str(path) in str(caught.value)
    assert word in str(caught.value)


def test_bytes_that_are_no_text_are_a_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / RECORD
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(RecordError, match="damaged"):
        read_record(tmp_path)


def test_the_record_of_another_run_is_refused(tmp_path: Path) -> None:
    path = write_record(make_record(run_id="0123456789ab"), tmp_path)
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path, "ffffffffffff")
    for word in (str(path), "0123456789ab", "ffffffffffff"):
        assert word in str(caught.value)


def test_missing_numbers_are_null(tmp_path: Path) -> None:
    table = pd.DataFrame({"step": [1, 2], "loss": 0.1, "learning_rate": 1e-3, "psnr": [np.nan, 30.0], "seconds": 1.0})
    path = write_record(make_record(history=to_rows(table)), tmp_path)
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [row["psnr"] for row in read_record(tmp_path).history] == [None, 30.0]


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 1},
        {"model": {"esa": False}},
        {"train": {"steps": 7}},
        {"data": {"train": "samples"}},
        {"evaluate": {"border": "replicate"}},
    ],
    ids=lambda sections: next(iter(sections)),
)
def test_identity_follows_the_configuration(sections: dict[str, Any], make_config: MakeConfig) -> None:
    assert run_identity(make_config(**sections)) != run_identity(make_config())


def test_identity_is_equal_for_equal_runs(make_config: MakeConfig) -> None:
    config = make_config()
    assert run_identity(make_config()) == run_identity(config) == run_identity(config, data_manifests(config))


def test_identity_follows_the_bytes_of_the_images(make_config: MakeConfig, tmp_path: Path) -> None:
    before = run_identity(make_config())
    path = tmp_path / "photographs" / "b.png"
    content = path.read_bytes()
    write_image(path, np.full((40, 40, 3), 201, np.uint8))
    assert run_identity(make_config()) != before
    path.write_bytes(content)
    assert run_identity(make_config()) == before


def test_identity_follows_the_bytes_of_lr_files(make_config: MakeConfig, tmp_path: Path) -> None:
    """Where an evaluation set has LR files, its scores depend on them."""
    config = make_config()
    low = tmp_path / "photographs_LR_bicubic" / "X2"
    seen = {run_identity(config)}
    (tmp_path / "photographs").rename(tmp_path / "photographs_HR")
    folder = str(tmp_path / "photographs_HR")
    config = make_config(data={"train": folder, "validation": folder}, evaluate={"data": [folder]})
    seen.add(run_identity(config))
    for value in (50, 51):
        for name in ("a", "b"):
            write_image(low / f"{name}x2.png", np.full((20, 20, 3), value, np.uint8))
        seen.add(run_identity(config))
    assert len(seen) == 4
    assert data_manifests(config)[f"evaluate {folder}"]["lr_manifest"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_identity_follows_which_images_there_are(change: str, make_config: MakeConfig, tmp_path: Path) -> None:
    before = run_identity(make_config())
    folder = tmp_path / "photographs"
    match change:
        case "added":
            (folder / "c.png").write_bytes((folder / "a.png").read_bytes())
        case "removed":
            (folder / "b.png").unlink()
        case "renamed":
            (folder / "b.png").rename(folder / "z.png")
    assert run_identity(make_config()) != before


def test_identity_follows_the_source(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_identity(make_config())
    monkeypatch.setattr(records, "source_hash", lambda: "another")
    assert run_identity(make_config()) != before


def test_identity_does_not_follow_the_names_of_study_and_variant(tmp_path: Path) -> None:
    ids = []
    for name, variant in (("one", "a"), ("two", "b")):
        study = expand(StudyConfig.model_validate({"name": name, "question": name, "variants": {variant: {}}}))
        ids += [run.run_id for run in plan_runs(study, tmp_path)]
    assert ids[0] == ids[1]


def test_the_manifest_names_the_images_of_each_use(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = str(tmp_path / "photographs")
    manifests = data_manifests(make_config(data={"train": "samples", "validation": folder}))
    assert list(manifests) == ["train", "validation", f"evaluate {folder}"]
    assert manifests["validation"]["images"] == ["a.png", "b.png"]
    assert manifests["validation"]["source"] == folder
    assert "astronaut.png" in manifests["train"]["images"]


def test_a_run_is_checked_against_its_plan(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    planned = run_identity(config)
    check_identity(config, planned)
    check_identity(config, "")  # nothing was planned
    write_image(tmp_path / "photographs" / "a.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=planned) as caught:
        check_identity(config, planned)
    assert run_identity(config) in str(caught.value)
