"""Local attribution maps (LAM): which LR pixels a detail of the SR image depends on (Gu & Dong 2021, arXiv 2011.11036).

Integrated gradients of a gradient detector D, which measures the detail inside a box of the SR image, along a path from
the blurred to the sharp LR image. The attributions of all pixels sum to D(image) - D(blurred image).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from asid.data.images import RGBImage, check_image
from asid.interpret.gradients import forward

Box = tuple[int, int, int, int]
"""(top, left, height, width) in output pixels."""


@dataclass(frozen=True)
class LocalAttribution:
    """The result of :func:`local_attribution`."""

    signed: NDArray[np.float64]
    """Attributions, float64 (H, W), summed over colours, in units of D; positive where sharpness added detail in the
    box."""
    detail: float
    """D of the network's output for the image."""
    blurred_detail: float
    """D of the network's output for the blurred image."""

    @property
    def absolute(self) -> NDArray[np.float64]:
        """|attribution|, float64 (H, W), as shown in a LAM figure."""
        return np.abs(self.signed)

    @property
    def diffusion_index(self) -> float:
        """See :func:`diffusion_index`."""
        return diffusion_index(self.absolute)

    @property
    def completeness_error(self) -> float:
        """|sum of attributions - change of detail| / |change of detail|: the error of the discrete integral."""
        expected = self.detail - self.blurred_detail
        return float(abs(self.signed.sum() - expected) / abs(expected)) if expected else float("inf")


def local_attribution(
    model: nn.Module, image: RGBImage, box: Box, *, sigma: float = 1.2, steps: int = 50
) -> LocalAttribution:
    """Attribute the detail inside ``box`` of the output to the pixels of the LR image (LAM, section 3.2).

    Args:
        model: From a batch (1, 3, H, W) to (1, 3, sH, sW); see :func:`asid.interpret.gradients.forward`.
        image: LR image, uint8 (H, W, 3) RGB.
        box: (top, left, height, width) in output pixels; the authors use 16×16.
        sigma: Standard deviation of the strongest blur, in LR pixels; 1.2 in the authors' demonstration.
        steps: Number of segments of the path; the gradient is taken at the midpoint of each one.

    Raises:
        ValueError: The image is not uint8 RGB, the box is outside the output, sigma or steps are not positive, or the
            image does not affect the detail at all.
    """
    check_image(image)
    if sigma <= 0 or steps < 1:
        raise ValueError(f"expected sigma above 0 and at least one step, got sigma {sigma} and {steps} steps")
    details = [_detail(model, blur(image / 255, width), box)[1].item() for width in (0.0, sigma)]
    signed = np.zeros(image.shape[:2])
    ends = sigma * np.linspace(1, 0, steps + 1)
    for start, end in pairwise(ends):
        leaf, detail = _detail(model, blur(image / 255, (start + end) / 2, sigma), box)
        (gradient,) = torch.autograd.grad(detail, leaf)
        change = blur(image / 255, end, sigma) - blur(image / 255, start, sigma)
        signed += (gradient[0].permute(1, 2, 0).double().cpu().numpy() * change).sum(axis=2)
    if not signed.any():
        raise ValueError(f"the detail inside the box {box} does not depend on the image: choose a box with more detail")
    return LocalAttribution(signed, *details)


def blur(image: NDArray[np.float64], sigma: float, widest: float | None = None) -> NDArray[np.float64]:
    """Blur an image (H, W, 3) with a Gaussian, mirrored at the border.

    Args:
        image: (H, W, 3).
        sigma: Standard deviation in pixels; 0 returns the image unchanged.
        widest: The kernel is truncated at four times this value, by default ``sigma``. It must be constant along a
            path: otherwise the result would jump whenever the kernel grows by a pixel.
    """
    return gaussian_filter(image, sigma, axes=(0, 1), radius=int(np.ceil(4 * (widest or sigma))))


def detected_detail(output: Tensor, box: Box) -> Tensor:
    """Gradient detector D: the norm of the spatial gradient, summed over the pixels of the box and over colours.

    Gradients are forward differences, and zero across the image's border.

    Args:
        output: A batch (1, 3, sH, sW).
        box: (top, left, height, width) in its pixels.

    Raises:
        ValueError: The box is empty or not inside the output.
    """
    check_box(box, *output.shape[2:])
    top, left, height, width = box
    down = output.diff(dim=2, append=output[:, :, -1:])
    right = output.diff(dim=3, append=output[..., -1:])
    # The gradient of vector_norm is 0 where the image is flat; that of hypot and sqrt would be NaN.
    length = torch.linalg.vector_norm(torch.stack((down, right)), dim=0)
    return length[:, :, top : top + height, left : left + width].sum()


def check_box(box: Box, rows: int, columns: int) -> None:
    """Raise ``ValueError`` if the box is empty or not inside an output of ``rows`` × ``columns`` pixels."""
    top, left, height, width = box
    inside = top >= 0 and left >= 0 and top + height <= rows and left + width <= columns
    if not inside or height < 1 or width < 1:
        raise ValueError(f"expected a box (top, left, height, width) inside the output of {rows}×{columns}, got {box}")


def _detail(model: nn.Module, image: NDArray[np.float64], box: Box) -> tuple[Tensor, Tensor]:
    leaf, output = forward(model, image)
    return leaf, detected_detail(output, box)


def gini(values: NDArray[np.floating]) -> float:
    """Gini coefficient Σᵢⱼ |xᵢ - xⱼ| / (2 n² mean) of non-negative values.

    It is 0 if all values are equal, and 1 - 1/n if all but one are zero.

    Raises:
        ValueError: A value is negative, or all are zero.
    """
    ordered = np.sort(values, axis=None).astype(float)
    if ordered[0] < 0 or ordered[-1] == 0:
        raise ValueError(f"expected non-negative values that are not all zero, got {ordered[0]:g} to {ordered[-1]:g}")
    count = ordered.size
    # The double sum over pairs, by ranks of the sorted values.
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def diffusion_index(attribution: NDArray[np.floating]) -> float:
    """Diffusion index DI = (1 - Gini) · 100 of |attributions| (H, W): large if many pixels contribute (LAM, section 4).

    It depends on the size of the image: compare only values from images of the same size.
    """
    return (1 - gini(np.abs(attribution))) * 100
