"""Decoded photographs and their LR images, made once per machine and shared by all runs, as files on disk.

Each image is a ``.npy`` file, named by a hash of everything that its pixels depend on, with a checksum behind the
array. A run maps it for as long as it cuts a patch: nothing stays in its memory or counts against its open files,
however many photographs there are, and the operating system keeps one copy of the pages for all runs.

The cache changes time and memory, never a pixel. Without it (switched off, no room on the disk), or when it loses an
image that a run still uses, the run makes the image itself and holds it in memory.
"""

import errno
import hashlib
import logging
import math
import mmap
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LOGGER = logging.getLogger(__name__)

FOLDER_VARIABLE = "ASID_CACHE"
"""Environment variable: the folder of the cache, or ``off``."""
SIZE_VARIABLE = "ASID_CACHE_GB"
"""Environment variable: the size of the cache, in GB."""

_DEFAULT_GB = 20.0
"""DIV2K with LR images at one scale takes 8 GB, DF2K 36 GB."""
RESERVE = 2 * 10**9
"""Bytes of the disk that the cache leaves free: a training has to write its checkpoints."""
_TRIM_AFTER = 500 * 10**6
"""Bytes that a process writes between two looks at the size of the cache."""
_ABANDONED = 3600.0
"""Seconds after which a file that was not finished belongs to a process that was killed."""
_CHECKSUM = 4
"""Bytes of the checksum, CRC-32, little-endian."""

COUNTS, MACHINE_SPEEDS, RECORDS = "complexity-", "speeds-", "records-"
"""How the names of files begin that others keep here: the counted operations of a network (:mod:`asid.runs.counted`),
measured speeds (:mod:`asid.ablation.engine.cost`), and copies of records (:mod:`asid.ablation.report.record_cache`)."""
_OTHERS = (COUNTS, MACHINE_SPEEDS, RECORDS)

Pixels = NDArray[np.uint8]


class CachedImage:
    """One image in the cache. It is made when it is first needed, by the run that needs it first.

    Args:
        made_from: Everything that the pixels depend on, as text.
        make: Returns the pixels, uint8 (H, W, 3). It can be pickled, for data loaders that start processes.
    """

    def __init__(self, made_from: str, make: Callable[[], Pixels]) -> None:
        self.name, self.make = f"{hashlib.sha256(made_from.encode()).hexdigest()[:32]}.npy", make
        self._file: tuple[Path, int, tuple[int, ...]] | None = None
        """Path, offset of the array and its shape, once the file was found."""
        self._is_checked = False
        self._held: Pixels | None = None
        """The image, if the cache cannot have it."""

    def prepare(self) -> None:
        """Make the image if the cache does not have it; otherwise, only the head of its file is read."""
        if self._file is None and self._held is None:
            self._find(check=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3). Prepares the image."""
        self.prepare()
        return self._held.shape if self._held is not None else self._file[2]  # type: ignore[index]

    def pixels(self) -> Pixels:
        """The image, read-only. Its file is mapped while the array, or a part of it, is in use.

        When this object first reads the file, it compares it with its checksum; a damaged one is made again.
        """
        if self._held is None and not self._is_checked:
            self._find(check=True)
        if self._held is None:
            try:
                return self._map()
            except (OSError, ValueError):
                _warn_once(
                    "the cache of photographs lost an image that this run uses: holding it in memory. It was cleared, "
                    f"or it is too small for the runs that share it ({SIZE_VARIABLE})"
                )
                self._hold(self.make())
        assert self._held is not None
        return self._held

    def _find(self, *, check: bool) -> None:
        """Find the image in the cache, or make it and put it there; if that is not possible, hold it in memory."""
        folder = cache_folder()
        if folder is None:
            return self._hold(self.make())
        path = folder / self.name
        try:
            try:
                self._file = (path, *_read_head(path))
                if check and zlib.crc32(self._map().data).to_bytes(_CHECKSUM, "little") != _read_end(path):
                    raise ValueError("its checksum does not fit")
                with suppress(OSError):  # readable, but not ours
                    os.utime(path)  # the time of last use
            except FileNotFoundError:
                self._put(path)
            except ValueError as error:
                LOGGER.warning("%s is damaged: %s; making the image again", path, error)
                self._put(path)
        except OSError as error:
            _warn_once(f"cannot use the cache of photographs in {folder} ({error.strerror}): holding them in memory")
            self._file = None
            if self._held is None:
                self._hold(self.make())
        self._is_checked = check
        return None

    def _put(self, path: Path) -> None:
        pixels = self.make()
        try:
            _write(path, pixels)
            self._file = (path, *_read_head(path))
        except OSError:
            self._hold(pixels)
            raise

    def _hold(self, pixels: Pixels) -> None:
        self._held = np.ascontiguousarray(pixels)
        self._held.setflags(write=False)

    def _map(self) -> Pixels:
        assert self._file is not None
        path, offset, shape = self._file
        with path.open("rb", buffering=0) as file:  # a third of the time of numpy.memmap, twice for each patch
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8, math.prod(shape), offset).reshape(shape)


def cache_folder() -> Path | None:
    """The folder of the cache, from :data:`FOLDER_VARIABLE` or the user's cache folder; ``None`` if it is off."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen == "off":
        return None
    return Path(chosen) if chosen else _default_folder()


