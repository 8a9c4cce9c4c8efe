"""Sources of images: benchmarks by name, folders, and the sample photographs; what may be trained on."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from asid.data.benchmarks import BENCHMARKS, find_benchmark
from asid.data.images import ImageError, write_image
from asid.data.layouts import Pair
from asid.data.samples import TRAIN_SAMPLES, VALIDATION_SAMPLES
from asid.data.sources import data_root, find_folders, find_images, find_pairs

Build = Callable[..., tuple[Path, Path, Path]]
NAMES = ["baby", "bird", "butterfly", "head", "woman"]


def test_sample_photographs_exist_and_are_split() -> None:
    train, validation = find_images("samples", split="train"), find_images("samples")
    assert [photograph.path.name for photograph in train] == list(TRAIN_SAMPLES)
    assert [photograph.path.name for photograph in validation] == list(VALIDATION_SAMPLES)
    assert not {photograph.path for photograph in train} & {photograph.path for photograph in validation}
    for photograph in (*train, *validation):
        pixels = photograph.read()
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert min(pixels.shape[:2]) >= 128


def test_images_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.bmp", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [photograph.path.name for photograph in find_images(tmp_path)] == ["a.JPG", "b.png", "c.bmp"]
    assert [photograph.name for photograph in find_images(str(tmp_path))] == ["a", "b", "c"]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no folder of images at .*absent"):
        find_images(tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"no image in .*expected files that end in \.png"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"), [("Sett5", "did you mean 'Set5'"), ("urban10", "did you mean 'Urban100'"), ("./nothing", "")]
)
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(
        ImageError, match=re.escape(f"no folder of images at {name}: expected 'samples', Set5")
    ) as caught:
        find_pairs(name, 2)
    assert hint in str(caught.value)
    assert hint or "did you mean" not in str(caught.value)


def test_the_root_is_an_argument_or_the_environment_or_the_current_folder(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASID_DATA", raising=False)
    build(tmp_path / "first", "flat")
    build(tmp_path / "second", "flat")
    assert data_root() is None
    with pytest.raises(ImageError, match="set ASID_DATA or --data-root"):
        find_pairs("Set5", 2)
    monkeypatch.chdir(tmp_path / "first")
    assert find_pairs("Set5", 2)[0].hr == Path("Set5/baby.png")
    monkeypatch.setenv("ASID_DATA", str(tmp_path / "second"))
    assert data_root() == tmp_path / "second"
    assert find_pairs("Set5", 2)[0].hr == tmp_path / "second/Set5/baby.png"
    assert find_pairs("Set5", 2, tmp_path / "first")[0].hr == tmp_path / "first/Set5/baby.png"


@pytest.mark.parametrize("layout", ["flat", "folders", "srf"])
@pytest.mark.parametrize("path", ["set5", "benchmark/Set5", "Benchmark/SET5"])
def test_a_benchmark_by_name_in_any_case_and_layout(layout: str, path: str, build: Build, tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, layout)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    folder.rename(tmp_path / path)
    assert find_folders(BENCHMARKS["Set5"], tmp_path) == [tmp_path / path]
    assert [pair.name for pair in find_pairs("SET5", 2, tmp_path)] == NAMES


def test_an_incomplete_benchmark_is_refused(build: Build, tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "flat")
    (hr / "bird.png").unlink()
    with pytest.raises(ImageError, match=re.escape(f"{folder}: expected the 5 images of Set5, got 4")):
        find_pairs("Set5", 2, tmp_path)
    assert len(find_pairs(folder, 2)) == 4


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_a_missing_benchmark_says_how_to_get_it(benchmark: object, tmp_path: Path) -> None:
    assert benchmark == find_benchmark(benchmark.name.upper())
    with pytest.raises(ImageError) as caught:
        find_pairs(benchmark.name, 2, tmp_path)
    message = str(caught.value)
    assert f"{benchmark.name} not found in {tmp_path}" in message
    assert benchmark.page in message
    assert str(tmp_path / benchmark.folders[0][0]) in message
    assert (f"asid data download {benchmark.name}" in message) == (benchmark.name != "Manga109")
    assert all(re.fullmatch("md5:[0-9a-f]{32}", archive.checksum) for archive in benchmark.archives)


def test_every_benchmark_of_the_field_is_known() -> None:
    evaluation = {"Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K-valid"}
    assert {name for name, item in BENCHMARKS.items() if item.use == "evaluation"} == evaluation
    assert {name for name, item in BENCHMARKS.items() if item.use == "training"} == {
        "DIV2K",
        "Flickr2K",
        "DF2K",
        "BSDS500",
    }
    assert BENCHMARKS["DF2K"].folders == BENCHMARKS["DIV2K"].folders + BENCHMARKS["Flickr2K"].folders
    assert BENCHMARKS["DF2K"].images == BENCHMARKS["DIV2K"].images + BENCHMARKS["Flickr2K"].images


def bsds(root: Path) -> Path:
    """A folder like BSDS500 of empty files: nothing is opened while searching for images."""
    for part, count in (("train", 200), ("test", 200), ("val", 100)):
        (root / "bsds500" / part).mkdir(parents=True)
        for index in range(count):
            (root / "bsds500" / part / f"{part}{index:03}.jpg").touch()
    return root / "bsds500"


def test_bsds500_trains_on_train_and_test_and_b100_is_its_val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bsds(tmp_path)
    monkeypatch.setenv("ASID_DATA", str(tmp_path))
    training = find_images("BSDS500", split="train")
    assert len(training) == 400
    assert {photograph.path.parent for photograph in training} == {folder / "train", folder / "test"}
    for name in ("B100", "BSD100", "BSDS100"):
        assert {photograph.path.parent for photograph in find_images(name)} == {folder / "val"}
    assert len(find_images(folder / "train", split="train")) == 200


@pytest.mark.parametrize(
    ("source", "benchmark"),
    [
        ("B100", "B100"),
        ("bsd100", "B100"),
        ("set5", "Set5"),
        ("DIV2K-valid", "DIV2K-valid"),
        ("{}/bsds500/val", "B100"),
        ("{}/bsds500/../bsds500/val/", "B100"),
        ("{}/link", "B100"),
        ("{}/Set14/HR", "Set14"),
        ("{}/urban100/image_SRF_4", "Urban100"),
        ("{}/DIV2K_valid_HR", "DIV2K-valid"),
    ],
)
def test_evaluation_images_are_refused_for_training(source: str, benchmark: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bsds(tmp_path) / "val")
    with pytest.raises(ImageError, match=f"{benchmark} is for evaluation only.*DIV2K.*BSDS500"):
        find_images(source.format(tmp_path), split="train")


def test_a_folder_called_val_elsewhere_may_be_trained_on(tmp_path: Path) -> None:
    write_image(tmp_path / "val" / "a.png", data.astronaut()[:8, :8])
    assert len(find_images(tmp_path / "val", split="train")) == 1


def test_the_samples_are_pairs_without_lr_files() -> None:
    assert find_pairs("samples", 2) == [
        Pair(photograph.name, photograph.path, None) for photograph in find_images("samples")
    ]


def test_the_development_data_is_found(shared: Path) -> None:
    counts = {name: len(find_pairs(name, 2, shared / "data")) for name in ("Set5", "Set14", "B100", "BSDS500")}
    assert counts == {"Set5": 5, "Set14": 14, "B100": 100, "BSDS500": 400}
