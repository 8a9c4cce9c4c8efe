"""MATLAB's bicubic ``imresize``, bit for bit on uint8 images.

Keys' cubic kernel with a = -0.5 (Keys 1981), widened by 1/scale when shrinking (anti-aliasing), with weights normalised
for each output pixel; rows first, then columns. uint8 images are rounded half up and clipped to uint8 after each of the
two passes. Recent versions of MATLAB mirror the image at its border (``symmetric``), older ones repeat the last pixel
(``replicate``).
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asid.config import Border


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5 and support [-2, 2]."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@lru_cache(maxsize=64)
def _weights(
    length: int, out_length: int, scale: Fraction, border: Border
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Source indices and their weights, each (out_length, taps), for one dimension."""
    factor = float(scale)
    stretch = min(factor, 1.0)
    support = 4 / stretch
    centre = np.arange(1, out_length + 1) / factor + 0.5 * (1 - 1 / factor)  # 1-based, as in MATLAB
    left = np.floor(centre - support / 2)
    taps = int(np.ceil(support)) + 2
    position = left[:, None] + np.arange(taps)[None, :]
    weight = stretch * _cubic(stretch * (centre[:, None] - position))
    weight /= weight.sum(axis=1, keepdims=True)
    index = position.astype(np.intp) - 1
    if border == "symmetric":
        index = np.mod(index, 2 * length)
        index = np.where(index < length, index, 2 * length - 1 - index)
    else:
        index = np.clip(index, 0, length - 1)
    used = weight.any(axis=0)
    return index[:, used], weight[:, used]


def _resize_rows(image: NDArray, out_length: int, scale: Fraction, border: Border) -> NDArray:
    """Resize along the first dimension."""
    index, weight = _weights(image.shape[0], out_length, scale, border)
    out = np.zeros((out_length, *image.shape[1:]))
    for tap in range(index.shape[1]):
        out += weight[:, tap].reshape(-1, *[1] * (image.ndim - 1)) * image[index[:, tap]]
    if image.dtype == np.uint8:
        return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8)
    return out


def imresize(image: NDArray, scale: Fraction | int, border: Border = "symmetric") -> NDArray:
    """Resize like MATLAB's ``imresize(image, scale)`` with its default bicubic method.

    Args:
        image: (H, W) or (H, W, channels), uint8 or floating point.
        scale: Factor, e.g. ``Fraction(1, 2)`` or 2.
        border: How the image continues beyond its border.

    Returns:
        (ceil(H · scale), ceil(W · scale), …); uint8 for uint8 images, otherwise float64, not rounded.
    """
    scale = Fraction(scale)
    height, width = (-(-side * scale.numerator // scale.denominator) for side in image.shape[:2])
    rows = _resize_rows(image, height, scale, border)
    return np.swapaxes(_resize_rows(np.swapaxes(rows, 0, 1), width, scale, border), 0, 1)


def crop_to_multiple(image: NDArray, scale: int) -> NDArray:
    """Crop (H, W, …) at the right and bottom so that ``scale`` divides both sides.

    Raises:
        ValueError: The image is smaller than ``scale`` in one dimension.
    """
    height, width = (side - side % scale for side in image.shape[:2])
    if not height or not width:
        raise ValueError(
            f"expected an image of at least {scale}×{scale} pixels for scale {scale}, "
            f"got {image.shape[0]}×{image.shape[1]}"
        )
    return image[:height, :width]


def downscale(hr: NDArray, scale: int, border: Border = "symmetric") -> NDArray:
    """Make the LR image of an HR image whose sides are multiples of ``scale``, as all benchmarks do."""
    return imresize(hr, Fraction(1, scale), border)


def bicubic_upscale(lr: NDArray, scale: int, border: Border = "symmetric") -> NDArray:
    """Enlarge an LR image by bicubic interpolation: the baseline at the top of every super-resolution table."""
    return imresize(lr, scale, border)
