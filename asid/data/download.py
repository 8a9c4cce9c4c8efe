"""Downloading data sets: checksums, resuming, safe unpacking. A failure never leaves an incomplete data set behind."""

import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from asid.data.benchmarks import BENCHMARKS, Archive, find_benchmark
from asid.data.images import ImageError
from asid.data.sources import find_folders, find_pairs

_CHUNK = 1 << 16
"""Bytes written at a time; at most this many are lost when a connection breaks."""
_TIMEOUT = 60
"""Seconds without data after which a connection counts as broken."""


def download(name: str, root: str | Path, *, progress: bool = True) -> list[Path]:
    """Download the benchmark ``name`` into ``root``. A set that is already there is left as it is.

    Args:
        name: Name of a benchmark.
        root: Folder of the data sets.
        progress: Whether to show a progress bar on standard error.

    Returns:
        The folders of the set.

    Raises:
        ImageError: The name is unknown, the set is incomplete, or there is no public file with a known checksum; then
            the message says where a person can get the set.
        ValueError: The checksum is wrong, or the archive is not safe to unpack. Nothing is unpacked, and the file is
            deleted.
        OSError: The connection failed. The next call resumes the download.
    """
    root = Path(root)
    benchmark = find_benchmark(name)
    if benchmark is None:
        raise ImageError(f"no data set '{name}' to download: expected one of {', '.join(BENCHMARKS)}")
    try:
        find_pairs(name, None, root)
    except ImageError:
        if not benchmark.archives:
            raise ImageError(
                f"{benchmark.name} has no public file with a known checksum: download it from {benchmark.page} "
                f"into {root / benchmark.folders[0][0]}"
            ) from None
        for archive in benchmark.archives:
            fetch_archive(archive, root, progress=progress)
        find_pairs(name, None, root)
    return find_folders(benchmark, root)


def fetch_archive(archive: Archive, root: Path, *, progress: bool = True) -> Path:
    """Download an archive and unpack it to ``root / archive.folder``, which appears only when it is complete.

    Returns:
        The unpacked folder.

    Raises:
        ValueError: As for :func:`download`.
        OSError: As for :func:`download`.
    """
    target = root / archive.folder
    if target.is_dir() and any(target.iterdir()):
        return target
    downloads = root / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    name = PurePosixPath(archive.url).name
    part = downloads / f"{name}.{archive.checksum.rpartition(':')[2][:12]}.part"
    try:
        # pooch verifies the checksum, and deletes the file if it is wrong.
        file = Path(
            pooch.retrieve(archive.url, archive.checksum, name, downloads, downloader=_Resuming(part, progress))
        )
        try:
            _unpack(file, target)
        except ValueError:
            file.unlink()  # downloading it again would give the same file
            raise
        file.unlink()
    finally:
        if not any(downloads.iterdir()):
            downloads.rmdir()
    return target


class _Resuming:
    """A downloader for pooch that resumes the partial file ``part`` if the server supports HTTP ranges."""

    def __init__(self, part: Path, progress: bool) -> None:
        self.part, self.progress = part, progress

    def __call__(self, url: str, output_file: str, _: object) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        # "identity": byte positions would be meaningless if the server compressed the response.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                # 416: nothing is left to send, and the checksum decides whether the file is right.
                if response.status_code != requests.codes.requested_range_not_satisfiable:
                    response.raise_for_status()
                    resumed = response.status_code == requests.codes.partial_content
                    self._receive(response, have if resumed else 0)
        except requests.RequestException as error:
            got = self.part.stat().st_size if self.part.exists() else 0
            resume = f"; {got} bytes are stored, and the same command resumes from there" if got else ""
            raise OSError(f"could not download {url}: {error}{resume}") from None
        os.replace(self.part, output_file)

    def _receive(self, response: requests.Response, have: int) -> None:
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with (
            Progress(*columns, console=Console(stderr=True), disable=not self.progress) as bar,
            self.part.open("ab" if have else "wb") as file,
        ):
            task = bar.add_task(PurePosixPath(response.url).name, total=total, completed=have)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))
        if total is not None and self.part.stat().st_size < total:
            raise requests.ConnectionError(f"the connection ended after {self.part.stat().st_size} of {total} bytes")


_UNPACKING: tuple[type[Exception], ...] = (
    *(ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, lzma.LZMAError, zlib.error),
    *(tarfile.TarError, zipfile.BadZipFile),
)
"""What the standard library makes of damaged archives, names that the disk does not take, passwords."""


def _unpack(file: Path, target: Path) -> None:
    """Unpack a zip or tar file in one step: into a temporary folder beside ``target`` that is renamed at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent.resolve()) as temporary:
        folder = Path(temporary) / target.name
        try:
            for name, plain in _members(file):
                _check_member(name, plain)
            unpack = pooch.Unzip if zipfile.is_zipfile(file) else pooch.Untar
            unpack(extract_dir=str(folder))(str(file), "download", None)
        except _UNPACKING as error:
            raise ValueError(f"{file} was not unpacked: {error}") from None
        # Most archives contain one folder with the name of the target; anything beside it, such as __MACOSX, is
        # dropped.
        inner = folder / target.name
        os.replace(inner if inner.is_dir() else folder, target)


def _members(file: Path) -> Iterator[tuple[str, bool]]:
    """The name of each member of an archive, and whether it is a plain file or folder, not a link or device."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as zip_file:
            yield from ((item.filename, not stat.S_ISLNK(item.external_attr >> 16)) for item in zip_file.infolist())
    elif tarfile.is_tarfile(file):
        with tarfile.open(file) as tar_file:
            yield from ((item.name, item.isfile() or item.isdir()) for item in tar_file)
    else:
        raise ValueError("it is neither a zip nor a tar file")


def _check_member(name: str, plain: bool) -> None:
    """Refuse links, devices and names that leave the folder, on POSIX or on Windows (``C:``, backslashes).

    pooch does not check them, and tarfile's ``data`` filter, which it uses from Python 3.12 on, can be tricked by links
    (CVE-2025-4517).
    """
    paths = (PurePosixPath(name), PureWindowsPath(name))
    if any(path.is_absolute() or path.drive or path.root or ".." in path.parts for path in paths):
        raise ValueError(f"its member '{name}' would be written outside the folder")
    if not plain:
        raise ValueError(f"its member '{name}' is a link or a device")
