"""A plain residual CNN: the network without attention that every study can be compared with.

::

LR ─┬─ head 3×3 ─ block 1 ─ … ─ block n ─ tail 3×3 ─ shuffle ─ + ─ SR        block: x + 3×3(ReLU(3×3(x)))
    └──────────────────────── bicubic ─────────────────────────┘
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import PlainCNNConfig
from asid.model.base import UNIT_RANGE, Network, ValueRange, check_batch


class ResidualBlock(nn.Module):
    """``x + 3×3(ReLU(3×3(x)))``, without normalisation, as in EDSR (arXiv 1707.02921)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.second(F.relu(self.first(x)))


class PlainCNN(Network):
    """Residual CNN that adds detail to a bicubic enlargement.

    Args:
        config: Scale, width and depth.
        seed: Seed of the initial weights, PyTorch's default for convolutions; see :meth:`reset_parameters`.
        value_range: Smallest and largest value of the images that the weights expect.
    """

    config: PlainCNNConfig

    def __init__(self, config: PlainCNNConfig, *, seed: int = 0, value_range: ValueRange = UNIT_RANGE) -> None:
        super().__init__(config, value_range)
        c, s = config.num_features, config.scale
        with torch.random.fork_rng(devices=[]):  # what layers draw when they are built is discarded
            self.head = nn.Conv2d(3, c, 3, padding=1)
            self.blocks = nn.Sequential(*(ResidualBlock(c) for _ in range(config.num_blocks)))
            self.tail = nn.Conv2d(c, 3 * s * s, 3, padding=1)
            self.shuffle = nn.PixelShuffle(s)
        self.reset_parameters(seed)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def forward(self, x: Tensor) -> Tensor:
        """Super-resolve a batch of images.

        Args:
            x: Float (B, 3, H, W), RGB, any H, W ≥ 1, values in ``value_range``.

        Returns:
            Float (B, 3, sH, sW) in ``value_range``, not clipped.

        Raises:
            ValueError: ``x`` does not have the shape of an RGB batch, or is empty.
        """
        check_batch(x)
        features = self.blocks(self.head(x))  # (B, C, H, W)
        detail = self.shuffle(self.tail(features))  # (B, 3s², H, W) to (B, 3, sH, sW)
        return F.interpolate(x, scale_factor=self.config.scale, mode="bicubic") + detail
