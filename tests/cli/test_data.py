"""The commands ``asid data list``, ``check`` and ``download``."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from skimage import data
from typer.testing import CliRunner, Result

from asid.cli.data import app
from asid.data.benchmarks import BENCHMARKS
from asid.data.images import ImageError, write_image
from asid.data.resize import downscale


def run(*arguments: object, root: Path | None = None) -> Result:
    return CliRunner().invoke(
        app, list(map(str, arguments)), env={"ASID_DATA": str(root) if root else None, "COLUMNS": "200"}
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a complete Set5 (LR files at ×2, border symmetric) and a Set14 that has only one image."""
    for index in range(5):
        image = data.astronaut()[20 * index : 20 * index + 32, 200:224]
        write_image(tmp_path / "Set5" / "HR" / f"{index}.png", image)
        write_image(tmp_path / "Set5" / "LR_bicubic" / "X2" / f"{index}x2.png", downscale(image, 2))
    write_image(tmp_path / "Set14" / "a.png", image)
    return tmp_path


def test_list_shows_the_folder_of_each_set_or_how_to_get_it(root: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json", "--data-root", root).stdout)}
    assert list(rows) == list(BENCHMARKS)
    assert (rows["Set5"]["folders"], rows["Set5"]["problem"]) == ([str(root / "Set5")], None)
    assert "expected the 14 images of Set14, got 1" in rows["Set14"]["problem"]
    assert (rows["DIV2K"]["folders"], rows["DIV2K"]["problem"], rows["DIV2K"]["download"]) == ([], None, True)
    table = run("list", root=root).stdout
    for text in ("asid data download DIV2K", "manually from http://www.manga109.org", "got 1"):
        assert text in table


def test_check_reports_the_border_rule_of_lr_files(root: Path) -> None:
    summary = json.loads(run("check", "Set5", "--json", root=root).stdout)
    assert summary["images"] == 5
    assert summary["lr"]["equal"]["symmetric"] == 5
    assert summary["lr"]["equal"]["replicate"] < 5
    text = run("check", root / "Set5").stdout
    assert f"5 images, 32×24 to 32×24 pixels, manifest {summary['manifest']}" in text
    assert "identical to our resize: 5 with border symmetric and" in text
    assert "no LR files for ×4" in run("check", "Set5", "--scale", "4", root=root).stdout


def test_a_damaged_image_is_reported(root: Path) -> None:
    (root / "Set5" / "HR" / "3.png").write_bytes(b"cut")
    result = run("check", "Set5", root=root)
    assert isinstance(result.exception, ImageError)
    assert "3.png is not a readable image" in str(result.exception)


def test_download_needs_a_folder_and_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set ASID_DATA or --data-root" in str(run("download", "Set5").exception)
    assert "download it from http://www.manga109.org" in str(run("download", "Manga109", root=root).exception)
    assert str(root / "Set5") in run("download", "set5", root=root).stdout
    nowhere = replace(
        BENCHMARKS["DIV2K"].archives[0], url="http://127.0.0.1:9/x.zip", checksum=f"md5:{hashlib.md5(b'').hexdigest()}"
    )
    monkeypatch.setitem(BENCHMARKS, "DIV2K", replace(BENCHMARKS["DIV2K"], archives=(nowhere,)))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = run("download", "DIV2K", root=root)
    assert isinstance(result.exception, OSError)
    assert "could not download http://127.0.0.1:9/x.zip" in str(result.exception)
