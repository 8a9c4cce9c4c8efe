"""Attention maps as images: arrays in, arrays out."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from asid.inference import to_tensor
from asid.model.attention import SpatialAttentionLayer
from asid.model.network import ASID


@torch.no_grad()
def spatial_attention(
    model: ASID, image: NDArray[np.uint8], pixel: tuple[int, int], *, group: int = 0, step: int = 0, layer: int = 0
) -> NDArray[np.float32]:
    """What one pixel attends to in one spatial attention layer.

    Parameters
    ----------
    model : the network.
    image : LR image, uint8 (H, W, 3) RGB.
    pixel : (row, column) of the query in the LR image.
    group, step, layer : which layer, each from 0; layer j is ``config.spatial_windows[j]``.

    Returns
    -------
    float32 (H, W): the attention of the query on each pixel, zero outside its window. It sums to one, less what falls on padding.

    Raises
    ------
    ValueError : no such pixel or layer.
    """
    height, width = image.shape[:2]
    config = model.config
    if not config.spatial_windows:
        raise ValueError("this network has no spatial attention: its spatial_windows are empty")
    for name, index, count in (
        ("row", pixel[0], height),
        ("column", pixel[1], width),
        ("group", group, config.num_groups),
        ("step", step, config.distillation_steps),
        ("layer", layer, len(config.spatial_windows)),
    ):
        if not 0 <= index < count:
            raise ValueError(f"expected a {name} from 0 to {count - 1}, got {index}")
    lr = to_tensor(model, image).to(next(model.parameters()).device)
    padded_height, padded_width = model.pad(lr).shape[-2:]
    _, maps = model.eval()(lr, return_attention=True)
    # The window that splits features into tokens also says where each token was.
    attention_layer = cast(SpatialAttentionLayer, model.get_submodule(f"groups.{group}.block.steps.{step}.spatial.{layer}"))
    window = attention_layer.window
    positions = window.split(torch.arange(padded_height * padded_width).reshape(1, 1, padded_height, padded_width))[..., 0]  # (n, T)
    query = (positions == pixel[0] * padded_width + pixel[1]).nonzero()[0]
    spread = torch.zeros(padded_height * padded_width)
    spread[positions[query[0]]] = maps.spatial[group][step][layer][query[0], query[1]].float().cpu()
    return spread.reshape(padded_height, padded_width)[:height, :width].numpy()
