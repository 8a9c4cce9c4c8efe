"""What attention looks at: the maps of one image under a pixel, and what they are like over all pixels. Arrays in, arrays out.

G groups, S distillation steps, L layers a step (``config.spatial_windows``); n windows with T pixels each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from asid.config import ModelConfig
from asid.evaluation.inference import to_tensor
from asid.model.network import ASID
from asid.model.observe import evaluation_mode
from asid.model.windows import AttentionWindow, channel_window, spatial_window

Array = NDArray[np.float32]
Pixel = tuple[int, int]
"""Row and column in the LR image, from 0."""


@dataclass(frozen=True)
class Attention:
    """The attention maps of one LR image, read in one forward pass by :func:`read_attention`. Rows of maps are queries, and sum to 1."""

    config: ModelConfig
    size: tuple[int, int]
    """Height and width of the LR image."""
    padded: tuple[int, int]
    """Height and width that the network works at: zeros are added at the right and the bottom."""
    maps: tuple[tuple[tuple[Array, ...], ...], ...]
    """``maps[group][step][layer]``, float32 (n, T, T). A group that shares holds the very array of the group that made it."""
    channel_maps: tuple[tuple[Array, ...], ...]
    """``channel_maps[group][layer]``, float32 (n, C, C)."""

    def maker(self, group: int) -> int:
        """The group that made the maps which ``group`` uses: itself, or with attention sharing an earlier one."""
        return max(maker for maker in range(group + 1) if self.config.makes_maps(maker))

    def spatial(self, pixel: Pixel, *, group: int = 0, step: int = 0, layer: int = 0) -> Array:
        """What ``pixel`` attends to: float32 (H, W), zero outside its window. Sums to 1, less what falls on padding.

        Raises ``ValueError`` where there is no such pixel or layer.
        """
        self._check(pixel, group=group, step=step, layer=layer)
        places = self._places(layer)
        query = self._find(places, pixel)
        spread = np.zeros(self.padded[0] * self.padded[1], np.float32)
        spread[places[query[0]]] = self.maps[group][step][layer][query]
        return spread.reshape(self.padded)[: self.size[0], : self.size[1]]

    def relative(self, pixel: Pixel, *, group: int = 0, step: int = 0, layer: int = 0) -> Array:
        """The same as a multiple of uniform attention, which gives each of the T pixels of a window 1 / T: float32 (H, W), in [0, T]."""
        return self.spatial(pixel, group=group, step=step, layer=layer) * self.maps[group][step][layer].shape[-1]

    def window(self, pixel: Pixel, *, layer: int = 0) -> NDArray[np.bool_]:
        """Which pixels are in the window of ``pixel``: bool (H, W)."""
        self._check(pixel, layer=layer)
        places = self._places(layer)
        inside = np.zeros(self.padded[0] * self.padded[1], bool)
        inside[places[self._find(places, pixel)[0]]] = True
        return inside.reshape(self.padded)[: self.size[0], : self.size[1]]

    def channel(self, pixel: Pixel, *, group: int = 0, layer: int = 0) -> Array:
        """The map between channels, float32 (C, C), of the window of channel attention that ``pixel`` is in. Rows sum to 1.

        Raises ``ValueError`` where there is no such pixel or layer.
        """
        if not self.config.channel_windows:
            raise ValueError("this network has no channel attention: its channel_windows are empty")
        _check_range("layer", layer, len(self.config.channel_windows))
        self._check(pixel, group=group)
        places = _places(channel_window(self.config, self.config.channel_windows[layer]), *self.padded)
        return self.channel_maps[group][layer][self._find(places, pixel)[0]]

    def _places(self, layer: int) -> NDArray[np.int64]:
        return _places(spatial_window(self.config, self.config.spatial_windows[layer]), *self.padded)

    def _tokens(self, layer: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Row and column of each token of a layer, and whether it is a pixel of the image, not padding: (n, T) each."""
        rows, columns = np.divmod(self._places(layer), self.padded[1])
        return rows, columns, (rows < self.size[0]) & (columns < self.size[1])

    def _find(self, places: NDArray[np.int64], pixel: Pixel) -> tuple[int, int]:
        """The window and the place in it of ``pixel``."""
        window, place = np.argwhere(places == pixel[0] * self.padded[1] + pixel[1])[0]
        return int(window), int(place)

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


