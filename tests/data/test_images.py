"""Reading and writing images: which pixel formats are accepted, and what identifies the files of a data set."""

import errno
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from asid.data.images import ImageError, read_image, refuse_profile, write_image
from asid.data.layouts import Pair
from asid.data.pairs import read_pair

RNG_IMAGE = np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8)


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
    """Pillow reads such a file as 8 bits without a warning, and cannot write one."""

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


def transparent_colour(folder: Path) -> Path:
    """RGB in Pillow's eyes, with one colour that stands for transparency."""
    Image.fromarray(RNG_IMAGE).save(folder / "keyed.png", transparency=(1, 2, 3))
    return folder / "keyed.png"


def animation(folder: Path) -> Path:
    frames = [Image.fromarray(image) for image in (RNG_IMAGE, 255 - RNG_IMAGE)]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    return folder / "moving.png"


def pages(folder: Path) -> Path:
    first, second = (Image.fromarray(image) for image in (RNG_IMAGE, 255 - RNG_IMAGE))
    first.save(folder / "pages.tif", save_all=True, append_images=[second])
    return folder / "pages.tif"


def profiled(profile: bytes, pixels: np.ndarray = RNG_IMAGE) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(pixels).save(folder / "profiled.png", icc_profile=profile)
        return folder / "profiled.png"

    return write


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
"""sRGB with red and blue exchanged."""


def flipped(folder: Path) -> Path:
    """A bit of the stored pixels, which stay valid."""
    damaged = bytearray(png(folder))
    damaged[len(damaged) // 2] ^= 1
    (folder / "flipped.png").write_bytes(damaged)
    return folder / "flipped.png"


def test_a_photograph_is_turned_as_the_camera_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    for name in ("a.png", "a.tiff"):
        Image.fromarray(RNG_IMAGE).save(tmp_path / name, exif=exif)
        assert np.array_equal(read_image(tmp_path / name), np.rot90(RNG_IMAGE, -1)), name


def test_a_full_disk_leaves_no_cut_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look like a result."""

    def fill_up(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fill_up)
    with pytest.raises(OSError, match=r"make room.*image\.png"):
        write_image(tmp_path / "image.png", RNG_IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_colours_of_a_profile_are_converted_or_refused(tmp_path: Path) -> None:
    path = profiled(SRGB)(tmp_path)
    refuse_profile(path)
    assert np.array_equal(read_image(path, to_srgb=True), RNG_IMAGE)
    path = profiled(SWAPPED)(tmp_path)
    converted = read_image(path, to_srgb=True)
    assert np.abs(converted.astype(int) - RNG_IMAGE[..., ::-1]).max() <= 2
    for check in (refuse_profile, lambda path: read_pair(Pair("profiled", path, None), 2)):
        with pytest.raises(ImageError, match=r"profiled\.png: expected sRGB colours, got the colour profile 'sRGB"):
            check(path)
    with pytest.raises(ImageError, match="not a readable image"):
        refuse_profile(profiled(b"no profile")(tmp_path))
    write_image(tmp_path / "hr.png", np.zeros((2 * len(RNG_IMAGE), 2 * RNG_IMAGE.shape[1], 3), np.uint8))
    with pytest.raises(ImageError, match=r"profiled\.png: expected sRGB"):
        read_pair(Pair("pair", tmp_path / "hr.png", profiled(SWAPPED)(tmp_path)), 2)


def test_a_colour_profile_of_a_grey_image_is_left_over(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    grey = RNG_IMAGE[..., 0]
    Image.fromarray(grey).save(path, icc_profile=SWAPPED)
    refuse_profile(path)
    assert np.array_equal(read_image(path, to_srgb=True), np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        pytest.param(pages, "several frames or pages", id="pages"),
        pytest.param(transparent_colour, "transparency", id="transparent colour"),
        pytest.param(animation, "several frames", id="animation"),
        pytest.param(flipped, "not a readable image", id="a bit flipped"),
        pytest.param(content("image.ppm", b"P6 1 1 37\x02255\n" + bytes(3)), "not a readable image", id="damaged PPM"),
        pytest.param(save_as("RGBA", "image.png"), "transparency (mode RGBA)", id="transparency"),
        pytest.param(save_as("LA", "image.png"), "mode LA", id="grey with transparency"),
        pytest.param(save_as("P", "image.png"), "mode P", id="palette"),
        pytest.param(save_as("1", "image.png"), "mode 1", id="one bit"),
        pytest.param(save_as("CMYK", "image.jpg"), "mode CMYK", id="CMYK"),
        pytest.param(sixteen_bit_grey, "16 bits per channel (mode I;16)", id="16-bit grey"),
        pytest.param(sixteen_bit_colour, "16 bits per channel (mode RGB;16)", id="16-bit colour"),
        pytest.param(
            content("image.ppm", b"P6 1 1 65535\n" + bytes(6)),
            "16 bits per channel (mode RGB;16)",
            id="16-bit colour, PPM",
        ),
        pytest.param(truncated(2000), "not a readable image", id="truncated in the pixels"),
        pytest.param(truncated(20), "not a readable image", id="truncated in the header"),
        pytest.param(truncated(0), "not a readable image", id="empty"),
        pytest.param(content("image.png", b"not an image\n"), "not a readable image", id="text"),
        pytest.param(lambda folder: folder / "none.png", "no image at", id="missing"),
        pytest.param(lambda folder: folder, "not a readable image", id="folder"),
    ],
)
def test_unsupported_files_are_refused(write: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
