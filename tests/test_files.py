"""Files are written whole or not at all, and hold one kind of JSON."""

import json
import math
import os
from pathlib import Path

import pytest

from asid.files import atomic_write, read_json, write_json, write_text


def test_a_written_file_is_alone_in_its_folder(tmp_path: Path) -> None:
    for text in ("one", "σ × 2"):
        assert write_text(tmp_path / "new" / "a.txt", text) == tmp_path / "new" / "a.txt"
        assert [(path.name, path.read_text("utf-8")) for path in (tmp_path / "new").iterdir()] == [("a.txt", text)]


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "before")

    def fail_half_way() -> None:
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_is_on_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append(os.listdir(tmp_path)))
    write_text(tmp_path / "a.txt", "text")
    assert flushed == [["a.txt.partial"]]


def test_infinity_and_missing_numbers_are_valid_json(tmp_path: Path) -> None:
    content = {"a": [math.inf, -math.inf, math.nan], "b": ({"c": 0.1 + 0.2}, None, "é", 3)}
    path = write_json(tmp_path / "a.json", content)
    json.loads(path.read_text("utf-8"), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    read = read_json(path)
    assert read == {"a": ["inf", "-inf", None], "b": [{"c": 0.1 + 0.2}, None, "é", 3]}
    assert [float(value) for value in read["a"][:2]] == [math.inf, -math.inf]


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1]", b"\xff\xfe\x00{", b"\0\0\0"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json")
