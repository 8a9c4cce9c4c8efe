"""Linear interpolation fitted to photographs: one LR filter for each sub-pixel, by least squares.

The best that any linear upscaler of that filter size can do on these photographs, and therefore the number that a
network must beat. Each filter is constrained to sum to one, so that flat areas stay flat.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asid.config import Border
from asid.data.images import RGBImage
from asid.data.photographs import Photograph

Item = TypeVar("Item")
Filters = NDArray[np.float64]
"""(s², size, size): sub-pixel (i, j) is row i · s + j, the same for the three colours. Correlation, not convolution."""

SAMPLE = 24
"""Photographs that are enough to fit 25 weights; of more, this many are taken, evenly spaced in their order."""
_ROOM = 256
"""Side of the central part of a photograph that enters the fit, in LR pixels."""
_RIDGE = 1e-6
"""Regularisation relative to the mean of the normal matrix's diagonal: decides where photographs are too uniform."""
_NUMPY_MODE: dict[Border, str] = {"symmetric": "symmetric", "replicate": "edge"}


def even_sample(items: Sequence[Item], most: int = SAMPLE) -> list[Item]:
    """At most ``most`` of ``items``, evenly spaced: the same ones each time."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def fit_to_photographs(
    photographs: Sequence[Photograph], scale: int, border: Border = "symmetric", size: int = 5
) -> Filters:
    """Fit filters to a fixed sample of HR photographs; bicubic makes their LR images, with border rule ``border``."""
    pairs = (photograph.pair(scale, border) for photograph in even_sample(photographs))
    return fit_linear_filters(pairs, scale, border, size)


def fit_linear_filters(
    pairs: Iterable[tuple[RGBImage, RGBImage]], scale: int, border: Border = "symmetric", size: int = 5
) -> Filters:
    """Fit one LR filter for each sub-pixel, in closed form.

    For sub-pixel (i, j), minimises ``Σ (HR[s·y + i, s·x + j] - Σ_k w_k LR[(y, x) + k])²`` over all pixels and colours,
    subject to ``Σ w_k = 1``: the centre pixel is subtracted on both sides, and the normal equations are solved for the
    other weights.

    Args:
        pairs: LR (h, w, 3) and HR (s·h, s·w, 3) images, uint8. Of large images the central 256×256 LR pixels are used.
        scale: Factor s. At scale 1 the result is the identity.
        border: How an LR image continues beyond its border.
        size: Side of the filters, odd.

    Raises:
        ValueError: ``size`` is even.
    """
    if size % 2 == 0:
        raise ValueError(f"expected an odd filter size, got {size}")
    taps, centre = size * size, size * size // 2
    gram, moment = np.zeros((taps, taps)), np.zeros((taps, scale * scale))
    for lr, hr in pairs:
        top, left = (max(0, (side - _ROOM) // 2) for side in lr.shape[:2])
        height, width = (min(side, _ROOM) for side in lr.shape[:2])
        views = [view[top : top + height, left : left + width] for view in _neighbours(lr, size, border)]
        patches = np.stack([view.astype(np.float32).ravel() for view in views])  # (taps, h·w·3)
        patches -= patches[centre].copy()
        part = hr[scale * top : scale * (top + height), scale * left : scale * (left + width)].astype(np.float32)
        sub_pixels = part.reshape(height, scale, width, scale, 3) - views[centre][:, None, :, None]
        targets = sub_pixels.transpose(1, 3, 0, 2, 4).reshape(scale * scale, -1)  # (s², h·w·3)
        gram += (patches / 255) @ (patches / 255).T
        moment += (patches / 255) @ (targets / 255).T
    others = np.arange(taps) != centre
    gram, moment = gram[np.ix_(others, others)], moment[others]
    ridge = _RIDGE * np.trace(gram) / len(gram) or 1.0  # flat photographs say nothing: repeat the centre pixel
    filters = np.zeros((scale * scale, taps))
    filters[:, others] = np.linalg.solve(gram + ridge * np.eye(len(gram)), moment).T
    filters[:, centre] = 1 - filters.sum(axis=1)
    return filters.reshape(scale * scale, size, size)


def interpolate(lr: RGBImage, filters: Filters, scale: int, border: Border = "symmetric") -> NDArray[np.float64]:
    """Enlarge uint8 (h, w, 3) to float64 (s·h, s·w, 3) in [0, 255], neither rounded nor clipped."""
    height, width = lr.shape[:2]
    sub_pixels = np.zeros((scale * scale, height, width, 3))
    weights = filters.reshape(scale * scale, -1)
    for tap, view in enumerate(_neighbours(lr, filters.shape[-1], border)):
        sub_pixels += weights[:, tap, None, None, None] * view
    grid = sub_pixels.reshape(scale, scale, height, width, 3).transpose(2, 0, 3, 1, 4)  # (h, s, w, s, 3)
    return grid.reshape(scale * height, scale * width, 3)


def linear_upscale(lr: RGBImage, filters: Filters, scale: int, border: Border = "symmetric") -> RGBImage:
    """Enlarge uint8 (h, w, 3) to uint8 (s·h, s·w, 3), rounded half up and clipped."""
    return np.clip(np.floor(interpolate(lr, filters, scale, border) + 0.5), 0, 255).astype(np.uint8)


def _neighbours(image: RGBImage, size: int, border: Border) -> list[NDArray[np.uint8]]:
    """For each tap of a filter, row by row, the image shifted so that the tap lies on the centre; each (h, w, 3)."""
    height, width = image.shape[:2]
    radius = size // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode=_NUMPY_MODE[border])  # type: ignore[call-overload]
    return [padded[y : y + height, x : x + width] for y in range(size) for x in range(size)]
