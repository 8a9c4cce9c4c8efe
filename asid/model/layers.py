"""The convolutional parts: normalisation, local module, gated feed-forward, enhanced spatial attention.

Symbols, here and in the whole package: B batch, C = 48 features, w width of a distillation step, H×W the size of the (padded)
LR image, M = 8 window side. Feature maps are logical (B, C, H, W) kept in the ``channels_last`` memory format: tokens are then
a cheap permutation, and 1×1 convolutions, Linear and LayerNorm all run along contiguous channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of a (B, C, H, W) map."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the global means of all channels (squeeze-and-excitation, arXiv 1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // 4)
        self.reduce = nn.Linear(width, hidden, bias=False)
        self.expand = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.silu(self.reduce(x.mean((2, 3)))))  # (B, w)
        return x * torch.sigmoid(gate)[:, :, None, None]


class LocalModule(nn.Module):
    """LM: ``x + 1x1(SE(GELU(dw3x3(GELU(1x1(x))))))``, the convolutional start of a distillation step."""

    def __init__(self, width: int, squeeze_excitation: bool) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.gate = SqueezeExcitation(width) if squeeze_excitation else nn.Identity()
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.depthwise(F.gelu(self.expand(x))))
        return x + self.project(self.gate(y))


class _DepthwiseBranch(nn.Sequential):
    """1×1 convolution, then depthwise 3×3, no bias: (B, w, H, W) -> (B, w, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)


class GatedDconvFeedForward(nn.Module):
    """FFN: ``1x1(GELU(gate(x)) · value(x))`` with two depthwise branches.

    The published code holds both branches in one convolution of width 2w and halves its output. Two convolutions keep each half
    contiguous in ``channels_last``, where a GELU on a slice of channels is slow.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = _DepthwiseBranch(width)
        self.value = _DepthwiseBranch(width)
        self.project = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(F.gelu(self.gate(x)) * self.value(x))


class EnhancedSpatialAttention(nn.Module):
    """ESA (arXiv 2009.11551): a per-pixel, per-channel gate seen at a sixth of the resolution. Needs H, W ≥ 15."""

    MIN_SIZE = 15

    def __init__(self, num_features: int) -> None:
        super().__init__()
        f = max(num_features // 4, 16)
        self.reduce = nn.Conv2d(num_features, f, 1)
        self.skip = nn.Conv2d(f, f, 1)
        self.stride = nn.Conv2d(f, f, 3, stride=2)
        self.refine = nn.Conv2d(f, f, 3, padding=1)
        self.expand = nn.Conv2d(f, num_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        u = self.reduce(x)  # (B, f, H, W)
        pooled = F.max_pool2d(self.stride(u), 7, stride=3)
        coarse = F.interpolate(self.refine(pooled), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.expand(coarse + self.skip(u)))
