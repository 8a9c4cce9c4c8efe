"""Photographs to work on: written from those that ship with scikit-image."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from asid.data.images import read_image, write_image
from asid.data.samples import sample_paths

SIDE = 256
"""Side of a photograph, in pixels: about that of Set5's."""


def written_photographs(folder: Path, number: int) -> Path:
    """Write ``number`` different crops of the samples as PNG files to ``folder``, which is returned."""
    sources = [read_image(path) for split in ("train", "validation") for path in sample_paths(split)]
    for index in range(number):
        image = sources[index % len(sources)]
        top, left = (7 * (index // len(sources)) % (side - SIDE) for side in image.shape[:2])
        write_image(folder / f"{index:03}.png", image[top : top + SIDE, left : left + SIDE])
    return folder


LARGE = (2040, 1356)
"""Width and height of a large photograph, in pixels: those of most in DIV2K."""


def written_large_photographs(folder: Path, number: int, different: int) -> Path:
    """Write ``number`` PNG files of :data:`LARGE` size to ``folder``, which is returned.

    Only ``different`` of them are made, the samples enlarged, with noise as of a camera; the others are links to these.
    """
    folder.mkdir(parents=True)
    sources = [path for split in ("train", "validation") for path in sample_paths(split)]
    random = np.random.default_rng(0)
    for index in range(number):
        path = folder / f"{index:04}.png"
        if index >= different:
            os.link(folder / f"{index % different:04}.png", path)
            continue
        with Image.open(sources[index % len(sources)]) as sample:
            enlarged = np.asarray(sample.convert("RGB").resize(LARGE))
        noise = random.integers(-3, 4, enlarged.shape)
        Image.fromarray((enlarged + noise).clip(0, 255).astype(np.uint8)).save(path, compress_level=1)
    return folder
