"""Large photographs: they go through a network in tiles, which are counted as they leave it, and can be stopped."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asid.config import InferenceConfig
from asid.evaluation.inference import tile_corners
from asid.model.base import Network

WHOLE = 512
"""Longest side of an LR image, in pixels, that goes through a network whole if nothing else is asked for."""
TILES = InferenceConfig(tile=256)
"""How larger ones do: with less memory, and in less time, than whole."""

OnTile = Callable[[int, int], None]
"""Called after each tile with the number of tiles that are done and of all; what it raises stops the work."""


def fit_tiles(config: InferenceConfig, height: int, width: int) -> InferenceConfig:
    """The configuration with the tiles of :data:`TILES` if it has none and an LR image of this size is large."""
    if config.tile is not None or max(height, width) <= WHOLE:
        return config
    return config.override(tile=TILES.tile, overlap=TILES.overlap)


def count_tiles(config: InferenceConfig, height: int, width: int) -> int:
    """The number of times that a tile of an LR image, or the whole of it, goes through the network."""
    tiles = sum(1 for _ in tile_corners(height, width, config.tile, config.overlap)) if config.tile else 1
    return tiles * (8 if config.ensemble else 1)


@contextmanager
def watched(network: Network, total: int, on_tile: OnTile) -> Iterator[None]:
    """Inside, ``on_tile`` is called after each tile that :func:`asid.evaluation.inference.upscale` restores.

    Args:
        network: The network that is applied.
        total: See :func:`count_tiles`; of all images that are restored inside.
        on_tile: See :data:`OnTile`. Tiles that another thread restores with the same network are not its own.
    """
    done, owner = 0, threading.get_ident()

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal done
        if threading.get_ident() != owner:
            return
        done += len(output)
        on_tile(done, total)

    handle = network.register_forward_hook(count)
    try:
        yield
    finally:
        handle.remove()
