"""The paper's stages, from the step to the group: SAM, distillation step, IDB, CAM, group (paper, section 3).

Spatial attention maps travel beside the features. ``BlockMaps[i][j]`` is the map of step i, layer j. A group receives those of
the group before it and returns those it used: its own where it makes maps, the received ones where it shares.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from asid.config import ModelConfig
from asid.model.attention import ChannelAttentionLayer, SpatialAttentionLayer
from asid.model.layers import EnhancedSpatialAttention, LocalModule

StepMaps = tuple[Tensor | None, ...]
BlockMaps = tuple[StepMaps, ...]


class SpatialAttentionModule(nn.ModuleList):
    """SAM: the spatial attention layers of one step in sequence, by default a meso and a global one."""

    def __init__(self, config: ModelConfig, width: int, makes_maps: bool) -> None:
        super().__init__(SpatialAttentionLayer(config, width, kind, makes_maps) for kind in config.spatial_windows)

    def forward(self, x: Tensor, shared: StepMaps) -> tuple[Tensor, StepMaps]:
        used = []
        for layer, shared_map in zip(self, shared, strict=True):
            x, attention_map = layer(x, shared_map)
            used.append(attention_map)
        return x, tuple(used)


class ChannelAttentionModule(nn.ModuleList):
    """CAM: the channel attention layers at the end of a block in sequence, by default a meso and a global one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(ChannelAttentionLayer(config, kind) for kind in config.channel_windows)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        used = []
        for layer in self:
            x, attention_map = layer(x)
            used.append(attention_map)
        return x, tuple(used)


class DistillationStep(nn.Module):
    """One step at width w: LM, SAM on all but the first k channels, then a 1×1 that fuses them (and, in the last step, what was distilled)."""

    def __init__(self, config: ModelConfig, width: int, makes_maps: bool, fused: int) -> None:
        super().__init__()
        self.distilled = config.distilled_channels
        self.local = LocalModule(width, config.squeeze_excitation) if config.local_module else nn.Identity()
        self.spatial = SpatialAttentionModule(config, width - self.distilled, makes_maps)
        self.fuse = nn.Conv2d(fused, fused, 1)

    def forward(self, x: Tensor, shared: StepMaps, distilled: Sequence[Tensor] = ()) -> tuple[Tensor, StepMaps]:
        x = self.local(x)
        local, rest = x[:, : self.distilled], x[:, self.distilled :]
        refined, used = self.spatial(rest, shared)
        return self.fuse(torch.cat((*distilled, refined, local), dim=1)), used


class InformationDistillationBlock(nn.Module):
    """IDB: steps that each distil a slice of k channels and refine the rest; the last fuses all; channel attention ends the block.

    ::

        x ─ step 1 ─┬─────── step 2 ─┬─────── step 3 ─ fuse C ─ CAM ─ out      (widths C, C-k, C-2k)
                    └─ d1 (k) ───────┴─ d2 (k) ────────┘
    """

    def __init__(self, config: ModelConfig, makes_maps: bool) -> None:
        super().__init__()
        self.distilled = config.distilled_channels
        *widths, last = config.step_widths
        steps = [DistillationStep(config, width, makes_maps, fused=width) for width in widths]
        self.steps = nn.ModuleList([*steps, DistillationStep(config, last, makes_maps, fused=config.num_features)])
        self.channel = ChannelAttentionModule(config)

    def forward(self, x: Tensor, shared: BlockMaps) -> tuple[Tensor, BlockMaps, tuple[Tensor, ...]]:
        used: list[StepMaps] = []
        distilled: list[Tensor] = []
        for step, step_maps in zip(self.steps[:-1], shared[:-1], strict=True):
            x, step_used = step(x, step_maps)
            used.append(step_used)
            distilled.append(x[:, : self.distilled])
            x = x[:, self.distilled :]
        x, step_used = self.steps[-1](x, shared[-1], distilled)
        x, channel_maps = self.channel(x)
        return x, (*used, cast(StepMaps, step_used)), channel_maps


class Group(nn.Module):
    """``ESA(1x1(IDB(x)) + x)``: the unit that is repeated, and between which spatial attention maps are shared."""

    def __init__(self, config: ModelConfig, makes_maps: bool) -> None:
        super().__init__()
        self.block = InformationDistillationBlock(config, makes_maps)
        self.project = nn.Conv2d(config.num_features, config.num_features, 1)
        self.esa = EnhancedSpatialAttention(config.num_features) if config.esa else nn.Identity()

    def forward(self, x: Tensor, shared: BlockMaps) -> tuple[Tensor, BlockMaps, tuple[Tensor, ...]]:
        """Features (B, C, H, W) and the maps of the group before; features, the maps used, and the channel maps."""
        y, used, channel_maps = self.block(x, shared)
        return self.esa(self.project(y) + x), used, channel_maps
