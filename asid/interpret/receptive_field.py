"""Effective receptive field: how strongly each input pixel moves one output pixel (Luo et al., NIPS 2016, arXiv 1701.04128).

The theoretical receptive field says which pixels can have an influence at all; the effective one says how much they have, to first
order, around a given image. Attention makes it depend on the image.
"""

from collections.abc import Sequence
from math import hypot

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from asid.data.images import check_image
from asid.evaluation.inference import tile_corners
from asid.interpret.gradients import forward

Pixel = tuple[int, int]


def effective_receptive_field(
    model: nn.Module, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], pixels: Pixel | Sequence[Pixel]
) -> NDArray[np.float64]:
    """The share that each LR pixel has in the gradient of an output pixel.

    Of one output pixel: Σ |∂ output channel / ∂ input channel| over all pairs of channels, divided by its sum over the image. No two
    terms cancel, so that what is zero has no influence to first order.

    Parameters
    ----------
    model : from a batch (1, 3, H, W) to (1, 3, sH, sW) (see :func:`asid.interpret.gradients.forward`).
    images : LR image, uint8 (H, W, 3) RGB, or several of the same size.
    pixels : (row, column) in the output, or several; the mean over all images and pixels is returned, each counting the same.

    Returns
    -------
    float64 (H, W), not negative, sums to 1.

    Raises
    ------
    ValueError : another kind of image, no such pixel, or a pixel that depends on no input.
    """
    stack = np.stack(images) if isinstance(images, Sequence) else images if images.ndim == 4 else images[None]
    fields = [_field(model, image, (int(row), int(column))) for image in stack for row, column in np.atleast_2d(pixels)]
    return np.mean(fields, axis=0)


def _field(model: nn.Module, image: NDArray[np.uint8], pixel: Pixel) -> NDArray[np.float64]:
    check_image(image)
    leaf, output = forward(model, image / 255)
    row, column = pixel
    height, width = output.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"expected an output pixel from (0, 0) to ({height - 1}, {width - 1}), got ({row}, {column})")
    total = torch.zeros(leaf.shape[-2:], dtype=torch.float64)
    for value in output[0, :, row, column]:
        (gradient,) = torch.autograd.grad(value, leaf, retain_graph=True)
        total += gradient[0].abs().sum(0).double().cpu()
    if not total.any():
        raise ValueError(f"the output at ({row}, {column}) depends on no pixel of this image: choose another pixel")
    return (total / total.sum()).numpy()


def reached_share(field: NDArray[np.floating]) -> float:
    """Share of the pixels of a map (H, W) that are not zero, in [0, 1]: what influences the output at all."""
    return float(np.count_nonzero(field) / field.size)


def holding_pixels(field: NDArray[np.floating], share: float) -> int:
    """The fewest pixels of a map (H, W) that hold ``share`` (in [0, 1]) of its sum, wherever they lie. A square of side n has n²."""
    strongest = np.sort(field, axis=None)[::-1].cumsum()
    return _first(strongest, share) + 1


def holding_radius(field: NDArray[np.floating], centre: Pixel, share: float) -> float:
    """Radius in pixels of the smallest disc around the pixel ``centre`` of a map (H, W) that holds ``share`` of its sum.

    0 where the pixel alone holds it. What a border cuts off is not made up for.
    """
    rows, columns = np.indices(field.shape)
    distances = np.hypot(rows - centre[0], columns - centre[1]).ravel()
    order = distances.argsort(kind="stable")
    return float(distances[order][_first(field.ravel()[order].cumsum(), share)])


def _first(cumulated: NDArray[np.floating], share: float) -> int:
    """Index at which a cumulated sum first reaches ``share`` of its last value, rounding errors forgiven."""
    return int(np.argmax(cumulated >= (share - 1e-12) * cumulated[-1]))


def summarise_field(field: NDArray[np.floating], centre: Pixel) -> dict[str, float]:
    """An effective receptive field in a few numbers: radii and numbers of LR pixels that hold 50 and 95 %, and the share reached (%)."""
    radii = {f"radius {share:.0%}": holding_radius(field, centre, share) for share in (0.5, 0.95)}
    pixels = {f"pixels {share:.0%}": float(holding_pixels(field, share)) for share in (0.5, 0.95)}
    return {**radii, **pixels, "reached %": 100 * reached_share(field)}


def tile_around(pixel: Pixel, height: int, width: int, tile: int, overlap: int = 24) -> tuple[slice, slice]:
    """The tile of tiled inference (:func:`asid.evaluation.inference.upscale`) whose middle is nearest to an LR pixel, as rows and columns.

    Where the image is smaller than a tile, all of it. The tile is one that inference would cut, not one centred on the pixel: windows
    lie where they lie then.
    """
    sides = min(tile, height), min(tile, width)

    def distance(corner: Pixel) -> float:
        return hypot(*(start + (side - 1) / 2 - at for start, side, at in zip(corner, sides, pixel, strict=True)))

    top, left = min(tile_corners(height, width, tile, overlap), key=distance)
    return slice(top, top + sides[0]), slice(left, left + sides[1])
