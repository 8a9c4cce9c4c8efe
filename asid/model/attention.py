"""Attention inside windows: meso and global windows, spatial attention that makes or reuses its maps, channel attention.

M is the side of a window and T = M² its number of tokens; n counts the windows of the whole batch.
"""

import torch
from torch import Tensor, nn

from asid.config import ModelConfig, Window
from asid.model.layers import GatedFeedForward, LayerNorm2d


class AttentionWindow(nn.Module):
    """How a map is cut into windows of tokens: each side in two, ``outer × inner``. Kinds differ in the cut and in what a window holds."""

    HOLDS_INNER: bool
    """Whether a window holds the inner parts (neighbouring pixels), and the outer ones count windows, or the other way round."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def cut(self, side: int) -> tuple[int, int]:
        """A side of the map as (outer, inner); their product is ``side``, which must be a multiple of the window's size M."""
        return side // self.size, self.size

    @property
    def _order(self) -> tuple[int, ...]:
        """From (b, outer y, inner y, outer x, inner x, c) to (b, windows in y, windows in x, tokens in y, tokens in x, c)."""
        return (0, 1, 3, 2, 4, 5) if self.HOLDS_INNER else (0, 2, 4, 1, 3, 5)

    def split(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to tokens (n, T, C); H and W must be multiples of M."""
        b, c, h, w = x.shape
        windows = x.permute(0, 2, 3, 1).reshape(b, *self.cut(h), *self.cut(w), c).permute(self._order)
        _, windows_y, windows_x, tokens_y, tokens_x, _ = windows.shape
        return windows.reshape(b * windows_y * windows_x, tokens_y * tokens_x, c)

    def merge(self, tokens: Tensor, like: Tensor) -> Tensor:
        """Inverse of :meth:`split`: tokens (n, T, C) to a map of the size of ``like``."""
        b, _, h, w = like.shape
        cut = (b, *self.cut(h), *self.cut(w), tokens.shape[-1])
        back = sorted(range(6), key=self._order.__getitem__)
        x = tokens.reshape([cut[axis] for axis in self._order]).permute(back)
        return x.reshape(b, h, w, -1).permute(0, 3, 1, 2)


class LocalWindow(AttentionWindow):
    """M×M neighbouring pixels: ``b c (y m) (x n) -> (b y x) (m n) c``."""

    HOLDS_INNER = True


class GridWindow(AttentionWindow):
    """An M×M grid of pixels spread over the whole image: ``b c (m y) (n x) -> (b y x) (m n) c``.

    The distance of neighbours in the grid is H/M by W/M: it grows with the image. A tile and a whole image are two different
    computations.
    """

    HOLDS_INNER = False

    def cut(self, side: int) -> tuple[int, int]:
        return self.size, side // self.size


class StridedWindow(AttentionWindow):
    """All pixels at a distance of M from each other: ``b c (m y) (n x) -> (b y x) (m n) c`` with y = x = M.

    The global window of channel attention. It has H/M · W/M tokens, which channel attention, whose maps are C×C, does not mind.
    For an image of M² pixels a side it is the same as :class:`GridWindow`, which holds the number of tokens instead of the distance.
    """

    HOLDS_INNER = False


def spatial_window(config: ModelConfig, kind: Window) -> LocalWindow | GridWindow:
    """The window that ``kind`` means to spatial attention."""
    if kind == "meso":
        return LocalWindow(config.window_size)
    return GridWindow(config.global_size) if config.global_kind == "grid" else LocalWindow(config.global_size)


def channel_window(config: ModelConfig, kind: Window) -> LocalWindow | StridedWindow:
    """The window that ``kind`` means to channel attention."""
    if kind == "meso":
        return LocalWindow(config.window_size)
    return StridedWindow(config.global_size) if config.global_kind == "grid" else LocalWindow(config.global_size)


class RelativePositionBias(nn.Module):
    """Adds a learnt bias that depends on the offset of two tokens in their window to scores (n, T, T)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty((2 * size - 1) ** 2, 1))
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        y, x = y.flatten(), x.flatten()
        offset_y = y[:, None] - y[None, :] + size - 1
        offset_x = x[:, None] - x[None, :] + size - 1
        self.index: Tensor
        self.register_buffer("index", offset_y * (2 * size - 1) + offset_x, persistent=False)  # (T, T)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, scores: Tensor) -> Tensor:
        return scores + self.table[:, 0][self.index]


