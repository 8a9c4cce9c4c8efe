"""Reading and writing images: 8-bit RGB in, 8-bit RGB out, and no silent conversion in between."""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from asid.files import atomic_write

T = TypeVar("T")
RGBImage = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB."""

_REFUSED = {
    "1": ("one bit per pixel", "convert it to grey"),
    "P": ("a palette", "convert it to RGB"),
    "RGBA": ("transparency", "remove the alpha channel"),
    "LA": ("transparency", "remove the alpha channel"),
    "PA": ("transparency", "remove the alpha channel"),
    "CMYK": ("CMYK colours", "convert it to sRGB using its colour profile"),
    "16": ("16 bits per channel", "divide by 257 and round to 8 bits"),
}
"""Pixel formats that are refused, by Pillow's mode: what they are, and how to convert them."""


_SAME_COLOURS = 2
"""Levels by which a colour profile may change colours and still be taken for sRGB: writers of sRGB profiles round."""


class ImageError(ValueError):
    """An unreadable image, a folder without images, or images that do not belong together; the message names it."""


def read_image(path: str | Path, *, to_srgb: bool = False) -> RGBImage:
    """Read an 8-bit RGB or grey image as uint8 (H, W, 3), RGB; grey is repeated to three channels.

    It is turned upright if the camera says so (EXIF orientation).

    Args:
        path: The file.
        to_srgb: Whether to convert colours from an embedded profile to sRGB. Otherwise pixels are what the file says,
            whatever colours that means; see :func:`refuse_profile`.

    Raises:
        ImageError: The file is missing, damaged or not an image, or it has a palette, transparency, 16 bits per
            channel, CMYK colours, one bit per pixel, or several frames or pages. Converting these silently would
            change the scores.
    """

    def pixels(image: Image.Image) -> RGBImage:
        upright = ImageOps.exif_transpose(image)
        if (profile := image.info.get("icc_profile")) and to_srgb and (transform := _to_srgb(profile, image.mode)):
            return np.asarray(transform.apply(upright))
        return np.asarray(upright.convert("RGB"))

    return _open(Path(path), pixels)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image that :func:`read_image` accepts. The pixels are not decoded.

    Raises:
        ImageError: As for :func:`read_image`, but for damage that shows only when pixels are decoded.
    """

    def size(image: Image.Image) -> tuple[int, int]:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (image.width, image.height) if turned else (image.height, image.width)

    return _open(Path(path), size)


def refuse_profile(path: Path) -> None:
    """Refuse a colour profile that means other colours than sRGB: two ways to read its pixels give two scores.

    Raises:
        ImageError: It has one; or as for :func:`image_size`.
    """

    def check(image: Image.Image) -> None:
        profile = image.info.get("icc_profile")
        if profile and _to_srgb(profile, image.mode):
            name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip()
            raise ImageError(f"{path}: expected sRGB colours, got the colour profile {name!r}; convert it to sRGB")

    _open(path, check)


def _open(path: Path, use: Callable[[Image.Image], T]) -> T:
    """What ``use`` makes of an accepted image; all that can be wrong with it is an :class:`ImageError`."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()  # otherwise Pillow does not compare the checksums of the pixels
        with Image.open(path) as image:
            _check_format(image, path)
            return use(image)
    except FileNotFoundError:
        raise ImageError(f"no image at {path}") from None
    except ImageError:
        raise
    except (
        *(UnidentifiedImageError, Image.DecompressionBombError, ImageCms.PyCMSError),
        *(OSError, SyntaxError, ValueError),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(f"{path} is not a readable image: {reason}") from None


def _check_format(image: ImageFile.ImageFile, path: Path) -> None:
    """Refuse pixel formats; before loading, in which Pillow truncates 16-bit colour to 8 bits and calls it RGB."""
    mode = "RGB;16" if image.mode == "RGB" and _is_deep(image) else image.mode
    mode = "PA" if image.info.get("transparency") is not None else mode
    if image.format in ("PNG", "WEBP", "TIFF", "GIF") and getattr(image, "is_animated", False):
        raise ImageError(f"{path}: expected one image, got several frames or pages (an animation?); save one of them")
    if mode not in ("RGB", "L"):
        kind, remedy = _REFUSED.get("16" if "16" in mode else mode, ("an unknown pixel format", "convert it to RGB"))
        raise ImageError(f"{path}: expected an 8-bit RGB or grey image, got {kind} (mode {mode}); {remedy}")


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What converts images of ``mode`` with this profile to sRGB; ``None`` if that changes nothing one could see.

    A profile of another colour space is left over from before the image became grey, and says nothing about it.
    """
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if source.profile.xcolor_space.strip() != {"RGB": "RGB", "L": "GRAY"}[mode]:
        return None
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * 3), axis=-1).reshape(1, -1, 3) if mode == "RGB" else levels[None]
    sample = Image.fromarray(grid)
    changes = np.abs(np.asarray(transform.apply(sample), int) - np.asarray(sample.convert("RGB"), int))
    return transform if changes.max() > _SAME_COLOURS else None


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether the file has more than 8 bits per channel: PNG and TIFF show it in the raw mode, PPM in its maximum."""
    for codec, _, _, details in image.tile:
        if ";16" in str(details) or (codec.startswith("ppm") and isinstance(details, tuple) and details[1] > 255):
            return True
    return False


def check_image(image: NDArray) -> None:
    """Raise ``ValueError`` unless ``image`` is a non-empty uint8 RGB image (H, W, 3)."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"expected a uint8 RGB image of shape (H, W, 3), got {image.dtype} {image.shape}")


def write_image(path: str | Path, image: RGBImage) -> None:
    """Write uint8 (H, W, 3) RGB pixels as PNG, completely or not at all."""
    with atomic_write(path) as partial:
        Image.fromarray(image).save(partial, format="PNG")
