"""ASID, the whole network (paper, figure 2)::

LR ── pad ── shallow 3×3 ──┬── group 1 ── group 2 ── … ── group G ── deep 3×3 ── + ── upsample 3×3 ── shuffle ── crop ── SR
                           │      │  A       ↑  A            ↑                   │
                           │      └──────────┴───────────────┘ attention sharing │
                           └─────────────────────────────────────────────────────┘
"""

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import ModelConfig
from asid.model.blocks import BlockMaps, Group
from asid.model.layers import EnhancedSpatialAttention

ValueRange = tuple[float, float]
UNIT_RANGE: ValueRange = (0.0, 1.0)
"""Value range of images for weights trained here; the published weights expect (-1, 1)."""


@dataclass(frozen=True)
class AttentionMaps:
    """The maps of one forward pass. Rows are queries and sum to one; n windows are in the order of ``window.split``.

    ``spatial[g][i][j]``: group g, step i, layer j, (n, T, T) for T pixels in a window. A group that shares holds the very tensor
    of the group that made it. ``channel[g][j]``: group g, layer j, (n, C, C).
    """

    spatial: tuple[tuple[tuple[Tensor, ...], ...], ...]
    channel: tuple[tuple[Tensor, ...], ...]


class ASID(nn.Module):
    """Attention-sharing information distillation transformer for super-resolution.

    Parameters
    ----------
    config : the axes; the default is the published ×2 network.
    seed : initial weights are drawn module by module from (seed, module path), so that two variants agree wherever they have
        the same layer, whatever else differs. The global random state is left alone.
    value_range : what the smallest and largest image value are to these weights. :meth:`forward` takes and returns that range
        as it is; functions that read and write images (:mod:`asid.evaluation.evaluate`) convert from [0, 1].
    """

    def __init__(
        self, config: ModelConfig | None = None, *, seed: int = 0, value_range: ValueRange = UNIT_RANGE
    ) -> None:
        super().__init__()
        self.config = config = config or ModelConfig()
        self.value_range = value_range
        c, s = config.num_features, config.scale
        with torch.random.fork_rng(
            devices=[]
        ):  # layers draw weights when they are made; reset_parameters draws those that count
            self.shallow = nn.Conv2d(3, c, 3, padding=1)
            self.groups = nn.ModuleList(Group(config, config.makes_maps(g)) for g in range(config.num_groups))
            self.deep = nn.Conv2d(c, c, 3, padding=1)
            self.upsample = nn.Conv2d(c, 3 * s * s, 3, padding=1)
            self.shuffle = nn.PixelShuffle(s)
        self.reset_parameters(seed)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def reset_parameters(self, seed: int = 0) -> None:
        """Draw all weights anew from ``seed`` and each module's path."""
        with torch.random.fork_rng(devices=[]):
            for path, module in self.named_modules():
                if path and hasattr(module, "reset_parameters"):
                    torch.default_generator.manual_seed(
                        int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:7], "big")
                    )
                    module.reset_parameters()

    def pad(self, x: Tensor) -> Tensor:
        """Zero-pad (B, 3, H, W) right and bottom to the size the network works at: a multiple of its windows, enough for ESA."""
        multiple = self.config.size_multiple
        least = EnhancedSpatialAttention.MIN_SIZE if self.config.esa else 1
        height, width = (-(-max(side, least) // multiple) * multiple for side in x.shape[-2:])
        return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))

    def forward(self, x: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, AttentionMaps]:
        """Super-resolve.

        Parameters
        ----------
        x : float (B, 3, H, W), any H, W ≥ 1, RGB, values in ``value_range``.
        return_attention : also return the attention maps of this pass.

        Returns
        -------
        float (B, 3, sH, sW), not clipped; with ``return_attention`` a pair with :class:`AttentionMaps`.

        Raises
        ------
        ValueError : ``x`` has another number of dimensions or channels, or is empty.
        """
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
            raise ValueError(f"expected a non-empty RGB batch of shape (B, 3, H, W), got {tuple(x.shape)}")
        height, width = x.shape[-2:]
        shallow = self.shallow(self.pad(x).contiguous(memory_format=torch.channels_last))
        features = shallow
        shared: BlockMaps = ((None,) * len(self.config.spatial_windows),) * self.config.distillation_steps
        spatial, channel = [], []
        for group in self.groups:
            features, shared, channel_maps = group(features, shared)
            if return_attention:
                spatial.append(shared)
                channel.append(channel_maps)
        deep = self.deep(features) + shallow
        s = self.config.scale
        sr = self.shuffle(self.upsample(deep))[..., : s * height, : s * width]
        return (sr, AttentionMaps(tuple(spatial), tuple(channel))) if return_attention else sr  # type: ignore[arg-type]
