"""The cache of images: made once, never wrong, and never in the way."""

import json
import logging
import os
import pickle
import shutil
from collections import namedtuple
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from command_line import Call

from asid.data import cache
from asid.data.cache import CachedImage, cache_content, clear_cache, trim_cache

Edit = Callable[[Path], object]
PIXELS = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
MADE: list[int] = []
"""Seeds of the images that were made."""


def make(seed: int) -> np.ndarray:
    MADE.append(seed)
    return PIXELS + np.uint8(seed)


def image(seed: int = 0) -> CachedImage:
    return CachedImage(f"image {seed}", partial(make, seed))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_written", cache._TRIM_AFTER)
    cache._warn_once.cache_clear()
    MADE.clear()
    return tmp_path / "cache"


def test_an_image_is_made_once_and_is_the_same_with_and_without_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        assert image().shape == PIXELS.shape
        assert np.array_equal(image().pixels(), PIXELS)
        assert not image().pixels().flags.writeable
    assert MADE == [0]
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "off")
    held = image()
    assert np.array_equal(held.pixels(), PIXELS)
    assert held.shape == PIXELS.shape
    assert not held.pixels().flags.writeable
    assert MADE == [0, 0]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda path: os.truncate(path, 3000),
        lambda path: os.truncate(path, 5),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: np.save(path.open("wb"), PIXELS.astype(float)),
    ],
)
@pytest.mark.parametrize("first", [CachedImage.pixels, lambda found: found.shape])
def test_a_damaged_file_is_noticed_and_made_again(
    damage: Edit, first: Callable[[CachedImage], object], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image().pixels()
    (path,) = folder.glob("*.npy")
    damage(path)
    found = image()
    first(found)
    assert np.array_equal(found.pixels(), PIXELS)
    assert "damaged" in caplog.text
    MADE.clear()
    assert np.array_equal(image().pixels(), PIXELS)
    assert MADE == []


def test_what_cannot_be_written_is_held_in_memory_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**9))
    images = [image(seed) for seed in range(3)]
    for _ in range(2):
        for seed, found in enumerate(images):
            assert np.array_equal(found.pixels(), PIXELS + np.uint8(seed))
    assert MADE == [0, 1, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert cache_content().images == 0


def test_a_folder_that_cannot_be_used_is_no_error(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_text("a file where the folder should be")
    assert np.array_equal(image().pixels(), PIXELS)
    assert "holding them in memory" in caplog.text


def test_a_write_that_fails_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    assert np.array_equal(image().pixels(), PIXELS)
    assert list(folder.iterdir()) == []


def test_a_run_survives_the_loss_of_images_that_it_uses(caplog: pytest.LogCaptureFixture) -> None:
    images = [image(seed) for seed in range(2)]
    mapped = images[0].pixels()
    assert images[1].shape == PIXELS.shape
    clear_cache()
    assert np.array_equal(mapped, PIXELS)
    for seed, found in enumerate(images):
        assert np.array_equal(found.pixels(), PIXELS + np.uint8(seed))
    assert "lost an image" in caplog.text


def test_what_was_not_used_for_longest_is_deleted_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        image(seed).pixels()
        os.utime(folder / image(seed).name, (seed, seed))
    image(0).pixels()  # used again
    monkeypatch.setenv(cache.SIZE_VARIABLE, str(2.5 * PIXELS.nbytes / 1e9))
    trim_cache()
    assert {path.name for path in folder.iterdir()} == {image(seed).name for seed in (0, 3)}


def test_a_process_that_writes_keeps_the_cache_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_TRIM_AFTER", PIXELS.nbytes // 2)
    monkeypatch.setenv(cache.SIZE_VARIABLE, str(3.5 * PIXELS.nbytes / 1e9))
    for seed in range(10):
        image(seed).pixels()
    assert cache_content().size < 4.5 * PIXELS.nbytes


def test_what_a_killed_process_left_is_deleted_later(folder: Path) -> None:
    image().pixels()
    new, old = folder / "new.partial", folder / "old.partial"
    for path in (new, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    trim_cache()
    assert new.exists()
    assert not old.exists()


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan"])
def test_a_size_that_is_not_a_number_of_gigabytes_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, text)
    with pytest.raises(ValueError, match=rf"{cache.SIZE_VARIABLE}={text}: expected a number of GB above 0"):
        image().pixels()


def read_many(number: int) -> bool:
    return all(np.array_equal(image(seed).pixels(), PIXELS + np.uint8(seed)) for seed in range(30))


@pytest.mark.process
def test_processes_that_fill_the_cache_at_once_do_not_disturb_each_other(folder: Path) -> None:
    with get_context("fork").Pool(4) as pool:
        assert all(pool.map(read_many, range(8), chunksize=1))
    assert len(list(folder.iterdir())) == 30


def test_an_image_can_be_sent_to_a_process_that_loads_data() -> None:
    found = image()
    found.pixels()
    assert np.array_equal(pickle.loads(pickle.dumps(found)).pixels(), PIXELS)


def test_the_command_shows_and_clears_the_cache(cli: Call, folder: Path) -> None:
    image().pixels()
    for name in (f"{cache.COUNTS}abc.json", f"{cache.MACHINE_SPEEDS}x.json", f"{cache.RECORDS}1.sqlite"):
        (folder / name).write_text("{}")
    size = (folder / image().name).stat().st_size
    report = json.loads(cli("data", "cache", "--json").out)
    assert report == {"folder": str(folder), "images": 1, "bytes": size, "limit": 20 * 10**9, "cleared": False}
    assert "1 images" in cli("data", "cache").out
    cli("data", "cache", "--clear")
    assert list(folder.iterdir()) == []
