"""Records: written completely or not at all, and checked when they are read."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from written_study import edit_file

from asid.config import RunConfig
from asid.runs.identity import Code, Identity, current_code, run_identity, stored_identity
from asid.runs.record import RECORD, Record, RecordError, provenance, read_record, to_rows, write_record

IDENTITY = Identity(training="0123456789ab", evaluations={"samples": "ba9876543210"})


def make_record(identity: Identity = IDENTITY, **changes: Any) -> Record:
    content: dict[str, Any] = {
        "study": "some-study",
        "variant": "base",
        "identity": identity,
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


def test_a_perfect_score_is_stored(tmp_path: Path) -> None:
    """Identical images have an infinite PSNR, e.g. bicubic at scale 1."""
    table = pd.DataFrame({"data": "set", "image": ["a", "b"], "psnr": [math.inf, 30.0], "ssim": [1.0, 0.9]})
    path = write_record(make_record(scores=to_rows(table)), tmp_path)
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [row["psnr"] for row in read_record(tmp_path).scores] == [math.inf, 30.0]


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    write_record(make_record(), tmp_path)
    write_record(make_record(seconds={"train": 2.5}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]
    assert read_record(tmp_path).seconds == {"train": 2.5}


@pytest.mark.parametrize("before", [False, True], ids=["none before", "one before"])
def test_a_record_that_cannot_be_written_completely_does_not_exist(
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


def test_a_record_is_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / RECORD).exists()))
    write_record(make_record(), tmp_path)
    assert synced == [False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(psnrs=[]), "psnrs: unknown key"),
        (lambda record: record.pop("scores"), "scores"),
        (lambda record: record.update(format=5), "format"),
        (lambda record: record["config"]["model"].update(depth=3), "config.model.depth: unknown key"),
        (lambda record: record["scores"][0].update(psnr=-1.0), "scores.0.psnr"),
        (lambda record: record["scores"][0].update(ssim=1.7), "scores.0.ssim"),
        (lambda record: record["scores"][0].update(ssim="inf"), "scores.0.ssim"),
        (lambda record: record["complexity"].update(parameters=0), "complexity.parameters"),
        (lambda record: record["history"][0].update(step=0), "history.0.step"),
        (lambda record: record["seconds"].update(train=-1.0), "seconds.train"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(change: Callable[[Any], Any], words: str, tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    edit_file(path, change)
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda _: "", lambda _: "[]", lambda _: "{}"])
def test_a_damaged_record_is_reported_with_its_path(damage: Callable[[str], str], tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError, match="damaged") as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(str(path))


def test_the_layout_of_a_record_may_change(tmp_path: Path) -> None:
    """For example its line ends, or its order."""
    path = write_record(make_record(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_record(tmp_path) == make_record()


def record_with_identity(**config: Any) -> Record:
    """A record of this code, with the identity that belongs to it."""
    content = RunConfig.model_validate(config)
    manifest = {"source": "samples", "images": ["a.png"], "manifest": "ba9876543210", "lr_manifest": None}
    data = dict.fromkeys(("train", "validation", "evaluate samples"), manifest)
    return make_record(run_identity(content, data), config=content, data=data, code=current_code())


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["config"].update(seed=7),
        lambda record: record["config"]["train"].update(steps=123),
        lambda record: record["config"]["model"].update(esa=False),
        lambda record: record["config"]["evaluate"].update(ensemble=True),
        lambda record: record["data"]["train"].update(manifest="0" * 12),
        lambda record: record["data"]["evaluate samples"].update(lr_manifest="0" * 12),
        lambda record: record["data"].pop("validation"),
        lambda record: record["code"].update(scores="0" * 12),
        lambda record: record["identity"].update(training="0" * 12),
    ],
)
def test_the_identity_of_a_record_belongs_to_its_content(change: Callable[[Any], Any], tmp_path: Path) -> None:
    record = record_with_identity()
    path = write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    edit_file(path, change)
    with pytest.raises(RecordError, match="its configuration, data and code have the identity") as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(str(path))


def test_a_record_of_another_version_is_read(tmp_path: Path) -> None:
    """Its configuration lacks a field that came later, and its code has another hash."""
    record, code = record_with_identity(), Code(weights="1" * 12, scores="2" * 12)
    config = record.config.to_dict()
    del config["data"]["candidates"]
    identity = stored_identity(config, record.data, code)
    path = write_record(record, tmp_path)
    edit_file(path, lambda old: old.update(config=config, code=code.to_dict(), identity=identity.to_dict()))
    assert read_record(tmp_path, identity.run_id).config == record.config


def test_a_record_that_is_not_text_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / RECORD
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(RecordError, match="damaged"):
        read_record(tmp_path)


def test_the_record_of_another_run_is_refused(tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path, "ffffffffffff")
    for word in (str(path), IDENTITY.run_id, "ffffffffffff"):
        assert word in str(caught.value)


def test_missing_numbers_are_null(tmp_path: Path) -> None:
    table = pd.DataFrame({"step": [1, 2], "loss": 0.1, "learning_rate": 1e-3, "psnr": [np.nan, 30.0], "seconds": 1.0})
    path = write_record(make_record(history=to_rows(table)), tmp_path)
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [row["psnr"] for row in read_record(tmp_path).history] == [None, 30.0]


def test_the_provenance_names_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    made = provenance()
    assert made["cpu"]
    assert made["capability"] == torch.backends.cpu.get_cpu_capability()
    assert made["gpu"] is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    assert [provenance(kind)["gpu"] for kind in ("cpu", "auto", "gpu")] == [None, "Some GPU", "Some GPU"]
