"""Files are written whole or not at all, and hold one kind of JSON."""

import json
import math
import os
from pathlib import Path

import pytest

from asid.files import atomic_write, parse_yaml, printable, read_json, write_json, write_text


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


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Less than a kilobyte of aliases that stand for a thousand million values."""


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 1\na: 2",
        "a: !!int y",
        "a: !!float x",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: !!python/object:os.system x",
        "[" * 3000,
        "{a: " * 60 + "1" + "}" * 60,
        LAUGHS,
        "x" * 1_000_001,
        "? {a: 1}\n: 2",
    ],
    ids=lambda text: text[:20],
)
def test_yaml_that_is_wrong_or_too_large_is_one_short_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_yaml(text)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 500


def test_yaml_means_what_a_person_reads() -> None:
    text = "{a: 0100, b: 1:40:00, c: 2030-01-02, d: 12, e: -1_000, f: 1.5, g: yes, h: ~, i: 1/4}"
    assert parse_yaml(text) == {
        "a": "0100",
        "b": "1:40:00",
        "c": "2030-01-02",
        "d": 12,
        "e": -1000,
        "f": 1.5,
        "g": True,
        "h": None,
        "i": "1/4",
    }
    assert parse_yaml("base: &b {x: 1, y: 2}\nother: {<<: *b, y: 3}")["other"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "3", '{"a": ' * 60 + "1" + "}" * 60, '{"a":' * 50_000, '{"a": ' + "9" * 5000 + "}", b"\xff", ""],
    ids=lambda content: str(content[:12]),
)
def test_a_damaged_json_file_is_named(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"file\.json is damaged"):
        read_json(path)


def test_text_for_a_terminal_has_no_control_characters() -> None:
    assert printable("é 日本\u00a0ok\tand\nmore") == "é 日本\u00a0ok\tand\nmore"
    assert printable("\x1b[2J\x07\u202egpj.exe\x9b") == r"\x1b[2J\x07\u202egpj.exe\x9b"
