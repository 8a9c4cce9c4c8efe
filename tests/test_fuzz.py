"""Damaged and hostile files given to every reader: it succeeds and is right, or raises the package's own error.

``make test`` tries a few dozen inputs for each reader, always the same ones; ``make fuzz`` tries thousands, others each
time (``ASID_FUZZ`` is the number for each reader).
"""

import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import ROOT, TRAIN_VARIANT
from PIL import Image
from pydantic import ValidationError

from asid.ablation.engine.heartbeat import is_alive
from asid.ablation.engine.notebook import check_notebook
from asid.ablation.study.expand import load_study
from asid.ablation.study.plan import read_plan
from asid.cli.options import read_changes
from asid.config import build_run, describe_errors, preset
from asid.data.download import _unpack
from asid.data.images import read_image
from asid.evaluation.verify import formula_weights, published_shapes
from asid.files import HEARTBEAT, HISTORY, RECORD, STUDY
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.network import ASID
from asid.runs.record import read_record
from asid.training.history import read_history

pytestmark = pytest.mark.process

EXAMPLES = int(os.environ.get("ASID_FUZZ", 0))
REFERENCE = ROOT / "results" / "reference" / "quick"
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
MOST_WORDS = 4000
"""Characters of a message."""

fuzzed = settings(
    max_examples=EXAMPLES or 30,
    derandomize=not EXAMPLES,
    database=None,
    deadline=timedelta(seconds=20),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@dataclass(frozen=True)
class Reader:
    """A reader, and a file that it accepts."""

    name: str
    """Name of the file."""
    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    is_right: Callable[[Any], bool] = lambda _: True
    """Whether the result of a damaged file is what the whole one gives."""


def _write_checkpoint(path: Path) -> None:
    save_checkpoint(ASID(preset("asid-tiny", num_groups=1)), path, run={"seed": 0})


def _has_the_weights(model: Any) -> bool:
    mine, theirs = ASID(preset("asid-tiny", num_groups=1)).state_dict(), model.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def _save_image(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)


def _copy(source: Path, path: Path) -> None:
    path.write_bytes(source.read_bytes())


def _write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set/a.png", PIXELS.tobytes())


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("set/a.png")
        member.size = PIXELS.nbytes
        archive.addfile(member, io.BytesIO(PIXELS.tobytes()))


def _unpack_beside(path: Path) -> None:
    _unpack(path, Path(tempfile.mkdtemp(dir=path.parent)) / "set")


READERS = [
    Reader("ours.safetensors", _write_checkpoint, load_checkpoint, _has_the_weights),
    Reader(
        "published.pth",
        lambda path: torch.save(formula_weights(published_shapes("asid", 2), 0.5), path),
        load_checkpoint,
    ),
    Reader("image.png", _save_image, read_image, lambda pixels: np.array_equal(pixels, PIXELS)),
    Reader("image.jpg", _save_image, read_image),
    Reader("image.tiff", _save_image, read_image),
    Reader("image.ppm", _save_image, read_image),
    Reader("study.yaml", partial(_copy, ROOT / "ablations" / "sharing.yaml"), load_study),
    Reader(
        RECORD, partial(_copy, REFERENCE / "references" / "bicubic" / RECORD), lambda path: read_record(path.parent)
    ),
    Reader(STUDY, partial(_copy, REFERENCE / STUDY), lambda path: read_plan(path.parent)),
    Reader(
        HISTORY,
        lambda path: (
            path.write_text("step,loss,learning_rate,psnr,seconds\n5,0.2,0.1,,1.0\n10,0.1,0.1,27.5,2.0\n") and None
        ),
        lambda path: read_history(path.parent),
    ),
    Reader(
        HEARTBEAT,
        lambda path: path.write_text(json.dumps({"run_id": "x", "host": "h", "pid": 3, "started": 1.5})) and None,
        lambda path: is_alive(path.parent),
    ),
    Reader("run.ipynb", partial(_copy, TRAIN_VARIANT), check_notebook),
    Reader("archive.zip", _write_zip, _unpack_beside),
    Reader("archive.tar.gz", _write_tar, _unpack_beside),
]

PLACE = st.integers(0, 2**16)
DAMAGE = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
        st.tuples(st.just("cut"), PLACE, st.integers(1, 400)),
        st.tuples(st.just("end"), PLACE, st.just(0)),
        st.tuples(st.just("zeros"), PLACE, st.integers(1, 400)),
        st.tuples(st.just("double"), PLACE, st.integers(1, 400)),
        st.tuples(st.just("insert"), PLACE, st.binary(min_size=1, max_size=8)),
        st.tuples(
            st.just("insert"),
            PLACE,
            st.sampled_from(
                [b"null", b"[[[[", b"{}", b"-1", b"1e999", b"NaN", b'"', b"\n", b"9" * 400, b"*a", b"&a", b"!!int x"]
            ),
        ),
    ),
    min_size=1,
    max_size=3,
)


def apply(damage: list[tuple[str, int, Any]], content: bytes) -> bytes:
    """The content after each kind of damage, at a place that is relative to its length."""
    for kind, place, what in damage:
        at = place * len(content) // 2**16
        match kind:
            case "flip" if content:
                at = min(at, len(content) - 1)
                content = content[:at] + bytes([content[at] ^ 1 << what]) + content[at + 1 :]
            case "cut":
                content = content[:at] + content[at + what :]
            case "end":
                content = content[:at]
            case "zeros":
                content = content[:at] + bytes(what) + content[at + what :]
            case "double":
                content = content[: at + what] + content[at:]
            case "insert":
                content = content[:at] + what + content[at:]
    return content


def check(read: Callable[[], Any]) -> Any:
    """The result, or ``None`` after an error of the package's own: one that says something, in a few lines."""
    try:
        return read()
    except (ValueError, OSError) as caught:
        error = caught
    is_ours = type(error).__module__.startswith(("asid.", "pydantic")) or type(error) in (ValueError, FileNotFoundError)
    assert is_ours, repr(error)
    lines = describe_errors(error) if isinstance(error, ValidationError) else [str(error)]
    assert 0 < sum(map(len, lines)) < MOST_WORDS, lines
    return None


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_is_read_right_or_refused(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.name
    reader.write(path)
    whole = path.read_bytes()

    @fuzzed
    @given(DAMAGE)
    def damage_it(damage: list[tuple[str, int, Any]]) -> None:
        path.write_bytes(apply(damage, whole))
        result = check(lambda: reader.read(path))
        assert result is None or reader.is_right(result), "a wrong result without a word"

    damage_it()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    f"{section}.{name}"
    for section, config in build_run("asid-tiny", {}).to_dict().items()
    if isinstance(config, dict)
    for name in config
]


@fuzzed
@given(st.sampled_from(FIELDS), st.one_of(JSON.map(json.dumps), st.text(max_size=40)))
def test_a_changed_value_is_taken_or_refused(field: str, value: str) -> None:
    check(lambda: build_run("asid-tiny", read_changes([f"{field}={value}"])))
