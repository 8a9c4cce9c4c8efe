"""Reading and writing images, and finding them: by the name of a benchmark, in a folder, or among scikit-image's photographs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from asid.data.benchmarks import find_pairs, refuse_for_training
from asid.data.errors import ImageError
from asid.data.samples import TRAIN_SAMPLES as TRAIN_SAMPLES
from asid.data.samples import VALIDATION_SAMPLES as VALIDATION_SAMPLES
from asid.data.samples import sample_paths

_REFUSED = {
    "1": ("one bit a pixel", "convert it to grey"),
    "P": ("a palette", "convert it to RGB"),
    "RGBA": ("transparency", "remove the alpha channel"),
    "LA": ("transparency", "remove the alpha channel"),
    "PA": ("transparency", "remove the alpha channel"),
    "CMYK": ("CMYK colours", "convert it to sRGB by its colour profile"),
    "16": ("16 bits a channel", "divide by 257 and round to 8 bits"),
}
"""Kinds of image that are not taken, by Pillow's mode: what is wrong, and how to convert it."""


@dataclass(frozen=True)
class Photograph:
    """One image file. ``name`` is the file's name without its ending."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> NDArray[np.uint8]:
        """The pixels, uint8 (H, W, 3), RGB. Decoded once and kept: do not write to it."""
        return _read_cached(self.path)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, 3), RGB.

    Taken: 8-bit RGB, and 8-bit grey, which is repeated to three channels. Everything else is refused with :class:`ImageError`, because
    a silent conversion would change the scores: palettes, transparency, 16 bits a channel, CMYK, one bit a pixel, and files that are
    no image or are damaged.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            # Looked at before loading: Pillow cuts 16-bit colour to 8 bits and calls it RGB.
            mode = "RGB;16" if image.mode == "RGB" and _is_deep(image) else image.mode
            image.load()
            if mode not in ("RGB", "L"):
                kind, remedy = _REFUSED.get(
                    "16" if "16" in mode else mode, ("another kind of pixel", "convert it to RGB")
                )
                raise ImageError(f"{path}: expected an 8-bit RGB or grey image, got {kind} (mode {mode}); {remedy}")
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise ImageError(f"no image at {path}") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ImageError(f"{path} is no readable image: {str(error).splitlines()[0]}") from None


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether the file has more than 8 bits a channel: PNG and TIFF say so in the raw mode, PPM in its largest value."""
    for codec, _, _, details in image.tile:
        if ";16" in str(details) or (codec.startswith("ppm") and isinstance(details, tuple) and details[1] > 255):
            return True
    return False


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W, 3) RGB pixels as PNG."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@lru_cache(maxsize=1024)
def _read_cached(path: Path) -> NDArray[np.uint8]:
    pixels = read_image(path)
    pixels.setflags(write=False)
    return pixels


def find_images(source: str | Path, *, split: str = "validation") -> list[Photograph]:
    """The HR photographs of ``source``, in the order of names.

    ``source`` is ``samples`` (then ``split`` is ``train`` or ``validation``), the name of a benchmark, or a folder. For the split
    ``train``, benchmarks for evaluation are refused.

    Raises :class:`ImageError` where the folder is missing or holds no image.
    """
    if str(source) == "samples":
        return [Photograph(path) for path in sample_paths(split)]
    if split == "train":
        refuse_for_training(source)
    return [Photograph(pair.hr) for pair in find_pairs(source, None)]


def manifest_hash(photographs: Sequence[Photograph]) -> str:
    """Twelve hexadecimal digits over the names and the bytes of the files: changes when the data does."""
    total = hashlib.sha256()
    for photograph in photographs:
        status = photograph.path.stat()
        content = _content_hash(photograph.path, status.st_size, status.st_mtime_ns)
        total.update(f"{photograph.path.name} {content}\n".encode())
    return total.hexdigest()[:12]


@lru_cache(maxsize=100_000)
def _content_hash(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; a grid asks for the same files once for each run, and a training set has gigabytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
