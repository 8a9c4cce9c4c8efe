"""ASID, the whole network (paper, figure 2).

::

LR ─ pad ─ shallow 3×3 ─┬─ group 1 ──── group 2 ── … ── group G ─ deep 3×3 ─ + ─ upsample 3×3 ─ shuffle ─ crop ─ SR
                        │  makes A ──┬─ reuses A ─ … ─┬─ reuses A            │
                        │            └── attention ───┘ sharing              │
                        └────────────────── global skip connection ──────────┘
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import ModelConfig
from asid.model.base import UNIT_RANGE, Network, ValueRange, check_batch
from asid.model.blocks import BlockMaps, Group
from asid.model.layers import EnhancedSpatialAttention, conv3x3


@dataclass(frozen=True)
class AttentionMaps:
    """The attention maps of one forward pass. Each row belongs to a query and sums to one."""

    spatial: tuple[tuple[tuple[Tensor, ...], ...], ...]
    """``spatial[g][i][j]``: the map of group g, step i, layer j, (n, T, T) for T tokens in each of n windows, in the
    order of :meth:`asid.model.windows.AttentionWindow.split`. A group that reuses a map holds the same tensor object as
    the group that made it."""
    channel: tuple[tuple[Tensor, ...], ...]
    """``channel[g][j]``: the map of group g, layer j, (n, C, C)."""


class ASID(Network):
    """Attention-sharing information distillation transformer for super-resolution.

    Args:
        config: The network's axes; by default the published ×2 network.
        seed: Seed of the initial weights. Each module draws its weights from (seed, module path), so that two variants
            start from the same weights wherever they have the same layer. The global random state is neither used nor
            changed.
        value_range: Smallest and largest value of the images that the weights expect. :meth:`forward` takes and returns
            this range; :mod:`asid.evaluation.inference` converts images to and from it.
    """

    config: ModelConfig

    def __init__(
        self, config: ModelConfig | None = None, *, seed: int = 0, value_range: ValueRange = UNIT_RANGE
    ) -> None:
        config = config or ModelConfig()
        super().__init__(config, value_range)
        c, s = config.num_features, config.scale
        # PyTorch's layers draw weights when they are built. These draws are discarded: reset_parameters draws the
        # initial weights.
        with torch.random.fork_rng(devices=[]):
            self.shallow = conv3x3(config, 3, c)
            self.groups = nn.ModuleList(Group(config, config.makes_maps(g)) for g in range(config.num_groups))
            self.deep = conv3x3(config, c, c)
            self.upsample = conv3x3(config, c, 3 * s * s)
            self.shuffle = nn.PixelShuffle(s)
        self.reset_parameters(seed)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def pad(self, x: Tensor) -> Tensor:
        """Zero-pad images (B, 3, H, W) at the right and the bottom to a size that suits the windows and ESA.

        This is independent of ``config.padding``, which is about the border that each 3×3 convolution sees.
        """
        height, width = self.padded_size(*x.shape[-2:])
        return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a padded image, see :meth:`pad`."""
        multiple = self.config.size_multiple
        least = EnhancedSpatialAttention.MIN_SIZE if self.config.esa else 1
        padded_height, padded_width = (-(-max(side, least) // multiple) * multiple for side in (height, width))
        return padded_height, padded_width

    def forward(self, x: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, AttentionMaps]:
        """Super-resolve a batch of images.

        Args:
            x: Float (B, 3, H, W), RGB, any H, W ≥ 1, values in ``value_range``.
            return_attention: Also return the attention maps of this pass.

        Returns:
            Float (B, 3, sH, sW) in ``value_range``, not clipped; with ``return_attention`` a pair with
            :class:`AttentionMaps`.

        Raises:
            ValueError: ``x`` does not have the shape of an RGB batch, or is empty.
        """
        check_batch(x)
        s, (height, width) = self.config.scale, x.shape[-2:]

        padded = self.pad(x).contiguous(memory_format=torch.channels_last)  # (B, 3, H', W')
        shallow = self.shallow(padded)  # (B, C, H', W')

        features = shallow
        # No maps yet: the first group makes them.
        maps: BlockMaps = ((None,) * len(self.config.spatial_windows),) * self.config.distillation_steps
        spatial, channel = [], []
        for group in self.groups:
            features, maps, channel_maps = group(features, maps)  # maps: made by this group, or passed on unchanged
            if return_attention:
                spatial.append(maps)
                channel.append(channel_maps)

        deep = self.deep(features) + shallow  # (B, C, H', W')
        sr = self.shuffle(self.upsample(deep))  # (B, 3s², H', W') to (B, 3, sH', sW')
        sr = sr[..., : s * height, : s * width]  # (B, 3, sH, sW)
        return (sr, AttentionMaps(tuple(spatial), tuple(channel))) if return_attention else sr  # type: ignore[arg-type]