class WindowAttention(nn.Module):
    """Single-head attention on window tokens that makes its own map A = softmax(q kᵀ / √w + bias).

    The published code projects q, k, v at once. Here v stands alone, so that it is the same parameter, with the same initial
    value, in a network that shares maps and in one that does not.
    """

    def __init__(self, width: int, size: int, position_bias: bool) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.query_key = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.bias = RelativePositionBias(size) if position_bias else nn.Identity()

    def forward(self, tokens: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (n, T, w) to tokens and the map (n, T, T) they were made with; ``shared`` is not used."""
        query, key = self.query_key(tokens).chunk(2, dim=-1)
        attention_map = torch.softmax(self.bias((query * self.scale) @ key.transpose(1, 2)), dim=-1)
        return self.out(attention_map @ self.value(tokens)), attention_map


class SharedWindowAttention(nn.Module):
    """Attention that reuses the map an earlier group made at the same place: no q, no k, no softmax, no bias (attention sharing)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (n, T, w) and the map (n, T, T) of an earlier group to tokens and the same map."""
        assert shared is not None, "the first group makes the maps"
        return self.out(shared @ self.value(tokens)), shared


class SpatialAttentionLayer(nn.Module):
    """Window attention over pixels, then the gated feed-forward, each pre-normed with a residual: (B, w, H, W) to the same."""

    def __init__(self, config: ModelConfig, width: int, kind: Window, makes_maps: bool) -> None:
        super().__init__()
        self.window = spatial_window(config, kind)
        self.norm = LayerNorm2d(width, eps=1e-5)
        self.attention = (
            WindowAttention(width, self.window.size, config.position_bias)
            if makes_maps
            else SharedWindowAttention(width)
        )
        self.ffn_norm = LayerNorm2d(width, eps=1e-6)
        self.ffn = GatedFeedForward(width)

    def forward(self, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        tokens, attention_map = self.attention(self.window.split(self.norm(x)), shared)
        x = x + self.window.merge(tokens, like=x)
        return x + self.ffn(self.ffn_norm(x)), attention_map


class ChannelAttention(nn.Module):
    """Attention between the channels of each window (transposed attention, arXiv 2111.09881): A is C×C, scaled by a learnt t."""

    def __init__(self, width: int, window: LocalWindow | StridedWindow) -> None:
        super().__init__()
        self.window = window
        self.temperature = nn.Parameter(torch.empty(1, 1, 1))
        self.pointwise = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.out = nn.Conv2d(width, width, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.temperature)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to a map of the same shape and the attention (n, C, C)."""
        query, key, value = self.window.split(self.depthwise(self.pointwise(x))).chunk(3, dim=-1)  # (n, T, C) each
        # q and k are L2-normalised along the T pixels. Dividing the C×C product by both norms is the same, with less memory traffic.
        query_norm = torch.linalg.vector_norm(query, dim=1).clamp_min(1e-12)[:, :, None]
        key_norm = torch.linalg.vector_norm(key, dim=1).clamp_min(1e-12)[:, None, :]
        cosine = query.transpose(1, 2) @ key / (query_norm * key_norm)
        attention_map = torch.softmax(self.temperature * cosine, dim=-1)
        return self.out(self.window.merge(value @ attention_map.transpose(1, 2), like=x)), attention_map


class ChannelAttentionLayer(nn.Module):
    """Channel attention in windows, then the gated feed-forward, each pre-normed with a residual: (B, C, H, W) to the same."""

    def __init__(self, config: ModelConfig, kind: Window) -> None:
        super().__init__()
        width = config.num_features
        self.norm = LayerNorm2d(width, eps=1e-6)
        self.attention = ChannelAttention(width, channel_window(config, kind))
        self.ffn_norm = LayerNorm2d(width, eps=1e-6)
        self.ffn = GatedFeedForward(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, attention_map = self.attention(self.norm(x))
        x = x + y
        return x + self.ffn(self.ffn_norm(x)), attention_map
