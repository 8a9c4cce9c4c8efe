"""The files of trainings, runs and studies: their names, how they are written atomically; JSON and YAML.

No torch in here: reading results does not need it.

JSON has no numbers for infinity and NaN (RFC 8259). An infinite number, such as the PSNR of identical images, is
written as the text ``inf`` or ``-inf``, which ``float()`` and a pydantic ``float`` field read back; NaN, a missing
number, is written as ``null``.
"""

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

# The folder of a training.
CONFIG = "config.json"
"""Its configuration."""
HISTORY = "history.csv"
"""The training curves, one row per hundredth of the steps. Other processes read the progress from it."""
WEIGHTS = "model.safetensors"
"""The trained network."""
CHECKPOINTS = "checkpoints"
"""Folder of the networks kept after parts of the training, ``<part>.safetensors``."""
CHECKPOINT = "training.ckpt"
"""The state from which an interrupted training resumes; deleted when the training is done."""

# The folder of a run, which is also that of its training.
RECORD = "record.json"
"""All measurements; written last."""
IMAGES = "images"
"""Folder of SR images, ``<data>/<image>.png``."""
NOTEBOOK = "run.ipynb"
"""The executed notebook."""
ERROR = "error.txt"
"""The error of a failed run, with its traceback."""
HEARTBEAT = "heartbeat.json"
"""The process that executes the run; touched while it lives, deleted on a normal exit."""
NOTE = "note.txt"
"""What a person wrote about the run, or in a study's folder about the study; no identity knows it."""
LOCK = "run.lock"
"""Held by the process that trains and evaluates; the file itself is never deleted."""
OWNER = "owner.json"
"""The process that holds it."""

# The folder of a study.
STUDY = "study.json"
"""The question, the study as it was read, and the folder and identity of each run."""
STUDY_LOCK = "study.lock"
"""Held by the process that executes the study."""
STUDY_LOG = "study.log"
"""What a study printed that was started in the background."""
SPEEDS = "speeds.json"
"""Measured seconds per step, by which ``minutes`` of training were converted to steps."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write ``path`` completely or not at all: yields a temporary file in the same folder for the caller to write.

    On leaving, the temporary file is flushed to disk and replaces ``path``; after an error it is deleted, and
    ``path`` stays as it was. A parent folder that does not exist is created.

    Raises:
        OSError: It cannot be written; if the disk is full, the message says so.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno, "no space left on the disk: make room and repeat the command; nothing is lost", str(path)
            ) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    status = path.stat()
    return _hash_once(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _hash_once(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file. Cached: each run of a study asks for the same files, and training sets have gigabytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8, atomically (see :func:`atomic_write`). Returns the path."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def read_note(folder: str | Path) -> str:
    """The note on the run or study in ``folder``, on one line; empty if there is none."""
    try:
        return " ".join((Path(folder) / NOTE).read_text(encoding="utf-8", errors="replace").split())
    except (FileNotFoundError, NotADirectoryError):
        return ""


_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or the direction of text, break lines, or are none at all."""


def is_printable(text: str) -> bool:
    """Whether ``text`` is one line that shows what it says."""
    return not _UNSEEN.search(text)


def printable(text: str) -> str:
    """``text`` from a file or a library for a terminal, which would obey its control characters: they are spelled out.

    Line breaks and tabs stay.
    """
    return _UNSEEN.sub(lambda c: c[0] if c[0] in "\n\t" else c[0].encode("unicode_escape").decode(), text)


def grouped(number: int) -> str:
    """``number`` with spaces between thousands."""
    return f"{number:,}".replace(",", " ")


def json_text(content: Any, indent: int | None = 1) -> str:
    """``content`` as valid JSON that ends with a newline; infinity is the text ``inf`` or ``-inf``, NaN is ``null``.

    Without ``indent``, it is one line.
    """
    return _dumps(content, indent=indent, ensure_ascii=False) + "\n"


def write_json(path: str | Path, content: Any) -> Path:
    """Write ``content`` as :func:`json_text` formats it, atomically (see :func:`atomic_write`). Returns the path."""
    return write_text(path, json_text(content))


def write_sealed(path: str | Path, content: dict[str, Any]) -> Path:
    """:func:`write_json` with a digest of the content beside it, by which :func:`read_sealed` notices an edit."""
    return write_json(path, {**content, _SEAL: _seal(content)})


def read_sealed(path: str | Path) -> dict[str, Any]:
    """The content that :func:`write_sealed` was given, as JSON values.

    The digest guards against accidents and careless hands. It is no signature: who wants to can compute it again.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or was changed after it was written; the message names it.
    """
    content = read_json(path)
    if (seal := content.pop(_SEAL, None)) != (found := _seal(content)):
        raise ValueError(f"{path} is damaged or was edited: its content has the digest {found}, it says {seal}")
    return content


_SEAL = "digest"


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of the content as JSON, whatever its layout."""
    text = _dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. An infinite number comes back as the text ``inf`` or ``-inf``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged; the message names it.
    """
    path = Path(path)
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(f"expected at most {MOST_BYTES:,} bytes, got {size:,}")
        content = json.loads(path.read_text(encoding="utf-8"))
        _check_nodes(content)
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is damaged: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is damaged: it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, got {type(content).__name__}")
    return content


MOST_BYTES = 100_000_000
"""Size of a JSON file that is read."""
MOST_YAML = 1_000_000
"""Characters of a YAML text that is read."""
MOST_NODES = {"YAML": 100_000, "JSON": 10_000_000}
"""Values in a file, counted as often as aliases repeat them."""
MOST_LEVELS = 50
"""Levels of mappings and lists inside each other."""


class _YamlLoader(yaml.SafeLoader):
    """YAML as a person means it.

    A key that occurs twice is an error, of which PyYAML would silently use the last. Numbers are those of YAML 1.2:
    not 0100 (64), nor 1:40:00 (6000). Dates are text.
    """

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping, and compare its keys."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key.value}'", key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else None)
        return node


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("int", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_YamlLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """Read YAML: mappings, lists, texts and numbers, of a bounded size.

    Raises:
        ValueError: It is not valid, or too large.
    """
    if len(text) > MOST_YAML:
        raise ValueError(f"expected at most {MOST_YAML:,} characters, got {len(text):,}")
    try:
        content = yaml.load(text, _YamlLoader)
        _check_nodes(content, MOST_NODES["YAML"])
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # PyYAML, of a tag such as !!int x
        raise ValueError(f"{type(error).__name__}: {error}"[:300]) from None
    return content


def _check_nodes(content: Any, most: int = MOST_NODES["JSON"]) -> None:
    """Refuse what is too large or too deep, however small the file is."""
    count, level = 0, [content]
    for _ in range(MOST_LEVELS + 1):
        count += len(level)
        if count > most:
            raise ValueError(f"expected at most {most:,} values")
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        if count + sum(map(len, containers)) > most:
            raise ValueError(f"expected at most {most:,} values")
        level = [value for item in containers for value in (item.values() if isinstance(item, dict) else item)]
    raise ValueError(f"expected at most {MOST_LEVELS} levels inside each other")


def _dumps(content: Any, **layout: Any) -> str:
    """JSON as :func:`json_text` says. Few contents have a number that is not finite: looking at each one is slow."""
    try:
        return json.dumps(content, allow_nan=False, **layout)
    except ValueError:
        return json.dumps(_finite(content), allow_nan=False, **layout)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(float(value))
    return value