def _places(window: AttentionWindow, height: int, width: int) -> NDArray[np.int64]:
    """Which pixel each token is, (n, T), counted along rows. The window that splits features into tokens is asked itself."""
    return window.split(torch.arange(height * width).reshape(1, 1, height, width))[..., 0].numpy()


@torch.no_grad()
def read_attention(model: ASID, image: NDArray[np.uint8]) -> Attention:
    """All attention maps of ``model`` on one LR image, uint8 (H, W, 3) RGB, as a whole: the global grid depends on the image's size.

    Takes about ``4 T`` bytes for each LR pixel, layer, step and group that makes maps (D8 without sharing: 12 kB a pixel).
    """
    lr = to_tensor(model, image).to(next(model.parameters()).device)
    with evaluation_mode(model):
        _, maps = model(lr, return_attention=True)
    to_array = cache(
        lambda tensor: tensor.float().cpu().numpy()
    )  # tensors hash by identity: a shared map stays one array
    height, width = model.pad(lr).shape[-2:]
    return Attention(
        model.config,
        (image.shape[0], image.shape[1]),
        (height, width),
        tuple(tuple(tuple(to_array(layer) for layer in step) for step in group) for group in maps.spatial),
        tuple(tuple(to_array(layer) for layer in group) for group in maps.channel),
    )


def entropy(attention: Attention) -> NDArray[np.float64]:
    """How spread attention is, (G, S, L): the mean over pixels of -Σ a log a / log T. 1: on all T pixels alike; 0: on one.

    Here and below, all pixels of the image ask, and what they attend to counts with the padding in their windows.
    """
    return _mean_over_pixels(
        attention, lambda rows, _: -(rows * np.log(np.maximum(rows, 1e-30))).sum(-1) / np.log(rows.shape[-1])
    )


def mean_distance(attention: Attention) -> NDArray[np.float64]:
    """How far attention reaches, (G, S, L): the mean over pixels of Σ a · distance, in LR pixels."""
    return _mean_over_pixels(attention, lambda rows, distances: (rows * distances).sum(-1))


def uniform_distance(attention: Attention) -> NDArray[np.float64]:
    """What :func:`mean_distance` would be, (L,), if each pixel attended to all of its window alike."""
    return _mean_over_pixels(attention, lambda _, distances: distances.mean(-1))[0, 0]


def _mean_over_pixels(attention: Attention, measure: Callable[[Array, Array], Array]) -> NDArray[np.float64]:
    """The mean over the pixels of the image of ``measure(rows, distances)``, both (pixels, T), for each layer: (G, S, L)."""
    config = attention.config
    result = np.zeros((config.num_groups, config.distillation_steps, len(config.spatial_windows)))
    for layer in range(result.shape[2]):
        rows, columns, real = attention._tokens(layer)
        distances = np.hypot(rows[:, :, None] - rows[:, None, :], columns[:, :, None] - columns[:, None, :]).astype(
            np.float32
        )[real]
        for group in range(result.shape[0]):
            for step in range(result.shape[1]):
                if (maker := attention.maker(group)) != group:
                    result[group, step, layer] = result[maker, step, layer]
                else:
                    result[group, step, layer] = measure(attention.maps[group][step][layer][real], distances).mean()
    return result


def group_similarity(
    attention: Attention, *, step: int = 0, layer: int = 0, measure: Literal["cosine", "correlation"] = "cosine"
) -> NDArray[np.float64]:
    """How alike the maps of the groups are, (G, G): mean over pixels of the cosine between two groups' rows, 1 for the same map.

    Attention sharing supposes that maps of different groups are alike (paper, section 3). All rows are positive, so that unrelated
    ones have a cosine above 0, too; ``correlation`` takes each row's mean off first: 0 for unrelated rows.
    """
    attention._check((0, 0), step=step, layer=layer)
    if measure not in ("cosine", "correlation"):
        raise ValueError(f"expected cosine or correlation, got {measure!r}")
    _, _, real = attention._tokens(layer)
    units = []
    for group in range(attention.config.num_groups):
        found = attention.maps[group][step][layer][real].astype(np.float64)  # (pixels, T)
        found = found - found.mean(-1, keepdims=True) if measure == "correlation" else found
        units.append(found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-30))
    return np.array([[(mine * other).sum(-1).mean() for other in units] for mine in units])
