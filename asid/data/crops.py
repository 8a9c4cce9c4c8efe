"""Choosing a detailed region of an image to show."""

from collections.abc import Iterable

import numpy as np

from asid.data.images import RGBImage
from asid.data.photographs import Photograph


def most_detailed_box(image: RGBImage, size: int, step: int = 8) -> tuple[int, int, int, int]:
    """Find the square region (top, left, size, size) with the strongest gradients, where methods differ visibly.

    Args:
        image: uint8 (H, W, 3).
        size: Side of the square in pixels; reduced to the shorter side of a smaller image.
        step: Only multiples of this are tried as the top and left of the square.
    """
    grey = image.astype(float).mean(axis=2)
    energy = np.hypot(*np.gradient(grey))
    total = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    size = min(size, *grey.shape)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(sums[::step, ::step].argmax(), sums[::step, ::step].shape)
    return int(top) * step, int(left) * step, size, size


def detailed_crops(photographs: Iterable[Photograph], scale: int, size: int) -> dict[str, RGBImage]:
    """Cut the most detailed square out of each photograph's LR image.

    Returns:
        The crops by name, uint8 (size, size, 3), smaller if the LR image is.
    """
    crops = {}
    for photograph in photographs:
        lr = photograph.lr(scale, "symmetric").pixels()
        top, left, height, width = most_detailed_box(lr, size)
        crops[photograph.name] = lr[top : top + height, left : left + width]
    return crops
