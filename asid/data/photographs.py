"""The photographs of a data set: what identifies them, their pixels and their LR images, made once on a machine."""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import PIL
from PIL import features

from asid.config import Border
from asid.data import resize
from asid.data.cache import CachedImage
from asid.data.images import ImageError, RGBImage, read_image
from asid.data.resize import crop_to_multiple, downscale
from asid.files import content_hash


@dataclass(frozen=True)
class Photograph:
    """One image file."""

    path: Path

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return self.path.stem

    @property
    def content(self) -> str:
        """SHA-256 of the file's bytes."""
        return content_hash(self.path)

    def read(self) -> RGBImage:
        """Return the pixels, uint8 (H, W, 3), RGB, read-only."""
        return self.hr().pixels()

    def hr(self) -> CachedImage:
        """The photograph, whole, in the cache."""
        return CachedImage(f"{self.content}, {_decoders()}", partial(read_image, self.path))

    def lr(self, scale: int, border: Border) -> CachedImage:
        """Its LR image in the cache: :func:`crop` for ``scale``, then the resize with border rule ``border``."""
        made_by = f"{_decoders()}, ×{scale} {border}, {_resize_code()}"
        return CachedImage(f"{self.content}, {made_by}", partial(_reduce, self, scale, border))

    def pair(self, scale: int, border: Border) -> tuple[RGBImage, RGBImage]:
        """LR image and cropped HR image, uint8 (h, w, 3) and (scale · h, scale · w, 3), read-only.

        Raises:
            ImageError: The file is unreadable, or smaller than ``scale``.
        """
        return self.lr(scale, border).pixels(), self.crop(scale)

    def crop(self, scale: int) -> RGBImage:
        """The photograph, cropped at the right and bottom to a multiple of ``scale``.

        Raises:
            ImageError: The file is unreadable, or smaller than ``scale``.
        """
        pixels = self.read()
        try:
            return crop_to_multiple(pixels, scale)
        except ValueError as error:
            raise ImageError(f"{self.path}: {error}") from None


def _reduce(photograph: Photograph, scale: int, border: Border) -> RGBImage:
    return downscale(photograph.crop(scale), scale, border)


@cache
def _decoders() -> str:
    """What decodes files: other versions of a JPEG library may give other pixels."""
    libraries = {name: features.version(name) for name in ("libjpeg_turbo", "jpg", "webp")}
    return f"Pillow {PIL.__version__} {libraries}"


@cache
def _resize_code() -> str:
    """The code that makes LR images."""
    return hashlib.sha256(inspect.getsource(resize).encode()).hexdigest()


def manifest_hash(photographs: Sequence[Photograph]) -> str:
    """Hash the names and bytes of the files, in order: twelve hexadecimal digits that change when the data does."""
    total = hashlib.sha256()
    for photograph in photographs:
        total.update(f"{photograph.path.name} {photograph.content}\n".encode())
    return total.hexdigest()[:12]
