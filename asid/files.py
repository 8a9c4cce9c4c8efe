"""The files that trainings, runs and studies leave: their names, how they are written atomically, and their JSON.

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
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

# The folder of a training.
CONFIG = "config.json"
"""Its configuration."""
HISTORY = "history.csv"
"""The training curves, one row per hundredth of the steps. Other processes read the progress from it."""
WEIGHTS = "model.safetensors"
"""The trained network."""
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
LOCK = "run.lock"
"""Held by the process that trains and evaluates; the file itself is never deleted."""

# The folder of a study.
STUDY = "study.json"
"""The question, the study as it was read, and the folder and identity of each run."""
STUDY_LOCK = "study.lock"
"""Held by the process that executes the study."""
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


def printable(text: str) -> str:
    """``text`` from a file or a library for a terminal, which would obey its control characters: they are spelled out.

    Line breaks and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def json_text(content: Any, indent: int | None = 1) -> str:
    """``content`` as valid JSON that ends with a newline; infinity is the text ``inf`` or ``-inf``, NaN is ``null``.

    Without ``indent``, it is one line.
    """
    return json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, content: Any) -> Path:
    """Write ``content`` as :func:`json_text` formats it, atomically (see :func:`atomic_write`). Returns the path."""
    return write_text(path, json_text(content))


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. An infinite number comes back as the text ``inf`` or ``-inf``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged; the message names it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, got {type(content).__name__}")
    return content


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(float(value))
    return value
