"""Downloading data sets: checksums, resuming, safe unpacking. Whatever goes wrong, no half-made data set is left behind."""

import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from asid.data.benchmarks import BENCHMARKS, Archive, find_benchmark
from asid.data.images import ImageError
from asid.data.sources import find_folders, find_pairs

_CHUNK = 1 << 16
"""Bytes written at a time: what a broken connection can lose."""
_TIMEOUT = 60
"""Seconds without a byte after which a connection counts as lost."""


def download(name: str, root: str | Path, *, progress: bool = True) -> list[Path]:
    """Download the benchmark ``name`` into ``root`` and return its folders. What is there already is left as it is.

    Raises ------ ImageError : an unknown name; no public file with a known checksum (says where a person finds it); a
    set that is not complete. ValueError : the file's checksum is wrong, or the archive would write outside its folder.
    Nothing is unpacked, the file is deleted. OSError : the connection failed or broke: called again, it goes on where
    it stopped.
    """
    root = Path(root)
    benchmark = find_benchmark(name)
    if benchmark is None:
        raise ImageError(f"no data set '{name}' to download: expected one of {', '.join(BENCHMARKS)}")
    try:
        find_pairs(name, None, root)
    except ImageError:
        if not benchmark.archives:
            target = root / benchmark.folders[0][0]
            raise ImageError(
                f"{benchmark.name} has no public file with a known checksum: download it from {benchmark.page} into {target}"
            ) from None
        for archive in benchmark.archives:
            fetch_archive(archive, root, progress=progress)
        find_pairs(name, None, root)
    return find_folders(benchmark, root)


def fetch_archive(archive: Archive, root: Path, *, progress: bool = True) -> Path:
    """Download an archive and unpack it to ``root / archive.folder``, which is there only once it is complete; returns it.

    Raises as :func:`download` does.
    """
    target = root / archive.folder
    if target.is_dir() and any(target.iterdir()):
        return target
    downloads = root / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    name = PurePosixPath(archive.url).name
    part = downloads / f"{name}.{archive.checksum.rpartition(':')[2][:12]}.part"
    try:
        # pooch checks the checksum, and keeps a file only where it is right.
        file = Path(
            pooch.retrieve(archive.url, archive.checksum, name, downloads, downloader=_Resuming(part, progress))
        )
        try:
            _unpack(file, target)
        except ValueError:
            file.unlink()  # Another download would bring the same file.
            raise
        file.unlink()
    finally:
        if not any(downloads.iterdir()):
            downloads.rmdir()
    return target


class _Resuming:
    """A downloader for pooch that goes on from ``part``, where an earlier one stopped, if the server knows HTTP ranges."""

    def __init__(self, part: Path, progress: bool) -> None:
        self.part, self.progress = part, progress

    def __call__(self, url: str, output_file: str, _: object) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        # "identity": a server that compresses on the way would make byte positions meaningless.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                # 416: nothing is left to send; the checksum decides whether what is here is right.
                if response.status_code != requests.codes.requested_range_not_satisfiable:
                    response.raise_for_status()
                    resumed = response.status_code == requests.codes.partial_content
                    self._receive(response, have if resumed else 0)
        except requests.RequestException as error:
            got = self.part.stat().st_size if self.part.exists() else 0
            kept = f"; {got} bytes are kept, the same command goes on from there" if got else ""
            raise OSError(f"could not download {url}: {error}{kept}") from None
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


def _unpack(file: Path, target: Path) -> None:
    """Unpack a zip or tar file to ``target`` in one step: into a folder beside it that is renamed at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        try:
            if zipfile.is_zipfile(file):
                _unpack_zip(file, folder)
            elif tarfile.is_tarfile(file):
                _unpack_tar(file, folder)
            else:
                raise ValueError(f"{file} was not unpacked: it is neither a zip nor a tar file")
        except (tarfile.TarError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} was not unpacked: {error}") from None
        # Archives hold one folder of the target's name; what else there is (__MACOSX) is left out.
        inner = folder / target.name
        os.replace(inner if inner.is_dir() else folder, target)


def _check_member(file: Path, name: str) -> None:
    """Refuse a member whose name leaves the folder. Windows' rules too: ``C:`` and backslashes, wherever this runs."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    if any(path.is_absolute() or path.drive or path.root or ".." in path.parts for path in paths):
        raise ValueError(f"{file} was not unpacked: its member '{name}' would be written outside the folder")


def _unpack_zip(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            _check_member(file, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{file} was not unpacked: its member '{member.filename}' is a symbolic link")
        archive.extractall(folder)


def _unpack_tar(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            _check_member(file, member.name)
        archive.extractall(folder, filter="data")  # "data" refuses links that lead out of the folder, and devices.
