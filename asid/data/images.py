"""Reading and writing images: 8-bit RGB in, 8-bit RGB out, and no silent conversion in between."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

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


@dataclass(frozen=True)
class Photograph:
    """One image file."""

    path: Path

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return self.path.stem

    def read(self) -> RGBImage:
        """Return the pixels, uint8 (H, W, 3), RGB. They are decoded once and cached: the array is read-only."""
        return _read_cached(self.path)


def read_image(path: str | Path) -> RGBImage:
    """Read an 8-bit RGB or grey image as uint8 (H, W, 3), RGB; grey is repeated to three channels.

    Raises:
        ImageError: The file is missing, damaged or not an image, or it has a palette, transparency, 16 bits per
            channel, CMYK colours or one bit per pixel. Converting these silently would change the scores.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            # Checked before loading: Pillow truncates 16-bit colour to 8 bits and calls it RGB.
            mode = "RGB;16" if image.mode == "RGB" and _is_deep(image) else image.mode
            image.load()
            if mode not in ("RGB", "L"):
                kind, remedy = _REFUSED.get(
                    "16" if "16" in mode else mode, ("an unknown pixel format", "convert it to RGB")
                )
                raise ImageError(f"{path}: expected an 8-bit RGB or grey image, got {kind} (mode {mode}); {remedy}")
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise ImageError(f"no image at {path}") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ImageError(f"{path} is not a readable image: {str(error).splitlines()[0]}") from None


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
    """Write uint8 (H, W, 3) RGB pixels as PNG."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@lru_cache(maxsize=1024)
def _read_cached(path: Path) -> RGBImage:
    pixels = read_image(path)
    pixels.setflags(write=False)
    return pixels


def manifest_hash(photographs: Sequence[Photograph]) -> str:
    """Hash the names and bytes of the files, in order: twelve hexadecimal digits that change when the data does."""
    total = hashlib.sha256()
    for photograph in photographs:
        total.update(f"{photograph.path.name} {content_hash(photograph.path)}\n".encode())
    return total.hexdigest()[:12]


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    status = path.stat()
    return _hash_once(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _hash_once(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file. Cached: each run of a study asks for the same files, and training sets have gigabytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
