"""Photographs that occur in two data sets, under whatever names and in whatever file formats.

They are compared by their decoded pixels. A photograph that was resized, cropped or compressed anew is another one.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from asid.config import RunConfig
from asid.data.images import ImageError, image_size
from asid.data.photographs import Photograph
from asid.data.sources import find_images

_NAMED = 3
"""Photographs that a message names."""


def find_overlap(first: Sequence[Photograph], second: Sequence[Photograph]) -> list[tuple[Photograph, Photograph]]:
    """The photographs of ``first`` that are also in ``second``, each with its equal there.

    Raises:
        ImageError: An image is missing or damaged.
    """
    sizes = {_size(photograph, photograph.content) for photograph in second}
    candidates = [photograph for photograph in first if _size(photograph, photograph.content) in sizes]
    if not candidates:
        return []
    known = {_pixels(photograph, photograph.content): photograph for photograph in second}
    pixels = {photograph: _pixels(photograph, photograph.content) for photograph in candidates}
    return [(photograph, known[found]) for photograph, found in pixels.items() if found in known]


@lru_cache(maxsize=100_000)
def _size(photograph: Photograph, content: str) -> tuple[int, int]:
    """Height and width. Cached by the content of the file: each run of a study asks."""
    return image_size(photograph.path)


@lru_cache(maxsize=100_000)
def _pixels(photograph: Photograph, content: str) -> str:
    """A hash of the shape and the pixels."""
    pixels = photograph.read()
    return f"{pixels.shape} {hashlib.sha256(pixels.tobytes()).hexdigest()}"


def check_overlap(config: RunConfig) -> None:
    """Refuse a run whose training photographs are among those of its validation or evaluation.

    Raises:
        ImageError: They are, and ``data.allow_overlap`` is not set; or an image is missing or damaged.
    """
    if config.data.allow_overlap:
        return
    training = find_images(config.data.train, split="train")
    uses = [("validation", config.data.validation), *(("evaluation", source) for source in config.evaluate.data)]
    for use, source in uses:
        if shared := find_overlap(training, find_images(source)):
            names = ", ".join(f"{mine.path} ({other.path.name} in {source})" for mine, other in shared[:_NAMED])
            more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
            raise ImageError(
                f"photographs of the training are also in the {use}: {names}{more}; scores on them say nothing about "
                "others: train without them, or set data.allow_overlap=true, which record and report then say"
            )
