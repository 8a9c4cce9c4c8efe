"""Downloading and unpacking, against a server on the loopback interface."""

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from asid.data.benchmarks import BENCHMARKS, Archive
from asid.data.download import download, fetch_archive
from asid.data.images import ImageError

NOISE = np.random.default_rng(0).bytes(300_000)


class Server:
    """Serves ``files``; can cut a connection after ``cut`` bytes and ignore ranges. Stores the requested ranges."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []
        parent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                parent.asked.append(asked)
                body = parent.files.get(self.path)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and parent.ranges else 0
                if body is None or start >= len(body):
                    self.send_error(404 if body is None else 416)
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                self.wfile.write(body[start : None if parent.cut is None else start + parent.cut])

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def archive(self, name: str, body: bytes, folder: str = "Set5") -> Archive:
        self.files[f"/{name}"] = body
        address = f"http://127.0.0.1:{self.http.server_port}/{name}"
        return Archive(address, f"md5:{hashlib.md5(body).hexdigest()}", folder)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_tar(
    files: dict[str, bytes], *, links: dict[str, str] | None = None, kind: bytes = tarfile.SYMTYPE, mode: str = "w"
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zip_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {"Set5/HR/baby.png": NOISE, "Set5/LR_bicubic/X2/babyx2.png": b"small"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Set5.zip", make_zip({**FILES, "__MACOSX/x": b"left out"})),
        ("Set5.tar", make_tar(FILES)),
        ("Set5.tgz", make_tar(FILES, mode="w:gz")),
        ("bare.zip", make_zip({name.removeprefix("Set5/"): data for name, data in FILES.items()})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # archives contain the time
)
def test_a_complete_download_leaves_the_data_and_nothing_else(
    name: str, body: bytes, server: Server, tmp_path: Path
) -> None:
    archive = server.archive(name, body, "sets/Set5")
    assert fetch_archive(archive, tmp_path, progress=False) == tmp_path / "sets" / "Set5"
    assert content(tmp_path) == {f"sets/{name}": data for name, data in FILES.items()}
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["Set5"]
    fetch_archive(archive, tmp_path, progress=False)
    assert server.asked == [None]


def interrupted(archive: Archive, server: Server, root: Path) -> Path:
    """Begin a download whose connection breaks after 200 kB; returns the partial file."""
    server.cut = 200_000
    with pytest.raises(OSError, match=r"could not download http.*; \d+ bytes are stored, and the same command resumes"):
        fetch_archive(archive, root, progress=False)
    server.cut = None
    assert not (root / "Set5").exists()
    (part,) = (root / ".downloads").iterdir()
    assert 100_000 < part.stat().st_size <= 200_000
    return part


def test_an_interrupted_download_resumes(server: Server, tmp_path: Path) -> None:
    archive = server.archive("Set5.zip", make_zip(FILES))
    stored = interrupted(archive, server, tmp_path).stat().st_size
    fetch_archive(archive, tmp_path, progress=False)
    assert server.asked == [None, f"bytes={stored}-"]
    assert content(tmp_path) == FILES


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    archive = server.archive("Set5.zip", make_zip(FILES))
    interrupted(archive, server, tmp_path)
    server.ranges = False
    fetch_archive(archive, tmp_path, progress=False)
    assert content(tmp_path) == FILES


def test_a_download_that_was_whole_but_not_unpacked(server: Server, tmp_path: Path) -> None:
    body = make_zip(FILES)
    archive = server.archive("Set5.zip", body)
    part = interrupted(archive, server, tmp_path)
    part.write_bytes(body)
    fetch_archive(archive, tmp_path, progress=False)
    assert server.asked[1:] == [f"bytes={len(body)}-"]
    assert content(tmp_path) == FILES


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    archive = replace(server.archive("Set5.zip", make_zip(FILES)), checksum="md5:" + "0" * 32)
    with pytest.raises(ValueError, match=r"Set5\.zip.* does not match"):
        fetch_archive(archive, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_noticed_and_deleted(server: Server, tmp_path: Path) -> None:
    archive = server.archive("Set5.zip", make_zip(FILES))
    part = interrupted(archive, server, tmp_path)
    part.write_bytes(b"x" * 100_000)
    with pytest.raises(ValueError, match="does not match"):
        fetch_archive(archive, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    fetch_archive(archive, tmp_path, progress=False)
    assert content(tmp_path) == FILES


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("a.zip", make_zip({**FILES, "../evil.png": b"x"}), id="zip, parent"),
        pytest.param("a.zip", make_zip({**FILES, "Set5/../../evil.png": b"x"}), id="zip, parent inside"),
        pytest.param("a.zip", make_zip({"/evil.png": b"x"}), id="zip, absolute"),
        pytest.param("a.zip", make_zip({"C:\\evil.png": b"x"}), id="zip, drive"),
        pytest.param("a.zip", make_zip({"..\\evil.png": b"x"}), id="zip, backslash"),
        pytest.param("a.zip", zip_link("Set5/link", "/etc"), id="zip, link"),
        pytest.param("a.tar", make_tar({**FILES, "../evil.png": b"x"}), id="tar, parent"),
        pytest.param("a.tar", make_tar({"/tmp/evil.png": b"x"}), id="tar, absolute"),
        pytest.param("a.tar", make_tar({"Set5/link/evil.png": b"x"}, links={"Set5/link": "../../.."}), id="tar, link"),
        pytest.param("a.tar", make_tar(FILES, links={"Set5/link": "/etc/passwd"}), id="tar, absolute link"),
        pytest.param("a.tar", make_tar(FILES, links={"Set5/link": "HR"}), id="tar, link inside the folder"),
        pytest.param(
            "a.tar", make_tar(FILES, links={"Set5/hard": "Set5/HR/baby.png"}, kind=tarfile.LNKTYPE), id="tar, hard link"
        ),
        pytest.param("a.tar", make_tar(FILES, links={"Set5/pipe": ""}, kind=tarfile.FIFOTYPE), id="tar, named pipe"),
        pytest.param("a.tar", b"neither zip nor tar", id="no archive"),
    ],
)
def test_an_archive_that_would_leave_its_folder_is_not_unpacked(
    name: str, body: bytes, server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "outer" / "root"
    with pytest.raises(ValueError, match=rf"{name} was not unpacked: ") as caught:
        fetch_archive(server.archive(name, body), root, progress=False)
    assert "\n" not in str(caught.value)
    assert list(root.iterdir()) == []
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["root"]
    assert [path.name for path in tmp_path.iterdir()] == ["outer"]


def test_a_missing_file_is_reported(server: Server, tmp_path: Path) -> None:
    archive = server.archive("Set5.zip", b"")
    server.files.clear()
    with pytest.raises(OSError, match=r"could not download http.*/Set5\.zip: 404"):
        fetch_archive(archive, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_set5(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Serves the catalogue's Set5 from the loopback server, with the given number of images."""

    def serve(count: int) -> None:
        body = make_tar({f"benchmark/Set5/HR/{index}.png": b"pixels" for index in range(count)})
        archive = server.archive("benchmark.tar", body, "benchmark")
        monkeypatch.setitem(BENCHMARKS, "Set5", replace(BENCHMARKS["Set5"], archives=(archive,)))

    return serve


def test_a_benchmark_is_downloaded_once(small_set5: Callable[[int], None], server: Server, tmp_path: Path) -> None:
    small_set5(5)
    for _ in range(2):
        assert download("set5", tmp_path, progress=False) == [tmp_path / "benchmark" / "Set5"]
    assert server.asked == [None]


def test_an_incomplete_set_is_an_error(small_set5: Callable[[int], None], tmp_path: Path) -> None:
    small_set5(4)
    with pytest.raises(ImageError, match="expected the 5 images of Set5, got 4"):
        download("Set5", tmp_path, progress=False)


def test_a_set_without_a_checksum_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError,
        match=r"Manga109 has no public file .*http://www\.manga109\.org.* into .*/Manga109",
    ):
        download("Manga109", tmp_path, progress=False)
    with pytest.raises(ImageError, match=r"'Set6'.*Set5"):
        download("Set6", tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
