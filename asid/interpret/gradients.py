"""A network as a differentiable function of an image in [0, 1], whatever value range its weights expect."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asid.model.base import UNIT_RANGE
from asid.model.observe import evaluation_mode


def forward(model: nn.Module, image: NDArray[np.floating]) -> tuple[Tensor, Tensor]:
    """Run ``model`` on an image, in evaluation mode, so that gradients with respect to the image can be taken.

    Args:
        model: From a batch (1, 3, H, W) to (1, 3, sH, sW), both in ``model.value_range``, or in [0, 1] if the model
            does not have this attribute.
        image: (H, W, 3) RGB in [0, 1].

    Returns:
        The image as a leaf tensor (1, 3, H, W) and the output (1, 3, sH, sW), both in [0, 1], on the model's device and
        in its dtype.

    Raises:
        ValueError: The output is not a batch of one RGB image.
    """
    parameter = next(model.parameters(), torch.empty(0))
    leaf = torch.from_numpy(image).permute(2, 0, 1)[None].to(parameter.device, parameter.dtype).requires_grad_()
    low, high = getattr(model, "value_range", UNIT_RANGE)
    with evaluation_mode(model), torch.enable_grad():
        output = (model(leaf * (high - low) + low) - low) / (high - low)
    if output.ndim != 4 or output.shape[:2] != (1, 3):
        raise ValueError(f"expected a model that returns one RGB image as (1, 3, sH, sW), got {tuple(output.shape)}")
    return leaf, output
