"""Images in and out, MATLAB's bicubic reduction, training patches."""

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asid.data.images import (
    TRAIN_SAMPLES,
    VALIDATION_SAMPLES,
    ImageError,
    find_images,
    manifest_hash,
    read_image,
    write_image,
)
from asid.data.patches import PatchDataset, ResumableSampler
from asid.data.resize import crop_to_multiple, downscale, imresize, upscale

RNG_IMAGE = np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_downscale_equals_matlab_in_every_byte(border: str, scale: int, shared: Path) -> None:
    expected = sorted((shared / "data" / "Set5_LR" / border / f"x{scale}").glob("*.png"))
    originals = find_images(shared / "data" / "Set5")
    assert len(expected) == len(originals) == 5
    for original, path in zip(originals, expected, strict=True):
        assert path.name.startswith(original.name)
        lr = downscale(crop_to_multiple(original.read(), scale), scale, border)
        assert np.array_equal(lr, read_image(path)), path


def keys(x: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, equation 15)."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def resize_line(line: list[float], scale: Fraction, border: str) -> list[float]:
    """One row by the formula: the kernel, widened when shrinking, around each output pixel's place; weights that sum to one."""
    length = len(line)
    stretch = min(1.0, float(scale))
    result = []
    for i in range(-(-length * scale.numerator // scale.denominator)):
        centre = (i + 0.5) / float(scale) - 0.5
        total = weights = 0.0
        for p in range(-40, length + 40):
            weight = keys(stretch * (centre - p))
            q = p
            if border == "replicate":
                q = min(max(p, 0), length - 1)
            else:
                while not 0 <= q < length:
                    q = -1 - q if q < 0 else 2 * length - 1 - q
            total += weight * line[q]
            weights += weight
        result.append(total / weights)
    return result


def resize_slowly(image: np.ndarray, scale: Fraction, border: str) -> np.ndarray:
    def along_columns(a: np.ndarray) -> np.ndarray:
        out = np.array([resize_line(list(column), scale, border) for column in a.astype(float).T]).T
        return np.clip(np.floor(out + 0.5), 0, 255) if image.dtype == np.uint8 else out

    return along_columns(along_columns(image).T).T


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(3), Fraction(3, 2), Fraction(1)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_imresize_equals_the_formula(scale: Fraction, border: str, dtype: type) -> None:
    image = RNG_IMAGE[:7, :9, 0].astype(dtype)
    resized, expected = imresize(image, scale, border), resize_slowly(image, scale, border)
    assert resized.dtype == dtype
    assert resized.shape == expected.shape
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-9)


def test_borders_differ_at_the_border_only() -> None:
    symmetric, replicate = (downscale(RNG_IMAGE, 2, border).astype(int) for border in ("symmetric", "replicate"))
    assert (symmetric != replicate)[0].any()
    assert np.array_equal(symmetric[2:-2, 2:-2], replicate[2:-2, 2:-2])


@pytest.mark.parametrize("value", [0, 137, 255])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_flat_image_stays_flat(value: int, scale: int) -> None:
    flat = np.full((24, 36, 3), value, np.uint8)
    assert np.array_equal(downscale(flat, scale), np.full((24 // scale, 36 // scale, 3), value))
    assert np.array_equal(upscale(flat, scale), np.full((24 * scale, 36 * scale, 3), value))


def test_channels_are_resized_apart() -> None:
    assert np.array_equal(downscale(RNG_IMAGE, 2)[..., 1], downscale(RNG_IMAGE[..., 1], 2))


@pytest.mark.parametrize(
    ("size", "scale", "expected"), [((7, 9), 2, (6, 8)), ((7, 9), 3, (6, 9)), ((8, 8), 4, (8, 8)), ((5, 5), 1, (5, 5))]
)
def test_crop_to_multiple(size: tuple[int, int], scale: int, expected: tuple[int, int]) -> None:
    image = RNG_IMAGE[: size[0], : size[1]]
    assert np.array_equal(crop_to_multiple(image, scale), image[: expected[0], : expected[1]])


def test_crop_leaves_something() -> None:
    with pytest.raises(ValueError, match="at least 4×4 pixels for scale 4, got 3×9"):
        crop_to_multiple(RNG_IMAGE[:3, :9], 4)


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


def test_images_round_trip_and_grey_is_repeated(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "colour.png", RNG_IMAGE)
    assert np.array_equal(read_image(tmp_path / "new" / "colour.png"), RNG_IMAGE)
    Image.fromarray(RNG_IMAGE[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), RNG_IMAGE[..., [0, 0, 0]])


def save_as(mode: str, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(RNG_IMAGE).convert(mode).save(folder / name)
        return folder / name

    return write


def png(folder: Path) -> bytes:
    write_image(folder / "whole.png", RNG_IMAGE)
    return (folder / "whole.png").read_bytes()


def truncated(length: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "cut.png").write_bytes(png(folder)[:length])
        return folder / "cut.png"

    return write


def sixteen_bit_grey(folder: Path) -> Path:
    Image.fromarray(RNG_IMAGE[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    return folder / "deep.png"


def sixteen_bit_colour(folder: Path) -> Path:
    """Pillow reads such a file as 8 bits without a word, and cannot write one."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = RNG_IMAGE.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in (RNG_IMAGE.astype(">u2") * 257 + 100).astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "deep.png").write_bytes(content)
    return folder / "deep.png"


def content(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        pytest.param(
            save_as("RGBA", "image.png"), "transparency (mode RGBA); remove the alpha channel", id="transparency"
        ),
        pytest.param(save_as("LA", "image.png"), "mode LA", id="grey with transparency"),
        pytest.param(save_as("P", "image.png"), "mode P", id="palette"),
        pytest.param(save_as("1", "image.png"), "mode 1", id="one bit"),
        pytest.param(save_as("CMYK", "image.jpg"), "mode CMYK", id="CMYK"),
        pytest.param(sixteen_bit_grey, "16 bits a channel (mode I;16)", id="16-bit grey"),
        pytest.param(sixteen_bit_colour, "16 bits a channel (mode RGB;16); divide by 257", id="16-bit colour"),
        pytest.param(
            content("image.ppm", b"P6 1 1 65535\n" + bytes(6)),
            "16 bits a channel (mode RGB;16)",
            id="16-bit colour, PPM",
        ),
        pytest.param(truncated(2000), "no readable image", id="truncated in the pixels"),
        pytest.param(truncated(20), "no readable image", id="truncated in the header"),
        pytest.param(truncated(0), "no readable image", id="empty"),
        pytest.param(content("image.png", b"not an image\n"), "no readable image", id="text"),
        pytest.param(lambda folder: folder / "none.png", "no image at", id="missing"),
        pytest.param(lambda folder: folder, "no readable image", id="folder"),
    ],
)
def test_other_files_are_refused(write: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_images_of_a_folder_are_found_in_the_order_of_names(tmp_path: Path) -> None:
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


def test_cached_pixels_cannot_be_written_to(crops: Path) -> None:
    (photograph,) = find_images(crops / "validation")
    assert photograph.read() is photograph.read()
    with pytest.raises(ValueError, match="read-only"):
        photograph.read()[0, 0] = 0


def test_manifest_hash_changes_with_content_and_names(tmp_path: Path) -> None:
    hashes = []
    for folder, name, value in [("a", "x", 0), ("same", "x", 0), ("content", "x", 1), ("name", "y", 0)]:
        write_image(tmp_path / folder / f"{name}.png", RNG_IMAGE + np.uint8(value))
        hashes.append(manifest_hash(find_images(tmp_path / folder)))
    first, same, *others = hashes
    assert first == same
    assert len({first, *others}) == 3
    write_image(tmp_path / "a" / "z.png", RNG_IMAGE)
    assert manifest_hash(find_images(tmp_path / "a")) != first


def patches(crops: Path, **changes: Any) -> PatchDataset:
    options = {"scale": 2, "patch_size": 16, "augment": False, "border": "symmetric", "seed": 0, **changes}
    return PatchDataset(find_images(crops / "train"), **options)


@pytest.mark.parametrize("augment", [False, True])
def test_a_patch_is_a_function_of_seed_and_index(augment: bool, crops: Path) -> None:
    first, again, other = (patches(crops, augment=augment, seed=seed) for seed in (1, 1, 2))
    indices = [5, 3, 0, 4, 3]
    forwards = {index: first[index] for index in sorted(set(indices))}
    for index in indices:
        assert all(torch.equal(a, b) for a, b in zip(again[index], forwards[index], strict=True))
    assert len({pair[0].numpy().tobytes() for pair in forwards.values()}) == len(forwards)
    assert not all(torch.equal(first[index][0], other[index][0]) for index in indices)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_patches_are_aligned(scale: int, crops: Path) -> None:
    dataset, margin = patches(crops, scale=scale, patch_size=12), 3
    for index in range(10):
        lr, hr = dataset[index]
        assert (lr.dtype, lr.shape, hr.shape) == (torch.float32, (3, 12, 12), (3, 12 * scale, 12 * scale))
        assert lr.min() >= 0
        assert 0.2 < hr.max() <= 1
        pixels = (hr * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        expected = torch.from_numpy(downscale(pixels, scale)).permute(2, 0, 1) / 255
        inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
        torch.testing.assert_close(lr[inside], expected[inside], rtol=0, atol=1e-6)


def test_augmentation_is_the_same_turn_and_flip_of_both_patches(crops: Path) -> None:
    plain, augmented = patches(crops), patches(crops, augment=True)
    kinds = set()
    for index in range(100):
        pairs = list(zip(plain[index], augmented[index], strict=True))
        fitting = [
            (turns, flip)
            for turns in range(4)
            for flip in (False, True)
            if all(torch.equal(torch.rot90(p.flip(2) if flip else p, turns, (1, 2)), a) for p, a in pairs)
        ]
        assert len(fitting) == 1
        kinds.update(fitting)
    assert len(kinds) == 8


def test_patches_come_from_every_image_and_reach_every_border(crops: Path) -> None:
    dataset = patches(crops)
    places = {}
    for number, (pixels, _) in enumerate(dataset.pairs):
        for top in range(17):
            for left in range(17):
                places[pixels[top : top + 16, left : left + 16].tobytes()] = (number, top, left)
    seen = []
    for index in range(400):
        lr, _ = dataset[index]
        seen.append(places[(lr * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().tobytes()])
    assert {(number, top) for number, top, _ in seen} == {(number, top) for number in range(3) for top in range(17)}
    assert {(number, left) for number, _, left in seen} == {(number, left) for number in range(3) for left in range(17)}


def test_images_smaller_than_a_patch_are_refused(crops: Path) -> None:
    with pytest.raises(
        ImageError, match=r"0\.png: expected at least 80 pixels a side for LR patches of 40 at ×2, got 64×64"
    ):
        patches(crops, patch_size=40)


def test_sampler_goes_on_from_where_it_is_asked() -> None:
    position = 0
    sampler = ResumableSampler(lambda: range(position, 6))
    assert list(sampler) == [0, 1, 2, 3, 4, 5]
    position = 4
    assert list(sampler) == [4, 5]
    assert len(sampler) == 2
