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

from asid.config import RunConfig
from asid.runs.identity import Identity
from asid.runs.record import RECORD, Record, RecordError, read_record, to_rows, write_record

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


def _truncate(text: str) -> str:
    return text[: len(text) // 2]


def _add_field(text: str) -> str:
    return json.dumps({**json.loads(text), "psnrs": []})


def _drop_field(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "scores"})


def _newer_format(text: str) -> str:
    return json.dumps({**json.loads(text), "format": 3})


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
def test_a_damaged_record_is_reported_with_its_path(damage: Callable[[str], str], word: str, tmp_path: Path) -> None:
    path = write_record(make_record(), tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path)
    assert str(path) in str(caught.value)
    assert word in str(caught.value)


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
