"""Effective receptive field: how strongly input pixels affect an output pixel (Luo et al. 2016, arXiv 1701.04128).

The theoretical receptive field says which pixels can have an influence at all; the effective one says how much, to
first order, around a given image. With attention it depends on the image.
"""

from collections.abc import Sequence
from math import hypot

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from asid.data.images import RGBImage, check_image
from asid.evaluation.inference import tile_corners
from asid.interpret.gradients import forward

Pixel = tuple[int, int]
"""Row and column, from 0."""


def effective_receptive_field(
    model: nn.Module, images: RGBImage | Sequence[RGBImage], pixels: Pixel | Sequence[Pixel]
) -> NDArray[np.float64]:
    """Compute the share of each LR pixel in the gradient of an output pixel.

    For one output pixel: Σ |∂ output channel / ∂ input channel| over all pairs of channels, divided by its sum over the
    image. Terms cannot cancel, so a pixel with 0 has no influence to first order.

    Args:
        model: From a batch (1, 3, H, W) to (1, 3, sH, sW); see :func:`asid.interpret.gradients.forward`.
        images: An LR image, uint8 (H, W, 3) RGB, or several of the same size.
        pixels: (row, column) in the output, or several. The fields of all images and pixels are averaged with equal
            weight.

    Returns:
        float64 (H, W), not negative; sums to 1.

    Raises:
        ValueError: An image is not uint8 RGB, a pixel is outside the output, or it does not depend on the input.
    """
    stack = np.stack(images) if isinstance(images, Sequence) else images if images.ndim == 4 else images[None]
    at = [(int(row), int(column)) for row, column in np.atleast_2d(pixels)]
    return np.mean(
        [fields.at(pixel) for fields in (ReceptiveFields(model, image) for image in stack) for pixel in at], 0
    )


class ReceptiveFields:
    """The effective receptive fields of the pixels of one output. It keeps the forward pass: each field is a backward.

    Args:
        model: See :func:`effective_receptive_field`.
        image: LR image, uint8 (H, W, 3) RGB.
    """

    def __init__(self, model: nn.Module, image: RGBImage) -> None:
        check_image(image)
        self._leaf, self._output = forward(model, image / 255)

    def at(self, pixel: Pixel) -> NDArray[np.float64]:
        """The field of an output pixel; see :func:`effective_receptive_field`."""
        row, column = pixel
        height, width = self._output.shape[-2:]
        if not (0 <= row < height and 0 <= column < width):
            last = (height - 1, width - 1)
            raise ValueError(f"expected an output pixel from (0, 0) to {last}, got ({row}, {column})")
        total = torch.zeros(self._leaf.shape[-2:], dtype=torch.float64)
        for value in self._output[0, :, row, column]:
            (gradient,) = torch.autograd.grad(value, self._leaf, retain_graph=True)
            total += gradient[0].abs().sum(0).double().cpu()
        if not total.any():
            raise ValueError(f"the output at ({row}, {column}) depends on no pixel of this image: choose another pixel")
        return (total / total.sum()).numpy()


def nonzero_share(field: NDArray[np.floating]) -> float:
    """Return the share of the pixels of a map (H, W) that are not zero, in [0, 1]: those with any influence."""
    return float(np.count_nonzero(field) / field.size)


def pixels_holding(field: NDArray[np.floating], share: float) -> int:
    """Count the fewest pixels of a map (H, W) that hold ``share`` (in [0, 1]) of its sum, wherever they are."""
    strongest = np.sort(field, axis=None)[::-1].cumsum()
    return _first(strongest, share) + 1


def radius_holding(field: NDArray[np.floating], centre: Pixel, share: float) -> float:
    """Find the radius in pixels of the smallest disc around ``centre`` that holds ``share`` of the sum of a map (H, W).

    It is 0 if the centre alone holds it. Nothing is added for the part of a disc that is outside the image.
    """
    rows, columns = np.indices(field.shape)
    distances = np.hypot(rows - centre[0], columns - centre[1]).ravel()
    order = distances.argsort(kind="stable")
    return float(distances[order][_first(field.ravel()[order].cumsum(), share)])


def _first(cumulated: NDArray[np.floating], share: float) -> int:
    """Index at which a cumulative sum first reaches ``share`` of its last value, up to rounding errors."""
    return int(np.argmax(cumulated >= (share - 1e-12) * cumulated[-1]))


def summarise_field(field: NDArray[np.floating], centre: Pixel) -> dict[str, float]:
    """Summarise an effective receptive field (H, W) around ``centre``.

    Returns:
        ``radius 50%`` and ``radius 95%``: see :func:`radius_holding`; ``pixels 50%`` and ``pixels 95%``: see
        :func:`pixels_holding`; ``reached %``: percentage of pixels with any influence.
    """
    radii = {f"radius {share:.0%}": radius_holding(field, centre, share) for share in (0.5, 0.95)}
    pixels = {f"pixels {share:.0%}": float(pixels_holding(field, share)) for share in (0.5, 0.95)}
    return {**radii, **pixels, "reached %": 100 * nonzero_share(field)}


def tile_around(pixel: Pixel, height: int, width: int, tile: int, overlap: int = 24) -> tuple[slice, slice]:
    """Find the tile of tiled inference whose centre is nearest to an LR pixel.

    It is one of the tiles of :func:`asid.evaluation.inference.upscale`, not a tile centred on the pixel, because
    windows are aligned to the tile.

    Args:
        pixel: Row and column in the LR image.
        height: Height of the LR image.
        width: Width of the LR image.
        tile: Side of the tiles; a smaller image is one tile.
        overlap: Overlap of neighbouring tiles.

    Returns:
        The rows and columns of the tile.
    """
    sides = min(tile, height), min(tile, width)

    def distance(corner: Pixel) -> float:
        return hypot(*(start + (side - 1) / 2 - at for start, side, at in zip(corner, sides, pixel, strict=True)))

    top, left = min(tile_corners(height, width, tile, overlap), key=distance)
    return slice(top, top + sides[0]), slice(left, left + sides[1])
