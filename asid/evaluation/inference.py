"""Applying a network to an image: value range, whole image or tiles, self-ensemble, precision, memory."""

from collections.abc import Iterator

import numpy as np
import psutil
import torch
from torch import Tensor

from asid.config import InferenceConfig
from asid.data.images import RGBImage, check_image
from asid.model.base import Network
from asid.model.observe import evaluation_mode
from asid.process import keep_freed_memory

_BYTES_PER_LR_PIXEL = 125
"""Peak memory of a forward pass per LR pixel and channel, measured with ASID on an LR image of 960×540."""

_VIEWS = [(turns, flip) for flip in (False, True) for turns in range(4)]
"""The eight flips and rotations of self-ensemble."""


@torch.inference_mode()
def upscale(
    model: Network, image: RGBImage, config: InferenceConfig | None = None, *, batch_tiles: int = 1
) -> RGBImage:
    """Super-resolve one image with ``model``, on the model's device.

    Args:
        model: The network.
        image: LR image, uint8 (H, W, 3) RGB, any H, W ≥ 1.
        config: Tiling, self-ensemble and precision. The global grid depends on the size of the input, so a whole image
            and its tiles give different results. The paper's tables use tiles of 64 with overlap 24.
        batch_tiles: Number of tiles that go through the network at once.

    Returns:
        uint8 (sH, sW, 3). Values are mapped to the range that the weights were trained on and back, clipped, and
        rounded to the nearest level.

    Raises:
        ValueError: ``image`` is not uint8 RGB, the whole image needs more memory than is free, or the output is not
            finite.
    """
    keep_freed_memory()
    check_image(image)
    config = config or InferenceConfig()
    lr = to_tensor(model, image)
    views = _VIEWS if config.ensemble else _VIEWS[:1]
    total: Tensor | None = None
    with evaluation_mode(model):
        for turns, flip in views:
            view = torch.rot90(lr.flip(-1) if flip else lr, turns, (-2, -1))
            sr = torch.rot90(_restore(model, view, config, batch_tiles), -turns, (-2, -1))
            sr = sr.flip(-1) if flip else sr
            total = sr if total is None else total + sr
    assert total is not None
    return _to_image(model, total[0] / len(views))


def to_tensor(model: Network, image: RGBImage) -> Tensor:
    """Convert uint8 (H, W, 3) to a batch (1, 3, H, W) on the CPU, in the value range and dtype of ``model``."""
    low, high = model.value_range
    return (
        torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(next(model.parameters()).dtype) / 255 * (high - low)
        + low
    )


def _to_image(model: Network, sr: Tensor) -> RGBImage:
    low, high = model.value_range
    if not torch.isfinite(sr).all():
        raise ValueError("the output of the network is not finite: its weights are damaged, or too large for 16-mixed")
    return ((sr - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _restore(model: Network, lr: Tensor, config: InferenceConfig, batch_tiles: int) -> Tensor:
    """Super-resolve (1, 3, H, W) to (1, 3, sH, sW), whole or in tiles; both on the CPU, in the model's value range."""
    height, width = lr.shape[-2:]
    if config.tile is None:
        _check_memory(model, height * width)
        return _forward(model, lr, config)
    scale = model.config.scale
    tile_height, tile_width = min(config.tile, height), min(config.tile, width)
    weight = _blend_weight(tile_height * scale, tile_width * scale, config.overlap * scale, config.blend).to(lr.dtype)
    total = torch.zeros(1, 3, height * scale, width * scale, dtype=lr.dtype)
    weights = torch.zeros(1, 1, height * scale, width * scale, dtype=lr.dtype)
    corners = list(tile_corners(height, width, config.tile, config.overlap))
    for first in range(0, len(corners), batch_tiles):
        batch = corners[first : first + batch_tiles]
        tiles = torch.cat([lr[..., y : y + tile_height, x : x + tile_width] for y, x in batch])
        for (y, x), sr in zip(batch, _forward(model, tiles, config), strict=True):
            target = (..., slice(y * scale, (y + tile_height) * scale), slice(x * scale, (x + tile_width) * scale))
            total[target] += sr * weight
            weights[target] += weight
    return total / weights


def _forward(model: Network, lr: Tensor, config: InferenceConfig) -> Tensor:
    device = next(model.parameters()).device
    half = torch.float16 if config.precision == "16-mixed" else torch.bfloat16
    with torch.autocast(device.type, half, enabled=config.precision != "32-true"):
        return model(lr.to(device)).to("cpu", lr.dtype)


def tile_corners(height: int, width: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield the top left corners (y, x) of tiles that cover an image.

    The stride is regular, and the last row and column are flush with the border. All tiles have the same size:
    ``tile``, or the side of the image if that is smaller. Neighbours share at least ``overlap`` pixels.
    """

    def starts(length: int) -> list[int]:
        last = max(0, length - tile)
        return [*range(0, last, tile - overlap), last]

    return ((y, x) for y in starts(height) for x in starts(width))


def _blend_weight(height: int, width: int, overlap: int, blend: str) -> Tensor:
    """Weights (height, width) of an SR tile in overlaps: 1 (mean), or increasing from its border (smooth)."""
    if blend == "mean":
        return torch.ones(height, width)

    def ramp(length: int) -> Tensor:
        from_border = torch.minimum(torch.arange(length), torch.arange(length).flip(0)) + 1
        return (from_border / (overlap + 1)).clamp(max=1)

    return ramp(height)[:, None] * ramp(width)[None, :]


def _check_memory(model: Network, pixels: int) -> None:
    """Refuse a whole image that would not fit into memory, before the machine starts to swap."""
    device = next(model.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    needed = pixels * _BYTES_PER_LR_PIXEL * model.config.num_features
    if needed > free:
        raise ValueError(
            f"the whole image of {pixels} LR pixels needs about {needed / 1e9:.1f} GB, "
            f"but only {free / 1e9:.1f} GB are free: use tiles "
            "(tile 64, overlap 24 as in the paper's tables); the results differ from those of a whole image"
        )
