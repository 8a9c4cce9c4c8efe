"""What identifies a photograph, and its pixels and LR image from the cache."""

from pathlib import Path

import numpy as np
import pytest

from asid.data.images import ImageError, read_image, write_image
from asid.data.photographs import Photograph, manifest_hash
from asid.data.resize import downscale
from asid.data.sources import find_images

IMAGE = np.random.default_rng(0).integers(0, 256, (41, 36, 3), dtype=np.uint8)


@pytest.fixture
def photograph(tmp_path: Path) -> Photograph:
    write_image(tmp_path / "photograph.png", IMAGE)
    return Photograph(tmp_path / "photograph.png")


def test_a_pair_is_the_cropped_photograph_and_its_reduction(photograph: Photograph) -> None:
    for scale, border in [(2, "symmetric"), (2, "replicate"), (3, "symmetric")]:
        lr, hr = photograph.pair(scale, border)
        assert np.array_equal(hr, IMAGE[: 41 - 41 % scale])
        assert np.array_equal(lr, downscale(hr, scale, border))
    assert np.array_equal(photograph.read(), read_image(photograph.path))
    with pytest.raises(ValueError, match="read-only"):
        photograph.read()[0, 0] = 0


def test_images_are_shared_by_content_not_by_name(photograph: Photograph, tmp_path: Path) -> None:
    """Everything that can change a pixel changes the name of the file in the cache, and nothing else does."""
    copy = Photograph(tmp_path / "copy.png")
    copy.path.write_bytes(photograph.path.read_bytes())
    images = [
        photograph.hr(),
        photograph.lr(2, "symmetric"),
        photograph.lr(3, "symmetric"),
        photograph.lr(2, "replicate"),
    ]
    assert len({image.name for image in images}) == len(images)
    assert copy.lr(2, "symmetric").name == photograph.lr(2, "symmetric").name
    write_image(copy.path, IMAGE + 1)
    assert copy.hr().name != photograph.hr().name


def test_a_photograph_smaller_than_the_scale_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "small.png", IMAGE[:3])
    with pytest.raises(ImageError, match=r"small\.png: .*at least 4×4"):
        Photograph(tmp_path / "small.png").pair(4, "symmetric")


def test_manifest_hash_changes_with_content_and_names(tmp_path: Path) -> None:
    hashes = []
    for folder, name, value in [("a", "x", 0), ("same", "x", 0), ("content", "x", 1), ("name", "y", 0)]:
        write_image(tmp_path / folder / f"{name}.png", IMAGE + np.uint8(value))
        hashes.append(manifest_hash(find_images(tmp_path / folder)))
    first, same, *others = hashes
    assert first == same
    assert len({first, *others}) == 3
    write_image(tmp_path / "a" / "z.png", IMAGE)
    assert manifest_hash(find_images(tmp_path / "a")) != first
