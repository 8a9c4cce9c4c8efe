"""Benchmarks by name, and the three layouts of a folder: what is found, and one line that names the file where something is wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from skimage import data

from asid.data.benchmarks import BENCHMARKS, Pair, data_root, find_benchmark, find_folders, find_pairs
from asid.data.images import ImageError, find_images, write_image
from asid.data.resize import downscale

NAMES = ["baby", "bird", "butterfly", "head", "woman"]
LR_FORMS = ["{}", "{}x2", "{}_x2", "{}_LRBI_x2"]
LAYOUTS = ["flat", "folders", "prefix", "srf"]


def build(root: Path, layout: str, form: str = "{}x2") -> tuple[Path, Path, Path]:
    """Five HR images and their LR images at ×2 in ``layout``: the folder to open, that of the HR and that of the LR images."""
    folder, hr, lr, hr_form = {
        "flat": (root / "Set5", root / "Set5", root / "unused", "{}"),
        "folders": (root / "Set5", root / "Set5/HR", root / "Set5/LR_bicubic/X2", "{}"),
        "prefix": (root / "Set5_HR", root / "Set5_HR", root / "Set5_LR_bicubic/X2", "{}"),
        "srf": (root / "Set5", root / "Set5/image_SRF_2", root / "Set5/image_SRF_2", "{}_SRF_2_HR"),
    }[layout]
    form = "{}_SRF_2_LR" if layout == "srf" else form
    for index, name in enumerate(NAMES):
        image = data.astronaut()[60 + 9 * index : 92 + 9 * index, 200:224]
        write_image(hr / f"{hr_form.format(name)}.png", image)
        if layout != "flat":
            write_image(lr / f"{form.format(name)}.png", downscale(image, 2))
    return folder, hr, lr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_in_each_layout(layout: str, tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, layout)
    ending = ("_SRF_2_HR", "_SRF_2_LR") if layout == "srf" else ("", "x2")
    expected = [Pair(name, hr / f"{name}{ending[0]}.png", lr / f"{name}{ending[1]}.png") for name in NAMES]
    hr_only = [Pair(pair.name, pair.hr, None) for pair in expected]
    assert find_pairs(folder, 2) == (hr_only if layout == "flat" else expected)
    assert find_pairs(str(folder), None) == hr_only
    assert [photograph.path for photograph in find_images(folder)] == [pair.hr for pair in hr_only]


@pytest.mark.parametrize("form", LR_FORMS)
def test_forms_of_lr_names_in_any_case(form: str, tmp_path: Path) -> None:
    folder, _, lr = build(tmp_path, "folders", form)
    lr.rename(lr.with_name("small"))
    lr.with_name("small").rename(lr.with_name("x2"))
    (folder / "HR" / "baby.png").rename(folder / "HR" / "Baby.PNG")
    assert [(pair.name, pair.lr.name) for pair in find_pairs(folder, 2)] == [
        ("Baby" if name == "baby" else name, form.format(name) + ".png") for name in NAMES
    ]


def test_the_hr_folder_itself_finds_its_lr_images(tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "folders")
    assert find_pairs(hr, 2) == find_pairs(folder, 2)


def test_lr_images_inside_a_flat_folder_are_used(tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, "folders")
    hr.rename(folder / "flat")
    lr.parent.rename(folder / "flat" / "LR_bicubic")
    assert all(pair.lr for pair in find_pairs(folder / "flat", 2))


@pytest.mark.parametrize("layout", ["folders", "prefix"])
def test_without_lr_files_of_the_scale_there_are_none(layout: str, tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, layout)
    assert [pair.lr for pair in find_pairs(folder, 4)] == [None] * 5


def test_other_methods_results_beside_srf_images_are_left_out(tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "srf")
    before = find_pairs(folder, 2)
    for method in ("SRCNN", "A+", "bicubic"):
        (hr / f"baby_SRF_2_{method}.png").touch()
    assert find_pairs(folder, 2) == before


def test_hidden_files_and_others_do_not_count(tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, "folders")
    before = find_pairs(folder, 2)
    for path in (folder / "._baby.png", hr / ".hidden.png", hr / "Thumbs.db", lr / "readme.txt"):
        path.touch()
    assert find_pairs(folder, 2) == before


def remove(kind: str, name: str) -> Callable[..., Path]:
    def damage(**folders: Path) -> Path:
        (folders[kind] / name).unlink()
        other = {"hr": "lr", "lr": "hr"}[kind]
        (partner,) = (path for path in folders[other].iterdir() if path.name.startswith("bird") and path.name != name)
        return partner

    return damage


def add(kind: str, name: str) -> Callable[..., Path]:
    def damage(**folders: Path) -> Path:
        path = folders[kind] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return damage


def emptied(kind: str) -> Callable[..., Path]:
    def damage(**folders: Path) -> Path:
        for path in folders[kind].iterdir():
            path.unlink()
        return folders[kind]

    return damage


@pytest.mark.parametrize(
    ("layout", "damage", "reason"),
    [
        pytest.param(
            "folders",
            remove("lr", "birdx2.png"),
            r"no LR image of it in .*X2; expected birdx2\.png",
            id="folders: no LR",
        ),
        pytest.param("prefix", remove("lr", "birdx2.png"), "no LR image of it", id="prefix: no LR"),
        pytest.param("srf", remove("lr", "bird_SRF_2_LR.png"), "no LR image of it", id="srf: no LR"),
        pytest.param("folders", remove("hr", "bird.png"), "an LR image of no HR image in .*HR", id="folders: no HR"),
        pytest.param("prefix", remove("hr", "bird.png"), "an LR image of no HR image", id="prefix: no HR"),
        pytest.param("srf", remove("hr", "bird_SRF_2_HR.png"), "no HR image of it", id="srf: no HR"),
        pytest.param("folders", add("lr", "extra.png"), "an LR image of no HR image", id="folders: LR too much"),
        pytest.param(
            "folders", add("folder", "extra.png"), "out of place; expected the HR images in HR", id="folders: beside HR"
        ),
        pytest.param(
            "folders", add("folder", "LR_bicubic/extra.png"), "out of place; .*LR_bicubic/X2", id="folders: beside X2"
        ),
        pytest.param("folders", add("lr", "bird.png"), "(a second LR image of bird.png)", id="folders: two LR"),
        pytest.param("folders", add("hr", "bird.tif"), "a second image of the name of bird.png", id="folders: two HR"),
        pytest.param(
            "srf",
            add("hr", "extra.png"),
            "out of place; expected names such as img_001_SRF_2_HR.png",
            id="srf: too much",
        ),
        pytest.param("srf", add("hr", "bird_HR.png"), "a second HR image of bird", id="srf: two HR"),
        pytest.param("flat", emptied("hr"), "no image in", id="flat: empty"),
        pytest.param("folders", emptied("hr"), "no image in", id="folders: HR empty"),
        pytest.param("folders", emptied("lr"), "no image in", id="folders: LR empty"),
        pytest.param("srf", emptied("hr"), "no image in", id="srf: empty"),
    ],
)
def test_damaged_folders(layout: str, damage: Callable[..., Path], reason: str, tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, layout)
    path = damage(folder=folder, hr=hr, lr=lr)
    with pytest.raises(ImageError, match=reason) as caught:
        find_pairs(folder, 2)
    assert str(path) in str(caught.value) or path.name in str(caught.value).split("besides")[-1]
    assert "\n" not in str(caught.value)


def test_srf_folders_of_another_scale(tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, "srf")
    with pytest.raises(ImageError, match=r"no folder image_SRF_3 in .*Set5: expected one of scale 2"):
        find_pairs(folder, 3)


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
@pytest.mark.parametrize("place", ["set5", "benchmark/Set5", "Benchmark/SET5"])
def test_a_benchmark_by_name_in_any_case_and_layout(layout: str, place: str, tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, layout)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    folder.rename(tmp_path / place)
    assert find_folders(BENCHMARKS["Set5"], tmp_path) == [tmp_path / place]
    assert [pair.name for pair in find_pairs("SET5", 2, tmp_path)] == NAMES


def test_an_incomplete_benchmark_is_refused(tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "flat")
    (hr / "bird.png").unlink()
    with pytest.raises(ImageError, match=re.escape(f"{folder}: expected the 5 images of Set5, got 4")):
        find_pairs("Set5", 2, tmp_path)
    assert len(find_pairs(folder, 2)) == 4


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_a_missing_benchmark_says_what_to_get_from_where_to_which_folder(benchmark: object, tmp_path: Path) -> None:
    assert benchmark == find_benchmark(benchmark.name.upper())
    with pytest.raises(ImageError) as caught:
        find_pairs(benchmark.name, 2, tmp_path)
    message = str(caught.value)
    assert f"no {benchmark.name} in {tmp_path}" in message
    assert benchmark.page in message
    assert str(tmp_path / benchmark.places[0][0]) in message
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
    assert BENCHMARKS["DF2K"].places == BENCHMARKS["DIV2K"].places + BENCHMARKS["Flickr2K"].places
    assert BENCHMARKS["DF2K"].images == BENCHMARKS["DIV2K"].images + BENCHMARKS["Flickr2K"].images


def bsds(root: Path) -> Path:
    """A folder in the shape of BSDS500, of empty files: nothing is opened while looking for images."""
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
    with pytest.raises(ImageError, match=f"{benchmark} is for evaluation, never for training; .*DIV2K.*BSDS500"):
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
