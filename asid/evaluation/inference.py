"""Applying a network to an image: value range, whole image or tiles, self-ensemble, precision, memory.

Tiles are a stream: of a large image only the tiles that reach into the rows in work are kept, and finished rows become
uint8 at once.
"""

from collections.abc import Iterator
from math import prod

import numpy as np
import psutil
import torch
from torch import Tensor

from asid.config import InferenceConfig, ModelConfig
from asid.data.images import RGBImage, check_image
from asid.model.base import Network
from asid.model.observe import evaluation_mode
from asid.process import keep_freed_memory

_BYTES_PER_CHANNEL = 82
"""Memory of the feature maps in a forward pass, per LR pixel and channel: peak measured with ASID on 960×540."""

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
        ValueError: ``image`` is not uint8 RGB, more memory is needed than is free, or the output is not finite.
    """
    keep_freed_memory()
    check_image(image)
    config = config or InferenceConfig()
    (height, width), scale = image.shape[:2], model.config.scale
    _check_memory(model, height, width, config, batch_tiles)
    views = [_View(model, image, config, turns, flip) for turns, flip in (_VIEWS if config.ensemble else _VIEWS[:1])]
    sr = np.empty((height * scale, width * scale, 3), np.uint8)
    step = _rows_at_once(config, height)
    with evaluation_mode(model):
        for top in range(0, height, step):
            bottom = min(top + step, height)
            total = views[0].restore(top, bottom, batch_tiles)
            for view in views[1:]:
                total += view.restore(top, bottom, batch_tiles)
            sr[top * scale : bottom * scale] = _to_pixels(model, total.div_(len(views)))
    return sr


def to_tensor(model: Network, image: RGBImage) -> Tensor:
    """Convert uint8 (H, W, 3) to a batch (1, 3, H, W) on the CPU, in the value range and dtype of ``model``."""
    low, high = model.value_range
    return (
        torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(next(model.parameters()).dtype) / 255 * (high - low)
        + low
    )


def _to_pixels(model: Network, sr: Tensor) -> RGBImage:
    """Values (3, h, w), which are overwritten, as uint8 (h, w, 3)."""
    low, high = model.value_range
    if not torch.isfinite(sr).all():
        raise ValueError("the output of the network is not finite: its weights are damaged, or too large for 16-mixed")
    levels = sr.sub_(low).div_(high - low).clamp_(0, 1).mul_(255).round_()
    return levels.to(torch.uint8).permute(1, 2, 0).numpy()


class _View:
    """One flip or rotation of an image, restored tile by tile, from top to bottom of the image.

    Where tiles overlap they are added in the order of the view's rows, whatever the order in which they are computed.

    Args:
        model: The network.
        image: uint8 (H, W, 3).
        config: Tiles, blending and precision.
        turns: Quarter turns, anticlockwise.
        flip: Whether left and right are exchanged, before the turns.
    """

    def __init__(self, model: Network, image: RGBImage, config: InferenceConfig, turns: int, flip: bool) -> None:
        self.model, self.image, self.config, self.turns, self.flip = model, image, config, turns, flip
        self.scale, dtype = model.config.scale, next(model.parameters()).dtype
        self.tile = _tile_size(config, *image.shape[:2])
        height, width = (side * self.scale for side in self.tile)
        blend = config.blend if config.tile else "mean"
        self.weight = _blend_weight(height, width, config.overlap * self.scale, blend).to(dtype)
        self.waiting = sorted(enumerate(self._corners()), key=lambda tile: tile[1], reverse=True)
        self.restored: dict[int, tuple[int, int, Tensor]] = {}
        """Tiles that reach into rows to come, by their place in the view: top, left and values (3, h, w)."""

    def restore(self, top: int, bottom: int, batch_tiles: int) -> Tensor:
        """The rows from ``top`` to ``bottom`` (in LR pixels) of the SR image, as (3, h, w) in the model's value range.

        The next call must go on at ``bottom``.
        """
        while ready := [tile for tile in self.waiting[-batch_tiles:] if tile[1][0] < bottom]:
            del self.waiting[-len(ready) :]
            self._put_through(ready)
        s, (height, width) = self.scale, self.tile
        total = torch.zeros(3, (bottom - top) * s, self.image.shape[1] * s, dtype=self.weight.dtype)
        weights = torch.zeros(total.shape[1:], dtype=total.dtype)
        for place in sorted(self.restored):
            y, x, sr = self.restored[place]
            first, last = max(y, top), min(y + height, bottom)
            rows, columns = slice((first - top) * s, (last - top) * s), slice(x * s, (x + width) * s)
            inside = slice((first - y) * s, (last - y) * s)
            total[:, rows, columns] += sr[:, inside] * self.weight[inside]
            weights[rows, columns] += self.weight[inside]
            if last == y + height:
                del self.restored[place]
        return total.div_(weights)

    def _corners(self) -> Iterator[tuple[int, int]]:
        """Top left corners (y, x) in the image of the view's tiles, row by row of the view."""
        (height, width), (tile_height, tile_width) = self.image.shape[:2], self.tile
        sides = (width, height) if self.turns % 2 else (height, width)
        tiling = (self.config.tile, self.config.overlap) if self.config.tile else (max(sides), 0)
        for i, j in tile_corners(*sides, *tiling):
            below, right = height - tile_height, width - tile_width
            y, x = [(i, j), (j, right - i), (below - i, right - j), (below - j, i)][self.turns]
            yield y, right - x if self.flip else x

    def _put_through(self, batch: list[tuple[int, tuple[int, int]]]) -> None:
        """Restore tiles, given by their place in the view and their corner, as one batch."""
        height, width = self.tile
        tiles = (self.image[y : y + height, x : x + width] for _, (y, x) in batch)
        views = (np.rot90(tile[:, ::-1] if self.flip else tile, self.turns) for tile in tiles)
        lr = torch.cat([to_tensor(self.model, view) for view in views])
        for (place, (y, x)), sr in zip(batch, _forward(self.model, lr, self.config), strict=True):
            turned = torch.rot90(sr, -self.turns, (-2, -1))
            self.restored[place] = (y, x, turned.flip(-1) if self.flip else turned)


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
    return ((y, x) for y in _starts(height, tile, overlap) for x in _starts(width, tile, overlap))


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side of an image."""
    last = max(0, length - tile)
    return [*range(0, last, tile - overlap), last]


def _blend_weight(height: int, width: int, overlap: int, blend: str) -> Tensor:
    """Weights (height, width) of an SR tile in overlaps: 1 (mean), or increasing from its border (smooth)."""
    if blend == "mean":
        return torch.ones(height, width)

    def ramp(length: int) -> Tensor:
        from_border = torch.minimum(torch.arange(length), torch.arange(length).flip(0)) + 1
        return (from_border / (overlap + 1)).clamp(max=1)

    return ramp(height)[:, None] * ramp(width)[None, :]


def _tile_size(config: InferenceConfig, height: int, width: int) -> tuple[int, int]:
    """Height and width of the tiles of an image of this size, in LR pixels."""
    return (min(config.tile, height), min(config.tile, width)) if config.tile else (height, width)


def _rows_at_once(config: InferenceConfig, height: int) -> int:
    """Rows of an image that are finished together, in LR pixels: with tiles those of a row of tiles, or half of it."""
    return max(config.tile - config.overlap, config.tile // 2) if config.tile else height


def _check_memory(model: Network, height: int, width: int, config: InferenceConfig, batch_tiles: int) -> None:
    """Refuse an image that would not fit into memory, before the machine starts to swap."""
    parameter = next(model.parameters())
    on_gpu = parameter.device.type == "cuda"
    tile, rows = _tile_size(config, height, width), _rows_at_once(config, height)
    across, down = ([0], [0])
    if config.tile:
        across, down = (_starts(side, config.tile, config.overlap) for side in (width, height))
    kept = sum(y < tile[0] + rows for y in down) * len(across)
    level, value = 3 * model.config.scale**2, 3 * model.config.scale**2 * parameter.element_size()  # bytes a LR pixel
    in_network = min(batch_tiles, kept) * prod(model.padded_size(*tile)) * (_bytes_per_pixel(model) + value)
    beside = (8 if config.ensemble else 1) * kept * prod(tile) * value + (height * level + 3 * rows * value) * width
    free = psutil.virtual_memory().available
    demands = [(in_network + beside, free)]
    if on_gpu:
        demands = [(in_network, torch.cuda.mem_get_info(parameter.device)[0]), (beside, free)]
    for needed, free in demands:
        if needed > free:
            tiles = f"tiles of {config.tile} with overlap {config.overlap}, {batch_tiles} at once"
            raise ValueError(
                f"{tiles if config.tile else 'the whole image'} of {width}×{height} LR pixels: expected about "
                f"{needed / 1e9:.1f} GB of memory, got {free / 1e9:.1f} GB that are free; {_remedy(config)}"
            )


def _remedy(config: InferenceConfig) -> str:
    if config.tile:
        return "use smaller tiles, less overlap, or fewer tiles at once, or cut the image into parts"
    return "use tiles (tile 64, overlap 24 as in the paper's tables): their results differ from those of a whole image"


def _bytes_per_pixel(model: Network) -> int:
    """Peak memory of a forward pass per LR pixel: feature maps, and attention maps, which groups keep and share."""
    config = model.config
    if not isinstance(config, ModelConfig) or not config.spatial_windows:
        return _BYTES_PER_CHANNEL * config.num_features
    sides = {"meso": config.window_size, "global": config.global_size}
    tokens = [sides[kind] ** 2 for kind in config.spatial_windows]
    sets = (
        2 if any(config.makes_maps(group) for group in range(1, config.num_groups)) else 1
    )  # the old and the new ones
    maps = sets * config.distillation_steps * sum(tokens) + 2 * max(tokens)  # also those that are being computed
    return _BYTES_PER_CHANNEL * config.num_features + 4 * maps
