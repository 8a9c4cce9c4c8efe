"""Reading HR and LR images together, and comparing the LR files of a set with our resize."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from asid.data.images import ImageError, read_image, write_image
from asid.data.layouts import Pair
from asid.data.pairs import check_source, read_pair
from asid.data.photographs import manifest_hash
from asid.data.resize import crop_to_multiple, downscale
from asid.data.sources import find_images, find_pairs


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    """``HR`` with two crops of photographs, 33×41 and 48×36, and their LR images at ×3 with replicated border."""
    for name, image in (("eye", data.astronaut()[100:133, 180:221]), ("shuttle", data.astronaut()[300:348, 60:96])):
        write_image(tmp_path / "HR" / f"{name}.png", image)
        write_image(
            tmp_path / "LR_bicubic" / "X3" / f"{name}x3.png", downscale(crop_to_multiple(image, 3), 3, "replicate")
        )
    return tmp_path


def test_lr_files_are_used_where_they_exist(paired: Path) -> None:
    pair = find_pairs(paired, 3)[0]
    marked = read_image(pair.lr) // 2
    write_image(pair.lr, marked)
    lr, hr, made_by = read_pair(pair, 3, "symmetric")
    assert made_by == "file"
    assert np.array_equal(lr, marked)
    assert np.array_equal(hr, read_image(pair.hr)[:33, :39])


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_without_lr_files_our_resize_makes_them(border: str, paired: Path) -> None:
    pair = find_pairs(paired, 2)[0]
    lr, hr, made_by = read_pair(pair, 2, border)
    assert made_by == f"bicubic {border}"
    assert hr.shape == (32, 40, 3)
    assert np.array_equal(lr, downscale(hr, 2, border))


def test_a_wrong_size_names_the_lr_file(paired: Path) -> None:
    lr = paired / "LR_bicubic" / "X3" / "eyex3.png"
    write_image(lr, read_image(lr)[:, :12])
    with pytest.raises(ImageError, match=r"eyex3\.png: expected 11×13 pixels.*got 11×12"):
        read_pair(find_pairs(paired, 3)[0], 3)
    with pytest.raises(ImageError, match=r"eyex3\.png: expected 11×13"):
        check_source(paired, 3)


@pytest.mark.parametrize("name", ["HR/shuttle.png", "LR_bicubic/X3/shuttlex3.png"])
def test_a_truncated_file_is_named(name: str, paired: Path) -> None:
    whole = (paired / name).read_bytes()
    (paired / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=rf"{name} is not a readable image") as caught:
        check_source(paired, 3)
    assert "\n" not in str(caught.value)


def test_an_image_smaller_than_the_scale_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "dot.png", data.astronaut()[:2, :9])
    with pytest.raises(ImageError, match=r"dot\.png: expected an image of at least 4×4 pixels"):
        read_pair(Pair("dot", tmp_path / "dot.png", None), 4)


def test_a_grey_lr_of_a_grey_hr_is_accepted(paired: Path) -> None:
    for pair in find_pairs(paired, 3):
        for path in (pair.hr, pair.lr):
            Image.fromarray(read_image(path)[..., 0]).save(path)
    assert check_source(paired, 3)["lr"]["equal"] == {"symmetric": 0, "replicate": 2}


def test_a_check_summarises_and_compares(paired: Path) -> None:
    lr = paired / "LR_bicubic" / "X3"
    expected = {
        "source": str(paired),
        "scale": 3,
        "images": 2,
        "smallest": [33, 41],
        "largest": [48, 36],
        "manifest": manifest_hash(find_images(paired)),
        "lr": {"manifest": manifest_hash(find_images(lr)), "equal": {"symmetric": 0, "replicate": 2}},
    }
    assert check_source(paired, 3) == expected
    pixels = read_image(lr / "eyex3.png").copy()
    pixels[5, 5, 0] ^= 1
    write_image(lr / "eyex3.png", pixels)
    changed = check_source(paired, 3)
    assert changed["lr"]["equal"] == {"symmetric": 0, "replicate": 1}
    assert changed["lr"]["manifest"] != expected["lr"]["manifest"]
    assert check_source(paired, 2) == {**expected, "scale": 2, "lr": None}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_lr_images_of_matlab_are_equal_to_our_resize(border: str, scale: int, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "Set5" / "LR_bicubic").mkdir(parents=True)
    (tmp_path / "Set5" / "HR").symlink_to(shared.resolve() / "data" / "Set5")
    (tmp_path / "Set5" / "LR_bicubic" / f"X{scale}").symlink_to(
        shared.resolve() / "data" / "Set5_LR" / border / f"x{scale}"
    )
    summary = check_source("Set5", scale, tmp_path)
    assert (summary["source"], summary["images"]) == ("Set5", 5)
    assert summary["lr"]["equal"][border] == 5
    assert summary["lr"]["equal"][{"symmetric": "replicate", "replicate": "symmetric"}[border]] < 5