@cache
def _default_folder() -> Path:
    from pooch import os_cache  # half a second with what it imports

    return os_cache("asid")


def size_limit() -> int:
    """The size of the cache in bytes.

    Raises:
        ValueError: :data:`SIZE_VARIABLE` is not a number above 0.
    """
    text = os.environ.get(SIZE_VARIABLE, str(_DEFAULT_GB))
    with suppress(ValueError):
        if (gigabytes := float(text)) > 0:
            return int(gigabytes * 10**9)
    raise ValueError(f"{SIZE_VARIABLE}={text}: expected a number of GB above 0; {FOLDER_VARIABLE}=off needs no cache")


@dataclass(frozen=True)
class CacheContent:
    """What is in the cache."""

    images: int
    size: int
    """Bytes."""


def cache_content() -> CacheContent:
    """Count the images in the cache, and their bytes."""
    sizes = [status.st_size for path, status in _files() if path.suffix == ".npy"]
    return CacheContent(len(sizes), sum(sizes))


def clear_cache() -> CacheContent:
    """Delete everything in the cache; returns what it was. Runs in progress make again what they need."""
    before = cache_content()
    for path, _ in _files():
        _delete(path)
    return before


def trim_cache() -> None:
    """Delete the images that were not used for longest, until the cache has at most :func:`size_limit` bytes."""
    images = []
    for path, status in _files():
        if path.suffix == ".npy":
            images.append((status.st_mtime, status.st_size, path))
        elif path.suffix == ".partial" and status.st_mtime < time.time() - _ABANDONED:
            _delete(path)
    excess = sum(size for _, size, _ in images) - size_limit()
    for _, size, path in sorted(images):
        if excess <= 0:
            break
        _delete(path)
        excess -= size


def _files() -> Iterator[tuple[Path, os.stat_result]]:
    """The files of the cache: images, those that are being written, and what others keep here.

    Other processes delete them at any time.
    """
    folder = cache_folder()
    if folder is not None and folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".npy", ".partial")) or entry.name.startswith(_OTHERS):
                    with suppress(FileNotFoundError):
                        yield Path(entry.path), entry.stat()


def _delete(path: Path) -> None:
    with suppress(OSError):  # gone already, or not ours
        path.unlink()


_written = _TRIM_AFTER
"""Bytes that this process has written since it last looked at the size of the cache: it begins with a look."""


def _write(path: Path, pixels: Pixels) -> None:
    """Write an image and its checksum: completely, or not at all.

    Not flushed to disk, which takes longer than making a small image: what a power failure damages is noticed.

    Raises:
        OSError: The folder cannot be written, or the disk has no room.
    """
    global _written
    pixels = np.ascontiguousarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < pixels.nbytes + RESERVE:
        raise OSError(errno.ENOSPC, f"less than {RESERVE / 1e9:g} GB are free")
    _written += pixels.nbytes
    if _written > _TRIM_AFTER:
        trim_cache()
        _written = 0
    # Several processes may make the same image at once: each writes a file of its own, and the last one stays.
    partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            np.save(file, pixels)
            file.write(zlib.crc32(pixels.data).to_bytes(_CHECKSUM, "little"))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_head(path: Path) -> tuple[int, tuple[int, ...]]:
    """Where in a file the array begins, and its shape.

    Raises:
        ValueError: It is not the file of an image with a checksum, or it was cut off.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"unexpected version {version}")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if is_fortran or dtype != np.uint8 or len(shape) != 3 or size != offset + math.prod(shape) + _CHECKSUM:
        raise ValueError(f"{dtype} {shape} in {size} bytes")
    return offset, shape


def _read_end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-_CHECKSUM, os.SEEK_END)
        return file.read()


@cache
def _warn_once(text: str) -> None:
    LOGGER.warning(text)
