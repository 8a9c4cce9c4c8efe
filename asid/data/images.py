"""Reading and writing images: 8-bit RGB in, 8-bit RGB out, and no silent conversion in between."""

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
