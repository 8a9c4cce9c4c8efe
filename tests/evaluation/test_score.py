"""Scoring somebody else's images, and the commands evaluate, score, upscale and verify."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asid.cli import main as cli
from asid.config import preset
from asid.data.images import ImageError, write_image
from asid.data.sources import find_images
from asid.evaluation.evaluate import score_folder
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID

Call = Callable[..., tuple[int, str, str]]
PHOTO = np.array(find_images("samples")[0].read()[40:104, 60:124])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("baby", "bird", "bird2"):
        write_image(tmp_path / "hr" / f"{name}.png", PHOTO)
    write_image(tmp_path / "sr" / "baby_RCAN_x2.png", PHOTO)
    write_image(tmp_path / "sr" / "birdx2.png", 255 - PHOTO)
    write_image(tmp_path / "sr" / "bird2.png", PHOTO)
    return tmp_path / "sr", tmp_path / "hr"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asid", *words])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        out, err = capsys.readouterr()
        return int(ending.value.code or 0), out, err

    return run


def test_images_are_paired_by_name(folders: tuple[Path, Path]) -> None:
    scores = score_folder(*folders, 2).set_index("image")
    assert scores.loc["baby", "psnr"] == scores.loc["bird2", "psnr"] == np.inf
    assert scores.loc["bird", "psnr"] < 20


def test_a_lost_extra_or_double_image_is_named(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    (sr / "birdx2.png").rename(sr / "bird3.png")
    with pytest.raises(ImageError, match=r"bird3\.png: its name"):
        score_folder(sr, hr, 2)
    (sr / "bird3.png").unlink()
    with pytest.raises(ImageError, match=r"bird\.png: no SR image"):
        score_folder(sr, hr, 2)
    write_image(sr / "bird_a.png", PHOTO)
    write_image(sr / "bird_b.png", PHOTO)
    with pytest.raises(ImageError, match=r"bird_b\.png and .*bird_a\.png both belong"):
        score_folder(sr, hr, 2)


def test_a_wrong_size_names_the_file(folders: tuple[Path, Path]) -> None:
    write_image(folders[0] / "baby_RCAN_x2.png", PHOTO[:60])
    with pytest.raises(ImageError, match=r"baby_RCAN_x2\.png: expected two images of the same size"):
        score_folder(*folders, 2)


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, "38.27", "0.9614"), (3, "34.74", "0.9299"), (4, "32.63", "0.9002")]
)
def test_published_digits_from_published_images(scale: int, psnr: str, ssim: str, shared: Path, call: Call) -> None:
    data = shared / "data"
    status, out, _ = call(
        "score", str(data / f"Set5_RCAN/x{scale}"), str(data / "Set5"), "--scale", str(scale), "--json"
    )
    record = json.loads(out)
    assert status == 0
    assert (f"{record['mean']['psnr']:.2f}", f"{record['mean']['ssim']:.4f}") == (psnr, ssim)
    assert record["protocol"] == "psnr-y/ssim-y crop=scale"
    assert len(record["images"]) == 5


def test_identical_images_are_text_in_json(folders: tuple[Path, Path], call: Call) -> None:
    _, out, _ = call("score", *map(str, folders), "--scale", "2", "--json")
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["mean"]["psnr"] == "inf"
    assert {row["image"]: row["psnr"] for row in record["images"]}["baby"] == "inf"


def test_rgb_is_another_protocol_with_its_own_name(folders: tuple[Path, Path], call: Call) -> None:
    luma, rgb = (
        json.loads(call("score", *map(str, folders), "--scale", "2", "--json", "--protocol", name)[1])
        for name in ("psnr-y/ssim-y crop=scale", "psnr-rgb/ssim-rgb crop=scale")
    )
    assert luma["protocol"] != rgb["protocol"]
    assert luma["images"][1]["psnr"] != rgb["images"][1]["psnr"]


def test_evaluate_leaves_a_record_a_table_and_images(tmp_path: Path, call: Call, folders: tuple[Path, Path]) -> None:
    checkpoint = save_checkpoint(ASID(preset("asid-tiny")), tmp_path / "net.safetensors")
    words = [
        "evaluate",
        str(checkpoint),
        "--data",
        str(folders[1]),
        "--output",
        str(tmp_path / "out"),
        "--save-images",
        "--json",
    ]
    status, out, _ = call(*words, "--tile", "16", "--overlap", "4", "--ensemble")
    record = json.loads(out)
    assert status == 0
    assert record == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["inference"] == "tiles of 16, overlap 4, mean, self-ensemble"
    table = pd.read_csv(tmp_path / "out" / "per_image.csv")
    assert list(table["image"]) == ["baby", "bird", "bird2"]
    assert set(table["lr"]) == {"bicubic symmetric"}
    assert table["psnr"].mean() == pytest.approx(record["mean"]["psnr"])
    assert len(list((tmp_path / "out" / "images" / "hr").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "bicubic"], "bicubic needs a scale"),
        (["evaluate", "nothing.pth"], "no model nothing.pth"),
        (["evaluate", "asid-d8"], "has no packaged weights"),
        (["evaluate", "."], "no trained network in ."),
        (["evaluate", "bicubic", "--scale", "2", "--data", "Set6"], "Set5"),
        (["evaluate", "bicubic", "--scale", "2", "--protocol", "psnr"], "protocol"),
        (["evaluate", "bicubic", "--scale", "2", "--tile", "8"], "overlap smaller than the tile"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str], message: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*words)
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_upscale_writes_images(tmp_path: Path, call: Call, folders: tuple[Path, Path]) -> None:
    checkpoint = save_checkpoint(ASID(preset("asid-tiny", scale=3)), tmp_path / "net.safetensors")
    status, out, _ = call("upscale", str(checkpoint), str(folders[1] / "baby.png"), "--output", str(tmp_path / "out"))
    assert status == 0
    assert "192×192" in out
    assert find_images(tmp_path / "out")[0].read().shape == (192, 192, 3)


def test_verify_fails_where_a_number_is_off(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asid.evaluation import verify

    monkeypatch.setenv("ASID_DATA", str(tmp_path))
    monkeypatch.setattr(verify, "_MACS", {})
    monkeypatch.setattr(verify, "_PARAMETERS", {("asid", 2): 297_516})
    monkeypatch.setattr(verify, "_BICUBIC", {"samples": {2: (32.92, 0.9008)}, "Set5": {2: (33.67, None)}})
    status, out, _ = call("verify", "--json")
    results = {check["name"]: check["result"] for check in json.loads(out)}
    assert status == 0
    assert results["bicubic on samples ×2"] == results["published architecture, golden_x2"] == "ok"
    assert results["bicubic on Set5 ×2"] == "no data"
    monkeypatch.setattr(verify, "_PARAMETERS", {("asid", 2): 297_517})
    assert call("verify", "--json")[0] == 1
