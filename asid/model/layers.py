"""The convolutional layers: normalisation, local module, gated feed-forward, enhanced spatial attention.

Symbols, here and in the whole package: B batch, C = 48 features, w width of a distillation step, H×W size of the
(padded) LR image, M = 8 side of a window. Feature maps have the logical shape (B, C, H, W) and the memory format
``channels_last``: tokens are then a cheap permutation, and 1×1 convolutions, Linear and LayerNorm all work on
contiguous channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import ModelConfig, Padding


class PaddedConv2d(nn.Conv2d):
    """A 3×3 convolution that pads its input by reflection or replication, so that the size stays the same."""

    def __init__(self, inputs: int, outputs: int, mode: Padding, groups: int, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, groups=groups, bias=bias)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        if self.mode == "reflect" and 1 in x.shape[-2:]:  # ESA pools small images to one pixel
            # A side of one pixel has nothing to reflect: numpy.pad repeats the pixel, PyTorch refuses.
            rows, columns = ("replicate" if side == 1 else "reflect" for side in x.shape[-2:])
            padded = F.pad(F.pad(x, (0, 0, 1, 1), rows), (1, 1, 0, 0), columns)
        else:
            padded = F.pad(x, (1, 1, 1, 1), self.mode)
        return super().forward(padded)


def conv3x3(config: ModelConfig, inputs: int, outputs: int, *, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3×3 convolution that keeps the size of the map; ``config.padding`` says what it sees beyond the border."""
    if config.padding == "zeros":
        return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=bias)
    return PaddedConv2d(inputs, outputs, config.padding, groups, bias)


class PointwiseConv2d(nn.Conv2d):
    """A 1×1 convolution: the same linear map for each pixel.

    On ``channels_last`` maps it is one matrix product. PyTorch's convolution copies small maps to the other memory
    format and back when it has only one CPU thread.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        batch, _, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).flatten(0, 2)  # (B H W, inputs), a view
        pixels = F.linear(pixels, self.weight.flatten(1), self.bias)
        return pixels.view(batch, height, width, -1).permute(0, 3, 1, 2)


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcitation(nn.Module):
    """SE: scales each channel by a gate computed from the global means of all channels (arXiv 1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // 4)
        self.reduce = nn.Linear(width, hidden, bias=False)
        self.expand = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, w, H, W) to the same shape."""
        means = x.sum((2, 3)) / (x.shape[2] * x.shape[3])  # (B, w); the backward pass of x.mean fills a map
        gate = torch.sigmoid(self.expand(F.silu(self.reduce(means))))  # (B, w)
        return x * gate[:, :, None, None]


class LocalModule(nn.Module):
    """LM: ``x + 1×1(SE(GELU(dw3×3(GELU(1×1(x))))))``, the convolutional start of a distillation step."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.expand = PointwiseConv2d(width, width)
        self.depthwise = conv3x3(config, width, width, groups=width)
        self.gate = SqueezeExcitation(width) if config.squeeze_excitation else nn.Identity()
        self.project = PointwiseConv2d(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, w, H, W) to the same shape."""
        y = F.gelu(self.expand(x))
        y = F.gelu(self.depthwise(y))
        return x + self.project(self.gate(y))


class _DepthwiseBranch(nn.Sequential):
    """1×1 convolution, then depthwise 3×3, without bias: (B, w, H, W) to the same shape."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.pointwise = PointwiseConv2d(width, width, bias=False)
        self.depthwise = conv3x3(config, width, width, groups=width, bias=False)


class GatedDconvFeedForward(nn.Module):
    """GDFN, the gated-Dconv feed-forward network of Restormer (arXiv 2111.09881): ``1×1(GELU(gate(x)) · value(x))``.

    Restormer and the published code of ASID compute both branches with one convolution of width 2w and halve its
    output. Two convolutions keep each half contiguous in ``channels_last``: GELU on a slice of the channels is slow
    there.
    """

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.gate = _DepthwiseBranch(config, width)
        self.value = _DepthwiseBranch(config, width)
        self.project = PointwiseConv2d(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, w, H, W) to the same shape."""
        return self.project(F.gelu(self.gate(x)) * self.value(x))


class EnhancedSpatialAttention(nn.Module):
    """ESA (arXiv 2009.11551): a gate for each pixel and channel, computed at 1/6 of the resolution. Needs H, W ≥ 15."""

    MIN_SIZE = 15

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = config.num_features
        f = max(c // 4, 16)
        self.reduce = PointwiseConv2d(c, f)
        self.skip = PointwiseConv2d(f, f)
        self.stride = nn.Conv2d(f, f, 3, stride=2)
        self.refine = conv3x3(config, f, f)
        self.expand = PointwiseConv2d(f, c)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        u = self.reduce(x)  # (B, f, H, W)
        coarse = F.max_pool2d(self.stride(u), 7, stride=3)  # (B, f, about H/6, about W/6)
        coarse = self.refine(coarse)
        coarse = F.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False)  # (B, f, H, W)
        return x * torch.sigmoid(self.expand(coarse + self.skip(u)))
