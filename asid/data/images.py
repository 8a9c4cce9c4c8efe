"""Reading and writing images: 8-bit RGB in, 8-bit RGB out, and no silent conversion in between."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

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


class ImageError(ValueError):
    """An unreadable image, a folder without images, or images that do not belong together; the message names it."""


def read_image(path: str | Path) -> RGBImage:
    """Read an 8-bit RGB or grey image as uint8 (H, W, 3), RGB; grey is repeated to three channels.

    It is turned upright if the camera says so (EXIF orientation).

    Raises:
        ImageError: The file is missing, damaged or not an image, or it has a palette, transparency, 16 bits per
            channel, CMYK colours, one bit per pixel or several frames. Converting these silently would change the
            scores.
    """
    return _open(Path(path), lambda image: np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image that :func:`read_image` accepts. The pixels are not decoded.

    Raises:
        ImageError: As for :func:`read_image`, but for damage that shows only when pixels are decoded.
    """

    def size(image: Image.Image) -> tuple[int, int]:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (image.width, image.height) if turned else (image.height, image.width)

    return _open(Path(path), size)


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
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(f"{path} is not a readable image: {reason}") from None


def _check_format(image: ImageFile.ImageFile, path: Path) -> None:
    """Refuse pixel formats; before loading, in which Pillow truncates 16-bit colour to 8 bits and calls it RGB."""
    mode = "RGB;16" if image.mode == "RGB" and _is_deep(image) else image.mode
    mode = "PA" if image.info.get("transparency") is not None else mode
    if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
        raise ImageError(f"{path}: expected one image, got an animation; save one of its frames")
    if mode not in ("RGB", "L"):
        kind, remedy = _REFUSED.get("16" if "16" in mode else mode, ("an unknown pixel format", "convert it to RGB"))
        raise ImageError(f"{path}: expected an 8-bit RGB or grey image, got {kind} (mode {mode}); {remedy}")


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
