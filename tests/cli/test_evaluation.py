"""The commands evaluate, score, upscale and verify: what they write, what they print, and how they fail."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Call

from asid.cli import score
from asid.config import EvalConfig, InferenceConfig, preset
from asid.data.images import read_image
from asid.data.sources import find_images
from asid.evaluation import progress
from asid.evaluation.evaluate import evaluate
from asid.evaluation.evaluation_record import default_folder
from asid.evaluation.inference import upscale
from asid.files import WEIGHTS, read_json
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.model.pretrained import load_model

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with an untrained network."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    folder.mkdir()
    save_checkpoint(ASID(preset("asid-tiny", num_groups=1), seed=3), folder / WEIGHTS)
    return folder


def test_the_record_the_table_and_the_images_are_those_of_one_evaluation(
    run_folder: Path, crops: Path, cli: Call, tmp_path: Path
) -> None:
    data, output = crops / "validation", tmp_path / "out"
    ended = cli(
        "evaluate", run_folder, "--data", data, "--tile", 32, "--overlap", 8, "--save-images", "--output", output
    )
    expected = evaluate(
        ASID(preset("asid-tiny", num_groups=1), seed=3).eval(), 2, EvalConfig(data=(str(data),), tile=32, overlap=8)
    ).scores
    record = read_json(output / "evaluation.json")
    (row,) = record["images"]
    assert (row["image"], row["lr"]) == ("face", "bicubic symmetric")
    assert row["psnr"] == pytest.approx(expected["psnr"][0], abs=1e-9)
    assert record["mean"]["psnr"] == row["psnr"]
    assert (record["protocol"], record["inference"]) == ("psnr-y/ssim-y crop=scale", "tiles of 32, overlap 8, mean")
    assert pd.read_csv(output / "per_image.csv")["psnr"][0] == pytest.approx(row["psnr"])
    assert read_image(output / "images" / "validation" / "face.png").shape == read_image(data / "face.png").shape
    settings = ["--data", data, "--scale", 2, "--json", "--output", tmp_path / "bicubic"]
    below = json.loads(cli("evaluate", "bicubic", *settings).out)["mean"]["psnr"]
    numbers = (f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", f"{below:.2f}", f"{row['psnr'] - below:+.2f}")
    for word in ("face", "bicubic", "Δ", *numbers, "psnr-y/ssim-y crop=scale", "tiles of 32", "LR: bicubic symmetric"):
        assert word in ended.words


def test_map_use_is_shown_on_request(crops: Path, cli: Call, tmp_path: Path) -> None:
    data, output = crops / "validation", tmp_path / "out"
    ended = cli("evaluate", "asid-tiny", "--data", data, "--map-use", "--output", output)
    record = read_json(output / "evaluation.json")
    (row,) = record["images"]
    assert record["mean"]["psnr_uniform_maps"] == row["psnr_uniform_maps"] != row["psnr"]
    assert record["sets"][0]["psnr_uniform_maps"] == row["psnr_uniform_maps"]
    assert ended.words.count(f"{row['psnr'] - row['psnr_uniform_maps']:.3f}") == 2, "of the image, and of the set"
    assert "map use (dB)" in ended.words


def test_map_use_of_a_reference_is_a_dash(crops: Path, cli: Call, tmp_path: Path) -> None:
    settings = ["--scale", 2, "--map-use", "--output", tmp_path / "out"]
    ended = cli("evaluate", "bicubic", "--data", crops / "validation", *settings)
    assert ended.words.count("–") == 2
    assert read_json(tmp_path / "out" / "evaluation.json")["mean"]["psnr_uniform_maps"] is None


def test_an_evaluation_with_map_use_has_its_own_folder() -> None:
    config = EvalConfig()
    assert default_folder("asid-tiny", config, 2) != default_folder("asid-tiny", config, 2, uniform_maps=True)


def test_json_is_the_record(cli: Call, folders: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint = save_checkpoint(ASID(preset("asid-tiny", num_groups=1)), tmp_path / "net.safetensors")
    settings = ["--tile", 24, "--overlap", 4, "--ensemble", "--save-images", "--output", tmp_path / "out"]
    ended = cli("evaluate", checkpoint, "--data", folders[1], *settings, "--json")
    record = json.loads(ended.out)
    assert ended.status == 0
    assert record == read_json(tmp_path / "out" / "evaluation.json")
    assert record["inference"] == "tiles of 24, overlap 4, mean, self-ensemble"
    table = pd.read_csv(tmp_path / "out" / "per_image.csv")
    assert list(table["image"]) == ["baby", "bird", "bird2"]
    assert set(table["lr"]) == {"bicubic symmetric"}
    assert table["psnr"].mean() == pytest.approx(record["mean"]["psnr"])
    assert len(list((tmp_path / "out" / "images" / "hr").glob("*.png"))) == 3


def test_bicubic_has_a_record_too(crops: Path, cli: Call) -> None:
    record = json.loads(cli("evaluate", "bicubic", "--scale", 3, "--data", crops / "validation", "--json").out)
    assert record["protocol"] == "psnr-y/ssim-y crop=scale"
    assert record["mean"] == {name: record["images"][0][name] for name in ("psnr", "ssim")}


def test_no_evaluation_overwrites_another(run_folder: Path, crops: Path, cli: Call, tmp_path: Path) -> None:
    """Other tiles, weights or models have a folder of their own; the same command has the same one again."""
    other = tmp_path / "other" / "mine"
    other.mkdir(parents=True)
    save_checkpoint(ASID(preset("asid-tiny", num_groups=1), seed=4), other / WEIGHTS)
    for words in (
        ["bicubic", "--scale", 2],
        ["bicubic", "--scale", 3],
        [run_folder],
        [run_folder],
        [run_folder, "--tile", 32],
        [other],
    ):
        assert cli("evaluate", *words, "--data", crops / "validation").status == 0
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "results" / "evaluations").iterdir())
    assert names == ["bicubic", "bicubic", "mine", "mine", "mine"]
    assert default_folder(str(other), EvalConfig(), None) == default_folder(str(other / WEIGHTS), EvalConfig(), None)


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, "38.27", "0.9614"), (3, "34.74", "0.9299"), (4, "32.63", "0.9002")]
)
def test_published_images_score_the_published_digits(scale: int, psnr: str, ssim: str, shared: Path, cli: Call) -> None:
    data = shared.resolve() / "data"
    ended = cli("score", data / f"Set5_RCAN/x{scale}", data / "Set5", "--scale", scale, "--json")
    record = json.loads(ended.out)
    assert ended.status == 0
    assert (f"{record['mean']['psnr']:.2f}", f"{record['mean']['ssim']:.4f}") == (psnr, ssim)
    assert record["protocol"] == "psnr-y/ssim-y crop=scale"
    assert len(record["images"]) == 5


def test_infinity_is_text_in_json(folders: tuple[Path, Path], cli: Call) -> None:
    ended = cli("score", *folders, "--scale", 2, "--json")
    record = json.loads(ended.out, parse_constant=lambda name: pytest.fail(f"{name} is not valid JSON"))
    assert record["mean"]["psnr"] == "inf"
    assert {row["image"]: row["psnr"] for row in record["images"]}["baby"] == "inf"


def test_rgb_is_another_protocol_with_its_own_name(folders: tuple[Path, Path], cli: Call) -> None:
    luma, rgb = (
        json.loads(cli("score", *folders, "--scale", 2, "--json", "--protocol", name).out)
        for name in ("psnr-y/ssim-y crop=scale", "psnr-rgb/ssim-rgb crop=scale")
    )
    assert luma["protocol"] != rgb["protocol"]
    assert luma["images"][1]["psnr"] != rgb["images"][1]["psnr"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "bicubic"], "needs a scale"),
        (["evaluate", "nothing.pth"], "nothing.pth"),
        (["evaluate", "asid-d8"], "packaged weights"),
        (["evaluate", "."], "no trained network in ."),
        (["evaluate", "bicubic", "--scale", "2", "--data", "Set6"], "Set5"),
        (["evaluate", "bicubic", "--scale", "2", "--protocol", "psnr"], "protocol"),
        (["evaluate", "bicubic", "--scale", "2", "--tile", "8"], "overlap smaller than the tile"),
    ],
)
def test_a_mistake_is_reported_in_one_line(words: list[str], message: str, cli: Call) -> None:
    ended = cli(*words)
    assert ended.status == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_upscale_writes_images(tmp_path: Path, cli: Call, folders: tuple[Path, Path]) -> None:
    checkpoint = save_checkpoint(ASID(preset("asid-tiny", scale=3)), tmp_path / "net.safetensors")
    ended = cli("upscale", "--model", checkpoint, folders[1] / "baby.png", "--output", tmp_path / "out")
    assert ended.status == 0
    assert "192×192, whole image" in ended.out
    assert find_images(tmp_path / "out")[0].read().shape == (192, 192, 3)
    assert "128×128" in cli("upscale", folders[1] / "baby.png", "--output", tmp_path / "out").out, (
        "the packaged network"
    )


def test_upscale_cuts_a_large_image_into_tiles_and_counts_them(
    tmp_path: Path, cli: Call, run_folder: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WHOLE", 63)
    monkeypatch.setattr(progress, "TILES", InferenceConfig(tile=40, overlap=8))
    seen: list[tuple[int, int]] = []

    @contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: seen.append((done, total))

    monkeypatch.setattr(score, "progress_bar", bar)
    photograph, out = folders[1] / "baby.png", tmp_path / "out"  # 64 × 64
    ended = cli("upscale", "--model", run_folder, photograph, "--output", out, "--ensemble", "--batch-tiles", 3)
    assert "tiles of 40, overlap 8, mean, self-ensemble" in ended.out
    assert seen[0] == (0, 32)
    assert seen[-1] == (32, 32)
    expected = upscale(
        load_model(run_folder), read_image(photograph), InferenceConfig(tile=40, overlap=8, ensemble=True)
    )
    np.testing.assert_array_equal(read_image(out / "baby_x2.png"), expected)
    assert "tiles of 48" in cli("upscale", "--model", run_folder, photograph, "--tile", 48, "--output", tmp_path).out


def test_upscale_goes_on_after_a_bad_file_and_overwrites_nothing(
    tmp_path: Path, cli: Call, folders: tuple[Path, Path]
) -> None:
    photograph = folders[1] / "baby.png"
    given, output = tmp_path / "it's a (given) földer:x:", tmp_path / "out"
    for name in ("a.png", "b.png", "c d.png", "z/a.png"):
        (given / name).parent.mkdir(parents=True, exist_ok=True)
        (given / name).write_bytes(photograph.read_bytes())
    (given / "bad.png").write_bytes(photograph.read_bytes()[:300])
    output.mkdir()
    (output / "b_x2.png").write_bytes(b"mine")
    words = ["upscale", "--model", "asid-tiny", given, given / "z", given / "none.png", "--output", output]
    ended = cli(*words)
    assert ended.status == 1
    assert {path.name for path in output.iterdir()} == {"a_x2.png", "b_x2.png", "c d_x2.png"}
    assert (output / "b_x2.png").read_bytes() == b"mine"
    reasons = dict(zip(["exists", "bad.png", "already that of", "none.png"], ended.err.splitlines(), strict=True))
    assert all(word in line for word, line in reasons.items()), ended.err
    assert str(given / "bad.png") in ended.err
    assert "2 of 6 images" in ended.words
    (given / "bad.png").unlink()
    assert cli("upscale", "--model", "asid-tiny", given, "--output", output, "--overwrite").status == 0
    assert read_image(output / "b_x2.png").shape == (128, 128, 3)


def test_verify_fails_if_a_number_is_wrong(cli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asid.evaluation import verify

    monkeypatch.setenv("ASID_DATA", str(tmp_path))
    monkeypatch.setattr(verify, "_MACS", {})
    monkeypatch.setattr(verify, "_PARAMETERS", {("asid", 2): 297_516})
    monkeypatch.setattr(verify, "_BICUBIC", {"samples": {2: (32.92, 0.9008)}, "Set5": {2: (33.67, None)}})
    ended = cli("verify")
    assert ended.status == 0
    assert ended.words.count("ASID_DATA") == 1, "one hint for all checks without data"
    assert ended.out.splitlines()[-1] == "5 of 11 checks passed, 0 failed, 6 without data"
    monkeypatch.setattr(verify, "_PARAMETERS", {("asid", 2): 297_517})
    ended = cli("verify", "--json")
    assert ended.status == 1
    results = {check["name"]: check["result"] for check in json.loads(ended.out)}
    assert results["parameters of asid ×2"] == "FAILED"
    assert results["bicubic on samples ×2"] == results["published architecture, golden_x2"] == "ok"
    assert results["bicubic on Set5 ×2"] == "no data"
