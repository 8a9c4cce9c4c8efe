"""A network as a differentiable function of an image in [0, 1], whatever value range its weights expect."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asid.model.base import UNIT_RANGE
from asid.model.observe import evaluation_mode


def apply(model: nn.Module, images: Tensor) -> Tensor:
    """Apply ``model`` in evaluation mode to a batch (B, 3, H, W) in [0, 1]: (B, 3, sH, sW) in [0, 1], not clipped.

    Args:
        model: From (B, 3, H, W) to (B, 3, sH, sW), both in ``model.value_range``, or in [0, 1] if the model does not
            have this attribute.
        images: On any device, in any float dtype; the model gets them on its own, and in its own.

    Raises:
        ValueError: The output is not a batch of RGB images.
    """
    parameter = next(model.parameters(), torch.empty(0))
    low, high = getattr(model, "value_range", UNIT_RANGE)
    with evaluation_mode(model):
        output = model(images.to(parameter.device, parameter.dtype) * (high - low) + low)
    if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[:2] != images.shape[:2]:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"expected a model that returns one RGB image for each input, ({len(images)}, 3, sH, sW), got {shape}"
        )
    return (output - low) / (high - low)


def forward(model: nn.Module, image: NDArray[np.floating]) -> tuple[Tensor, Tensor]:
    """Run ``model`` on an image, in evaluation mode, so that gradients with respect to the image can be taken.

    Args:
        model: See :func:`apply`.
        image: (H, W, 3) RGB in [0, 1].

    Returns:
        The image as a leaf tensor (1, 3, H, W) and the output (1, 3, sH, sW), both in [0, 1], on the model's device and
        in its dtype.

    Raises:
        ValueError: The output is not a batch of one RGB image.
    """
    parameter = next(model.parameters(), torch.empty(0))
    leaf = torch.from_numpy(image).permute(2, 0, 1)[None].to(parameter.device, parameter.dtype).requires_grad_()
    with torch.enable_grad():
        return leaf, apply(model, leaf)
