"""Attention inside windows: spatial attention, which makes or reuses its maps, and channel attention.

Tokens have the shape (n, T, w): n windows in the whole batch, T tokens in a window, width w. :mod:`asid.model.windows`
says which pixels form a window.
"""

import torch
from torch import Tensor, nn

from asid.config import ModelConfig, Window
from asid.model.layers import GatedDconvFeedForward, LayerNorm2d, PointwiseConv2d, conv3x3
from asid.model.windows import AttentionWindow, channel_window, spatial_window


class RelativePositionBias(nn.Module):
    """A learnt bias for each offset (y_i - y_j, x_i - x_j) of two tokens in an M×M window, added to their score."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty((2 * size - 1) ** 2, 1))
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        y, x = y.flatten(), x.flatten()
        offset_y = y[:, None] - y[None, :] + size - 1  # from 0
        offset_x = x[:, None] - x[None, :] + size - 1
        self.index: Tensor
        self.register_buffer("index", offset_y * (2 * size - 1) + offset_x, persistent=False)  # (T, T)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from a truncated normal distribution."""
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, scores: Tensor) -> Tensor:
        """Scores (n, T, T) to the same shape."""
        return scores + self.table[:, 0][self.index]


class WindowAttention(nn.Module):
    """Single-head attention that makes its own map A = softmax(q kᵀ / √w + bias) and returns A v, projected.

    The published code projects q, k and v with one Linear. Here v has its own, so that it is the same parameter, with
    the same initial value, in networks with and without attention sharing.
    """

    def __init__(self, config: ModelConfig, width: int, size: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.query_key = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.bias = RelativePositionBias(size) if config.position_bias else nn.Identity()

    def forward(self, tokens: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (n, T, w) to tokens and the map (n, T, T) that this layer made; ``shared`` is not used."""
        query, key = self.query_key(tokens).chunk(2, dim=-1)  # (n, T, w) each
        query = query * self.scale
        attention_map = torch.bmm(query, key.transpose(1, 2))  # (n, T, T), the scores
        attention_map = self.bias(attention_map)
        attention_map = torch.softmax(attention_map, dim=-1)  # each row, a query, sums to one
        return self.out(torch.bmm(attention_map, self.value(tokens))), attention_map


class SharedWindowAttention(nn.Module):
    """Attention sharing: A is the map that an earlier group made in the same layer. No q, no k, no softmax, no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (n, T, w) and the shared map (n, T, T) to tokens and that same map."""
        assert shared is not None, "the first group makes maps"
        return self.out(torch.bmm(shared, self.value(tokens))), shared


class SpatialAttentionLayer(nn.Module):
    """Attention between the pixels of a window, then the gated feed-forward; both pre-normed, with a residual."""

    def __init__(self, config: ModelConfig, width: int, kind: Window, makes_maps: bool) -> None:
        super().__init__()
        self.window = spatial_window(config, kind)
        self.norm = LayerNorm2d(width, eps=1e-5)
        self.attention = (
            WindowAttention(config, width, self.window.size) if makes_maps else SharedWindowAttention(width)
        )
        self.ffn_norm = LayerNorm2d(width, eps=1e-6)
        self.ffn = GatedDconvFeedForward(config, width)

    def forward(self, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (B, w, H, W) to the same shape, and the attention map (n, T, T) that was made or reused."""
        tokens = self.window.split(self.norm(x))  # (n, T, w)
        tokens, attention_map = self.attention(tokens, shared)
        x = x + self.window.merge(tokens, like=x)
        return x + self.ffn(self.ffn_norm(x)), attention_map


def _inverse_norms(tokens: Tensor) -> Tensor:
    """The inverse L2 norm of each channel along the tokens, (n, T, C) to (n, 1, C).

    ``torch.linalg.vector_norm`` gives the same, several times slower: it is not vectorised along this dimension.
    """
    return tokens.square().sum(1, keepdim=True).clamp_min(1e-24).rsqrt()


class ChannelAttention(nn.Module):
    """Attention between the channels of a window (arXiv 2111.09881): A = softmax(t · cos(q, k)), C×C, with learnt t."""

    def __init__(self, config: ModelConfig, window: AttentionWindow) -> None:
        super().__init__()
        c = config.num_features
        self.window = window
        self.temperature = nn.Parameter(torch.empty(1, 1, 1))
        self.pointwise = PointwiseConv2d(c, 3 * c, bias=False)
        self.depthwise = conv3x3(config, 3 * c, 3 * c, groups=3 * c, bias=False)
        self.out = PointwiseConv2d(c, c, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the temperature t to one."""
        nn.init.ones_(self.temperature)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to the same shape, and the attention map (n, C, C)."""
        tokens = self.window.split(self.depthwise(self.pointwise(x)))  # (n, T, 3C)
        query, key, value = tokens.chunk(3, dim=-1)  # (n, T, C) each
        attention_map = torch.bmm(  # (n, C, C), t times the cosine of two channels
            (query * (self.temperature * _inverse_norms(query))).transpose(1, 2), key * _inverse_norms(key)
        )
        attention_map = torch.softmax(attention_map, dim=-1)
        tokens = torch.bmm(value, attention_map.transpose(1, 2))  # (n, T, C)
        del query, key, value  # the memory of this pass is at its peak here
        return self.out(self.window.merge(tokens, like=x)), attention_map


class ChannelAttentionLayer(nn.Module):
    """Channel attention in windows, then the gated feed-forward; both pre-normed, with a residual."""

    def __init__(self, config: ModelConfig, kind: Window) -> None:
        super().__init__()
        self.norm = LayerNorm2d(config.num_features, eps=1e-6)
        self.attention = ChannelAttention(config, channel_window(config, kind))
        self.ffn_norm = LayerNorm2d(config.num_features, eps=1e-6)
        self.ffn = GatedDconvFeedForward(config, config.num_features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to the same shape, and the attention map (n, C, C)."""
        y, attention_map = self.attention(self.norm(x))
        x = x + y
        return x + self.ffn(self.ffn_norm(x)), attention_map
