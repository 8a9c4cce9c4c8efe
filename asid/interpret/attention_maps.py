"""The attention maps of one image: the map of a pixel, and statistics over all pixels.

G groups, S distillation steps, L layers per step (``config.spatial_windows``); n windows of T pixels each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from asid.config import ModelConfig
from asid.data.images import RGBImage
from asid.evaluation.inference import to_tensor
from asid.model.base import Network
from asid.model.network import ASID
from asid.model.observe import evaluation_mode
from asid.model.windows import AttentionWindow, channel_window, spatial_window

Array = NDArray[np.float32]
Pixel = tuple[int, int]
"""Row and column in the LR image, from 0."""


def layer_names(config: ModelConfig) -> list[str]:
    """Name the spatial layers of a step: ``meso``, ``global grid``, ``window 16``; repeated names are numbered."""
    global_name = "global grid" if config.global_kind == "grid" else f"window {config.global_size}"
    names = ["meso" if kind == "meso" else global_name for kind in config.spatial_windows]
    return [
        f"{name} {names[: position + 1].count(name)}" if names.count(name) > 1 else name
        for position, name in enumerate(names)
    ]


@dataclass(frozen=True)
class ImageAttentionMaps:
    """The attention maps of one LR image, from one forward pass (:func:`extract_attention_maps`).

    The rows of a map are queries, and sum to 1.
    """

    config: ModelConfig
    size: tuple[int, int]
    """Height and width of the LR image."""
    padded: tuple[int, int]
    """Height and width inside the network: zeros are padded at the right and the bottom."""
    spatial_maps: tuple[tuple[tuple[Array, ...], ...], ...]
    """``spatial_maps[group][step][layer]``, float32 (n, T, T). A group that shares has the same array as the group that
    computed it."""
    channel_maps: tuple[tuple[Array, ...], ...]
    """``channel_maps[group][layer]``, float32 (n, C, C)."""

    def source_group(self, group: int) -> int:
        """Return the group that computed the maps of ``group``: itself, or with attention sharing an earlier one."""
        return max(source for source in range(group + 1) if self.config.makes_maps(source))

    def spatial(self, pixel: Pixel, *, group: int = 0, step: int = 0, layer: int = 0) -> Array:
        """Return the attention of ``pixel``: float32 (H, W), zero outside its window.

        It sums to 1, less the share that falls on padding.

        Raises:
            ValueError: The pixel, group, step or layer does not exist.
        """
        self._check(pixel, group=group, step=step, layer=layer)
        token_pixels = self._token_pixels(layer)
        query = self._find_token(token_pixels, pixel)
        attention = np.zeros(self.padded[0] * self.padded[1], np.float32)
        attention[token_pixels[query[0]]] = self.spatial_maps[group][step][layer][query]
        return attention.reshape(self.padded)[: self.size[0], : self.size[1]]

    def relative(self, pixel: Pixel, *, group: int = 0, step: int = 0, layer: int = 0) -> Array:
        """Return :meth:`spatial` as a multiple of uniform attention, 1 / T per pixel: float32 (H, W), in [0, T]."""
        tokens = self.spatial_maps[group][step][layer].shape[-1]
        return self.spatial(pixel, group=group, step=step, layer=layer) * tokens

    def window(self, pixel: Pixel, *, layer: int = 0) -> NDArray[np.bool_]:
        """Return which pixels share a window with ``pixel``: bool (H, W)."""
        self._check(pixel, layer=layer)
        token_pixels = self._token_pixels(layer)
        inside = np.zeros(self.padded[0] * self.padded[1], bool)
        inside[token_pixels[self._find_token(token_pixels, pixel)[0]]] = True
        return inside.reshape(self.padded)[: self.size[0], : self.size[1]]

    def around(self, pixel: Pixel, *, layer: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Return the attention of ``pixel`` in all groups and steps, inside its window.

        Returns:
            The rows (r,) and columns (c,) of the window's pixels, and the attention as a multiple of uniform attention:
            float32 (G, S, r, c). Padding is left out.

        Raises:
            ValueError: The pixel or layer does not exist.
        """
        self._check(pixel, layer=layer)
        token_pixels = self._token_pixels(layer)
        window, query = self._find_token(token_pixels, pixel)
        rows, columns = np.divmod(token_pixels[window], self.padded[1])
        tokens = np.flatnonzero((rows < self.size[0]) & (columns < self.size[1]))
        tokens = tokens[np.lexsort((columns[tokens], rows[tokens]))]
        attention = np.array([[step[layer][window, query] for step in group] for group in self.spatial_maps])
        rows, columns = np.unique(rows[tokens]), np.unique(columns[tokens])
        shape = (*attention.shape[:2], len(rows), len(columns))
        return rows, columns, (attention[..., tokens] * attention.shape[-1]).reshape(shape)

    def channel(self, pixel: Pixel, *, group: int = 0, layer: int = 0) -> Array:
        """Return the map between channels, float32 (C, C), of the channel attention window that contains ``pixel``.

        Raises:
            ValueError: The pixel, group or layer does not exist.
        """
        if not self.config.channel_windows:
            raise ValueError("this network has no channel attention: its channel_windows are empty")
        _check_range("layer", layer, len(self.config.channel_windows))
        self._check(pixel, group=group)
        token_pixels = _pixels_of_tokens(channel_window(self.config, self.config.channel_windows[layer]), *self.padded)
        return self.channel_maps[group][layer][self._find_token(token_pixels, pixel)[0]]

    def image_tokens(self, layer: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return the row and column of each token of a layer, and whether it is inside the image: (n, T) each."""
        rows, columns = np.divmod(self._token_pixels(layer), self.padded[1])
        return rows, columns, (rows < self.size[0]) & (columns < self.size[1])

    def _token_pixels(self, layer: int) -> NDArray[np.int64]:
        return _pixels_of_tokens(spatial_window(self.config, self.config.spatial_windows[layer]), *self.padded)

    def _find_token(self, token_pixels: NDArray[np.int64], pixel: Pixel) -> tuple[int, int]:
        """The window that contains ``pixel``, and the position of its token in it."""
        window, token = np.argwhere(token_pixels == pixel[0] * self.padded[1] + pixel[1])[0]
        return int(window), int(token)

    def _check(self, pixel: Pixel, *, group: int = 0, step: int = 0, layer: int | None = None) -> None:
        if layer is not None:
            if not self.config.spatial_windows:
                raise ValueError("this network has no spatial attention: its spatial_windows are empty")
            _check_range("layer", layer, len(self.config.spatial_windows))
        _check_range("row", pixel[0], self.size[0])
        _check_range("column", pixel[1], self.size[1])
        _check_range("group", group, self.config.num_groups)
        _check_range("step", step, self.config.distillation_steps)


def _check_range(name: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ValueError(f"expected a {name} from 0 to {count - 1}, got {index}")


@lru_cache(maxsize=64)
def _pixels_of_tokens(window: AttentionWindow, height: int, width: int) -> NDArray[np.int64]:
    """Index of each token's pixel, (n, T), row by row: the network's own partition, applied to indices."""
    return window.split(torch.arange(height * width).reshape(1, 1, height, width))[..., 0].numpy()


def with_attention(model: Network) -> ASID:
    """``model`` itself; raises ``ValueError`` if it is another network than ASID and so has no attention maps."""
    if not isinstance(model, ASID):
        raise ValueError(f"expected an ASID network, got a {type(model).__name__}, which has no attention maps")
    return model


@torch.no_grad()
def extract_attention_maps(model: Network, image: RGBImage) -> ImageAttentionMaps:
    """Run ``model`` on an LR image and return all of its attention maps.

    Takes about ``4 T`` bytes per LR pixel, layer, step and group that computes maps (D8 without sharing: 12 kB per
    pixel).

    Args:
        model: The network.
        image: uint8 (H, W, 3) RGB. It goes through as a whole, because the global grid depends on the size of the
            input.

    Raises:
        ValueError: ``model`` is not an ASID network.
    """
    model = with_attention(model)
    lr = to_tensor(model, image).to(next(model.parameters()).device)
    with evaluation_mode(model):
        _, maps = model(lr, return_attention=True)
    # Cached by identity of the tensor: a shared map stays one array.
    to_array = cache(lambda tensor: tensor.float().cpu().numpy())
    height, width = model.pad(lr).shape[-2:]
    return ImageAttentionMaps(
        model.config,
        (image.shape[0], image.shape[1]),
        (height, width),
        tuple(tuple(tuple(to_array(layer) for layer in step) for step in group) for group in maps.spatial),
        tuple(tuple(to_array(layer) for layer in group) for group in maps.channel),
    )


# In the statistics below, every pixel of the image is a query, and its attention to padding in its window counts.


def entropy(maps: ImageAttentionMaps) -> NDArray[np.float64]:
    """Entropy of attention, (G, S, L): the mean over pixels of -Σ a log a / log T; 1 is uniform, 0 a single pixel."""
    return _mean_over_pixels(
        maps, lambda rows, _: -(rows * np.log(np.maximum(rows, 1e-30))).sum(-1) / np.log(rows.shape[-1])
    )


def mean_distance(maps: ImageAttentionMaps) -> NDArray[np.float64]:
    """Mean attention distance, (G, S, L): the mean over pixels of Σ a · distance, in LR pixels."""
    return _mean_over_pixels(maps, lambda rows, distances: (rows * distances).sum(-1))


def uniform_distance(maps: ImageAttentionMaps) -> NDArray[np.float64]:
    """Return what :func:`mean_distance` would be, (L,), if attention were uniform in each window."""
    return _mean_over_pixels(maps, lambda _, distances: distances.mean(-1))[0, 0]


def _mean_over_pixels(maps: ImageAttentionMaps, measure: Callable[[Array, Array], Array]) -> NDArray[np.float64]:
    """Mean of ``measure(rows, distances)``, both (pixels, T), over the pixels of the image: (G, S, L)."""
    config = maps.config
    result = np.zeros((config.num_groups, config.distillation_steps, len(config.spatial_windows)))
    for layer in range(result.shape[2]):
        rows, columns, in_image = maps.image_tokens(layer)
        distances = np.hypot(rows[:, :, None] - rows[:, None, :], columns[:, :, None] - columns[:, None, :]).astype(
            np.float32
        )[in_image]
        for group in range(result.shape[0]):
            for step in range(result.shape[1]):
                if (source := maps.source_group(group)) != group:
                    result[group, step, layer] = result[source, step, layer]
                else:
                    attention = maps.spatial_maps[group][step][layer][in_image]
                    result[group, step, layer] = measure(attention, distances).mean()
    return result
