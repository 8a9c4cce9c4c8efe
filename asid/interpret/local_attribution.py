"""Local attribution map (LAM): which LR pixels a detail of the SR image was made from (Gu & Dong, CVPR 2021, arXiv 2011.11036).

Integrated gradients of a gradient detector D, that measures the detail inside a box of the SR image, along a path on which the
blurred LR image turns sharp. The attributions of all pixels sum to D(image) - D(blurred image).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from asid.data.images import check_image
from asid.interpret.gradients import forward

Box = tuple[int, int, int, int]
"""(top, left, height, width) in output pixels."""


@dataclass(frozen=True)
class LocalAttribution:
    """What :func:`local_attribution` found.

    ``signed`` : float64 (H, W), summed over colours, in units of D; positive where becoming sharp there added detail in the box.
    ``detail``, ``blurred_detail`` : D of the network's output for the image and for the blurred image.
    """

    signed: NDArray[np.float64]
    detail: float
    blurred_detail: float

    @property
    def absolute(self) -> NDArray[np.float64]:
        """|attribution|, float64 (H, W): what LAM shows."""
        return np.abs(self.signed)

    @property
    def diffusion_index(self) -> float:
        """See :func:`diffusion_index`."""
        return diffusion_index(self.absolute)

    @property
    def completeness_error(self) -> float:
        """|sum of the attributions - (detail - blurred detail)| relative to the latter: how far the steps are from the integral."""
        expected = self.detail - self.blurred_detail
        return float(abs(self.signed.sum() - expected) / abs(expected)) if expected else float("inf")


def local_attribution(
    model: nn.Module, image: NDArray[np.uint8], box: Box, *, sigma: float = 1.2, steps: int = 50
) -> LocalAttribution:
    """Attribute the detail inside ``box`` of the output to the pixels of the LR image (LAM, section 3.2).

    Parameters
    ----------
    model : from a batch (1, 3, H, W) to (1, 3, sH, sW) (see :func:`asid.interpret.gradients.forward`).
    image : LR image, uint8 (H, W, 3) RGB.
    box : (top, left, height, width) in output pixels; the authors use 16×16.
    sigma : standard deviation of the strongest blur, in LR pixels; 1.2 in the authors' demonstration.
    steps : parts of the path, one gradient each, taken in its middle.

    Raises
    ------
    ValueError : another kind of image, a box outside the output, sigma or steps that are not positive, or an output that never changes.
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
        raise ValueError(
            f"nothing in this image changes the detail inside the box {box}: choose a box with more detail"
        )
    return LocalAttribution(signed, *details)


def blur(image: NDArray[np.float64], sigma: float, widest: float | None = None) -> NDArray[np.float64]:
    """Gaussian blur of an image (H, W, 3), mirrored at the border. ``sigma`` in pixels; 0: as it is.

    The kernel is cut at four times ``widest`` (``sigma`` by default), the same along a whole path: else it would jump where the
    kernel grows by a pixel.
    """
    return gaussian_filter(image, sigma, axes=(0, 1), radius=int(np.ceil(4 * (widest or sigma))))


def detected_detail(output: Tensor, box: Box) -> Tensor:
    """The gradient detector D of a batch (1, 3, sH, sW): the length of the colour gradients, summed over the box and over colours.

    Forward differences; zero across the image's border. Raises ``ValueError`` for a box that is empty or does not lie in the output.
    """
    top, left, height, width = box
    if not (
        top >= 0
        and left >= 0
        and height >= 1
        and width >= 1
        and top + height <= output.shape[2]
        and left + width <= output.shape[3]
    ):
        raise ValueError(
            f"expected a box (top, left, height, width) inside the output of {output.shape[2]}×{output.shape[3]}, got {box}"
        )
    down = output.diff(dim=2, append=output[:, :, -1:])
    right = output.diff(dim=3, append=output[..., -1:])
    # vector_norm, unlike hypot and sqrt, has the gradient 0 and not NaN where an image is flat.
    length = torch.linalg.vector_norm(torch.stack((down, right)), dim=0)
    return length[:, :, top : top + height, left : left + width].sum()


def _detail(model: nn.Module, image: NDArray[np.float64], box: Box) -> tuple[Tensor, Tensor]:
    leaf, output = forward(model, image)
    return leaf, detected_detail(output, box)


def gini(values: NDArray[np.floating]) -> float:
    """Gini coefficient Σᵢⱼ |xᵢ - xⱼ| / (2 n² mean) of values that are not negative: 0 where all are equal, 1 - 1/n where one has all.

    Raises ``ValueError`` for negative values, or where all are zero.
    """
    ordered = np.sort(values, axis=None).astype(float)
    if ordered[0] < 0 or ordered[-1] == 0:
        raise ValueError(
            f"expected values that are not negative and not all zero, got {ordered[0]:g} to {ordered[-1]:g}"
        )
    count = ordered.size
    # The double sum over pairs, by ranks of the sorted values.
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def diffusion_index(attribution: NDArray[np.floating]) -> float:
    """DI = (1 - Gini) · 100 of |attributions| (H, W): large where many pixels take part (LAM, section 4).

    It depends on the size of the image: compare only what was computed on the same.
    """
    return (1 - gini(np.abs(attribution))) * 100
