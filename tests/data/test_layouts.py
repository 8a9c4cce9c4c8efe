"""The three layouts of a folder: which images are found, and one line that names the file if something is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asid.data.images import ImageError
from asid.data.layouts import Pair
from asid.data.sources import find_images, find_pairs

Build = Callable[..., tuple[Path, Path, Path]]
NAMES = ["baby", "bird", "butterfly", "head", "woman"]
LR_FORMS = ["{}", "{}x2", "{}_x2", "{}_LRBI_x2"]
LAYOUTS = ["flat", "folders", "prefix", "srf"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_in_each_layout(layout: str, build: Build, tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, layout)
    ending = ("_SRF_2_HR", "_SRF_2_LR") if layout == "srf" else ("", "x2")
    expected = [Pair(name, hr / f"{name}{ending[0]}.png", lr / f"{name}{ending[1]}.png") for name in NAMES]
    hr_only = [Pair(pair.name, pair.hr, None) for pair in expected]
    assert find_pairs(folder, 2) == (hr_only if layout == "flat" else expected)
    assert find_pairs(str(folder), None) == hr_only
    assert [photograph.path for photograph in find_images(folder)] == [pair.hr for pair in hr_only]


@pytest.mark.parametrize("form", LR_FORMS)
def test_forms_of_lr_names_in_any_case(form: str, build: Build, tmp_path: Path) -> None:
    folder, _, lr = build(tmp_path, "folders", form)
    lr.rename(lr.with_name("small"))
    lr.with_name("small").rename(lr.with_name("x2"))
    (folder / "HR" / "baby.png").rename(folder / "HR" / "Baby.PNG")
    assert [(pair.name, pair.lr.name) for pair in find_pairs(folder, 2)] == [
        ("Baby" if name == "baby" else name, form.format(name) + ".png") for name in NAMES
    ]


def test_the_hr_folder_itself_finds_its_lr_images(build: Build, tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "folders")
    assert find_pairs(hr, 2) == find_pairs(folder, 2)


def test_lr_images_inside_a_flat_folder_are_used(build: Build, tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, "folders")
    hr.rename(folder / "flat")
    lr.parent.rename(folder / "flat" / "LR_bicubic")
    assert all(pair.lr for pair in find_pairs(folder / "flat", 2))


@pytest.mark.parametrize("layout", ["folders", "prefix"])
def test_a_scale_without_lr_files(layout: str, build: Build, tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, layout)
    assert [pair.lr for pair in find_pairs(folder, 4)] == [None] * 5


def test_results_of_other_methods_beside_srf_images_are_skipped(build: Build, tmp_path: Path) -> None:
    folder, hr, _ = build(tmp_path, "srf")
    before = find_pairs(folder, 2)
    for method in ("SRCNN", "A+", "bicubic"):
        (hr / f"baby_SRF_2_{method}.png").touch()
    assert find_pairs(folder, 2) == before


def test_hidden_and_other_files_are_skipped(build: Build, tmp_path: Path) -> None:
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
            r"LR image is missing.*birdx2\.png",
            id="folders: no LR",
        ),
        pytest.param("prefix", remove("lr", "birdx2.png"), "LR image is missing", id="prefix: no LR"),
        pytest.param("srf", remove("lr", "bird_SRF_2_LR.png"), "LR image is missing", id="srf: no LR"),
        pytest.param(
            "folders", remove("hr", "bird.png"), "an LR image without an HR image in .*HR", id="folders: no HR"
        ),
        pytest.param("prefix", remove("hr", "bird.png"), "an LR image without an HR image", id="prefix: no HR"),
        pytest.param("srf", remove("hr", "bird_SRF_2_HR.png"), "HR image is missing", id="srf: no HR"),
        pytest.param("folders", add("lr", "extra.png"), "an LR image without an HR image", id="folders: LR too much"),
        pytest.param(
            "folders",
            add("folder", "extra.png"),
            "misplaced image; expected the HR images in HR",
            id="folders: beside HR",
        ),
        pytest.param(
            "folders",
            add("folder", "LR_bicubic/extra.png"),
            "misplaced image; .*LR_bicubic/X2",
            id="folders: beside X2",
        ),
        pytest.param("folders", add("lr", "bird.png"), "(a second LR image of bird.png)", id="folders: two LR"),
        pytest.param("folders", add("hr", "bird.tif"), "a second image .* besides bird.png", id="folders: two HR"),
        pytest.param("flat", add("hr", "bird.tif"), "a second image .* besides bird.png", id="flat: two HR"),
        pytest.param(
            "srf",
            add("hr", "extra.png"),
            "misplaced image; expected names such as img_001_SRF_2_HR.png",
            id="srf: too much",
        ),
        pytest.param("srf", add("hr", "bird_HR.png"), "a second HR image of bird", id="srf: two HR"),
        pytest.param("flat", emptied("hr"), "no image in", id="flat: empty"),
        pytest.param("folders", emptied("hr"), "no image in", id="folders: HR empty"),
        pytest.param("folders", emptied("lr"), "no image in", id="folders: LR empty"),
        pytest.param("srf", emptied("hr"), "no image in", id="srf: empty"),
    ],
)
def test_damaged_folders(layout: str, damage: Callable[..., Path], reason: str, build: Build, tmp_path: Path) -> None:
    folder, hr, lr = build(tmp_path, layout)
    path = damage(folder=folder, hr=hr, lr=lr)
    with pytest.raises(ImageError, match=reason) as caught:
        find_pairs(folder, 2)
    assert str(path) in str(caught.value) or path.name in str(caught.value).split("besides")[-1]
    assert "\n" not in str(caught.value)


def test_srf_folders_of_another_scale(build: Build, tmp_path: Path) -> None:
    folder, _, _ = build(tmp_path, "srf")
    with pytest.raises(ImageError, match=r"no folder image_SRF_3 in .*Set5: expected one of scale 2"):
        find_pairs(folder, 3)
