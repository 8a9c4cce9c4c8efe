"""Attention inside windows: meso and global windows, spatial attention that makes or reuses its maps, channel attention.

M is the side of a window and T = M² its number of tokens; n counts the windows of the whole batch.
"""

import torch
from torch import Tensor, nn

from asid.config import ModelConfig, Window
from asid.model.layers import GatedDconvFeedForward, LayerNorm2d
from asid.model.windows import AttentionWindow, channel_window, spatial_window


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
        self.ffn = GatedDconvFeedForward(width)

    def forward(self, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        tokens, attention_map = self.attention(self.window.split(self.norm(x)), shared)
        x = x + self.window.merge(tokens, like=x)
        return x + self.ffn(self.ffn_norm(x)), attention_map


class ChannelAttention(nn.Module):
    """Attention between the channels of each window (transposed attention, arXiv 2111.09881): A is C×C, scaled by a learnt t."""

    def __init__(self, width: int, window: AttentionWindow) -> None:
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
        self.ffn = GatedDconvFeedForward(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, attention_map = self.attention(self.norm(x))
        x = x + y
        return x + self.ffn(self.ffn_norm(x)), attention_map
