"""Photographs to work on: written from those that ship with scikit-image."""

from pathlib import Path

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
