"""``asid evaluate``: what it leaves, what it prints, and which model a word means."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asid.cli import main as cli
from asid.config import EvalConfig, preset
from asid.data.images import read_image
from asid.evaluation.evaluate import evaluate
from asid.evaluation.evaluation_record import default_folder, evaluate_and_record
from asid.files import WEIGHTS
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.model.pretrained import find_checkpoint

Command = Callable[..., str]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose network nobody has trained."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    folder.mkdir()
    save_checkpoint(ASID(preset("asid-tiny", num_groups=1), seed=3), folder / WEIGHTS)
    return folder


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``asid evaluate`` with further words, in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["asid", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        return captured.out

    return run


def read(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "evaluation.json").read_text())
    assert isinstance(content, dict)
    return content


def test_the_record_the_table_and_the_images_are_those_of_one_evaluation(
    run_folder: Path, crops: Path, command: Command, tmp_path: Path
) -> None:
    data = crops / "validation"
    text = command(
        run_folder, "--data", data, "--tile", 32, "--overlap", 8, "--save-images", "--output", tmp_path / "out"
    )
    expected = evaluate(
        ASID(preset("asid-tiny", num_groups=1), seed=3).eval(), 2, EvalConfig(data=(str(data),), tile=32, overlap=8)
    ).scores
    record = read(tmp_path / "out")
    (row,) = record["images"]
    assert (row["image"], row["lr"]) == ("face", "bicubic symmetric")
    assert row["psnr"] == pytest.approx(expected["psnr"][0], abs=1e-9)
    assert record["mean"]["psnr"] == row["psnr"]
    assert (record["protocol"], record["inference"]) == ("psnr-y/ssim-y crop=scale", "tiles of 32, overlap 8, mean")
    assert pd.read_csv(tmp_path / "out" / "per_image.csv")["psnr"][0] == pytest.approx(row["psnr"])
    hr = read_image(data / "face.png")
    assert read_image(tmp_path / "out" / "images" / "validation" / "face.png").shape == (
        hr.shape[0] // 2 * 2,
        hr.shape[1] // 2 * 2,
        3,
    )
    for word in (
        "face",
        f"{row['psnr']:.2f}",
        f"{row['ssim']:.4f}",
        "psnr-y/ssim-y crop=scale",
        "tiles of 32",
        "LR: bicubic symmetric",
    ):
        assert word in text


def test_json_is_one_object_with_protocol_mean_and_images(crops: Path, command: Command) -> None:
    content = json.loads(command("bicubic", "--scale", 3, "--data", crops / "validation", "--json"))
    assert content["protocol"] == "psnr-y/ssim-y crop=scale"
    assert content["mean"] == {name: content["images"][0][name] for name in ("psnr", "ssim")}
    assert set(content["mean"]) == {"psnr", "ssim"}


def test_no_evaluation_overwrites_another(run_folder: Path, crops: Path, command: Command, tmp_path: Path) -> None:
    """Another tiling, other weights, another model: another folder; the same command again: the same."""
    data = ["--data", crops / "validation"]
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
        command(*words, *data)
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "results" / "evaluations").iterdir())
    assert names == ["bicubic", "bicubic", "mine", "mine", "mine"]
    assert default_folder(str(other), EvalConfig(), None) == default_folder(str(other / WEIGHTS), EvalConfig(), None)


def test_a_preset_is_not_the_folder_of_its_name(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout, ``asid`` is the package's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asid").mkdir()
    with pytest.raises(FileNotFoundError, match="the preset asid has no packaged weights"):
        find_checkpoint("asid")
    (tmp_path / "asid" / WEIGHTS).write_bytes((run_folder / WEIGHTS).read_bytes())
    assert find_checkpoint("./asid") == Path("asid") / WEIGHTS


@pytest.mark.parametrize(
    ("model", "scale", "words"),
    [
        ("nowhere", None, "no model nowhere: expected a checkpoint file, the folder of a run"),
        (".", None, "expected model.safetensors in a finished run"),
        ("bicubic", None, "bicubic needs a scale"),
        ("RUN", 3, "is a network for ×2, got scale 3"),
    ],
)
def test_a_model_that_is_not_there_or_does_not_fit_is_told(
    model: str, scale: int | None, words: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((FileNotFoundError, ValueError), match=words.replace(".", r"\.")):
        evaluate_and_record(str(run_folder) if model == "RUN" else model, EvalConfig(), tmp_path / "out", scale=scale)
    assert not (tmp_path / "out").exists()
