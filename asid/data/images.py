"""Reading and writing images, and finding them: in a folder, or among the photographs that ship in scikit-image."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")

TRAIN_SAMPLES = ("astronaut.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")
VALIDATION_SAMPLES = ("chelsea.png", "coffee.png")
"""The everyday colour photographs inside scikit-image's package, split once and for all. The two motorcycle pictures are one scene
from two sides and so stand on the same side of the split."""


class ImageError(ValueError):
    """A file that is no image this package takes, or a folder without any."""


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

    Grey images are repeated to three channels. Raises :class:`ImageError` for what is no image, is damaged, or is of another kind
    (16 bits, CMYK, transparency): converting those silently would change the scores.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            # Pillow would cut 16-bit colour to 8 bits while loading, without a word.
            mode = "RGB;16" if any(";16" in str(tile) for tile in image.tile) and image.mode == "RGB" else image.mode
            image.load()
            if mode not in ("RGB", "L"):
                raise ImageError(f"{path}: expected an 8-bit RGB or grey image, got mode {mode}; convert it first")
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise ImageError(f"no image at {path}") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ImageError(f"{path} is no readable image: {str(error).splitlines()[0]}") from None


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
    """The photographs of ``source``: ``samples`` (then ``split`` is ``train`` or ``validation``), or a folder, in the order of names.

    Raises :class:`ImageError` where the folder is missing or holds no image.
    """
    if str(source) == "samples":
        from skimage import data

        folder = Path(data.__file__).parent
        names = TRAIN_SAMPLES if split == "train" else VALIDATION_SAMPLES
        return [Photograph(folder / name) for name in names]
    folder = Path(source)
    if not folder.is_dir():
        raise ImageError(f"no folder of images at {folder}: expected 'samples' or an existing folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."))
    if not found:
        raise ImageError(f"no image in {folder}: expected files that end in {', '.join(EXTENSIONS)}")
    return [Photograph(path) for path in found]


def manifest_hash(photographs: Sequence[Photograph]) -> str:
    """Twelve hexadecimal digits over the names and the bytes of the files: changes when the data does."""
    total = hashlib.sha256()
    for photograph in photographs:
        content = hashlib.sha256(photograph.path.read_bytes()).hexdigest()
        total.update(f"{photograph.path.name} {content}\n".encode())
    return total.hexdigest()[:12]
