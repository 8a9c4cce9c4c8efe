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


def cut_pair(lr: RGBImage, hr: RGBImage, size: int) -> tuple[RGBImage, RGBImage]:
    """Cut the most detailed square of ``size`` LR pixels out of an LR image, and the same region out of its HR image.

    The square is smaller if the LR image is.
    """
    scale = len(hr) // len(lr)
    top, left, height, width = most_detailed_box(lr, size)
    rows, columns = slice(scale * top, scale * (top + height)), slice(scale * left, scale * (left + width))
    return lr[top : top + height, left : left + width], hr[rows, columns]


def detailed_crops(photographs: Iterable[Photograph], scale: int, size: int) -> dict[str, tuple[RGBImage, RGBImage]]:
    """Cut the most detailed square out of each photograph's LR image, and the same region out of its HR image.

    Returns:
        The LR and the HR crops by name, uint8 (size, size, 3) and (scale · size, scale · size, 3).
    """
    return {photograph.name: cut_pair(*photograph.pair(scale, "symmetric"), size) for photograph in photographs}
