"""The paper's stages (section 3), from the inside out: SAM, CAM, distillation step, IDB, group.

Spatial attention maps travel beside the features: ``BlockMaps[i][j]`` is the map of step i, layer j. A group receives
the maps of the group before it and returns those that it used: its own if it makes maps, the received ones if it reuses
them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asid.config import ModelConfig
from asid.model.attention import ChannelAttentionLayer, SpatialAttentionLayer
from asid.model.layers import EnhancedSpatialAttention, LocalModule, PointwiseConv2d

StepMaps = tuple[Tensor | None, ...]
BlockMaps = tuple[StepMaps, ...]


class SpatialAttentionModule(nn.ModuleList):
    """SAM: the spatial attention layers of a step in sequence, by default a meso and a global one."""

    def __init__(self, config: ModelConfig, width: int, makes_maps: bool) -> None:
        super().__init__(SpatialAttentionLayer(config, width, kind, makes_maps) for kind in config.spatial_windows)

    def forward(self, x: Tensor, shared: StepMaps) -> tuple[Tensor, StepMaps]:
        """Map (B, w, H, W) and the previous group's map (n, T, T) for each layer to the same, with the maps used."""
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
        """Map (B, C, H, W) to the same shape, and the attention map (n, C, C) of each layer."""
        used = []
        for layer in self:
            x, attention_map = layer(x)
            used.append(attention_map)
        return x, tuple(used)


class DistillationStep(nn.Module):
    """One step at width w. The last step also fuses the slices distilled by the steps before it.

    ::

        x (w) ── LM ──┬── rest (w-k) ── SAM ──┬── fuse 1×1 ── (w, in the last step C)
                      └── local (k) ──────────┤
                            distilled (k …) ──┘  in the last step only
    """

    def __init__(self, config: ModelConfig, width: int, fused_width: int, makes_maps: bool) -> None:
        super().__init__()
        self.distilled_channels = k = config.distilled_channels
        self.local = LocalModule(config, width) if config.local_module else nn.Identity()
        self.spatial = SpatialAttentionModule(config, width - k, makes_maps)
        self.fuse = PointwiseConv2d(fused_width, fused_width)

    def forward(self, x: Tensor, shared: StepMaps, distilled: Sequence[Tensor] = ()) -> tuple[Tensor, StepMaps]:
        """Map (B, w, H, W) and the previous group's attention maps to (B, w or C, H, W) and the attention maps used."""
        k = self.distilled_channels
        x = self.local(x)
        local, rest = x.split((k, x.shape[1] - k), dim=1)
        rest, used = self.spatial(rest, shared)
        return self.fuse(torch.cat((*distilled, rest, local), dim=1)), used


class InformationDistillationBlock(nn.Module):
    """IDB: each step distils a slice of k channels and leaves the rest to the next step; the last one fuses them all.

    ::

        x (C) ── step 1 ──┬── (C-k) ── step 2 ──┬── (C-2k) ── step 3 ── (C) ── CAM ── out
                          └── d1 (k) ───────────┴── d2 (k) ─────┘
    """

    def __init__(self, config: ModelConfig, makes_maps: bool) -> None:
        super().__init__()
        self.distilled_channels = config.distilled_channels
        *widths, last = config.step_widths
        steps = [DistillationStep(config, width, width, makes_maps) for width in widths]
        self.steps = nn.ModuleList([*steps, DistillationStep(config, last, config.num_features, makes_maps)])
        self.channel = ChannelAttentionModule(config)

    def forward(self, x: Tensor, shared: BlockMaps) -> tuple[Tensor, BlockMaps, tuple[Tensor, ...]]:
        """Features (B, C, H, W) and the previous group's maps to features, spatial maps used, and channel maps."""
        x, used = self._distil(x, shared)
        x, channel_maps = self.channel(x)
        return x, used, channel_maps

    def _distil(self, x: Tensor, shared: BlockMaps) -> tuple[Tensor, BlockMaps]:
        """The steps. On its own, so that the distilled slices are gone when the channel attention needs most memory."""
        k = self.distilled_channels
        used: list[StepMaps] = []
        distilled: list[Tensor] = []
        *steps, last = self.steps
        for step, step_maps in zip(steps, shared[:-1], strict=True):
            x, used_maps = step(x, step_maps)
            used.append(used_maps)
            aside, x = x.split((k, x.shape[1] - k), dim=1)  # the next step refines the rest
            distilled.append(aside)
        x, used_maps = last(x, shared[-1], distilled)
        used.append(used_maps)
        return x, tuple(used)


class Group(nn.Module):
    """``ESA(1×1(IDB(x)) + x)``. Groups are repeated, and share spatial attention maps."""

    def __init__(self, config: ModelConfig, makes_maps: bool) -> None:
        super().__init__()
        self.block = InformationDistillationBlock(config, makes_maps)
        self.project = PointwiseConv2d(config.num_features, config.num_features)
        self.esa = EnhancedSpatialAttention(config) if config.esa else nn.Identity()

    def forward(self, x: Tensor, shared: BlockMaps) -> tuple[Tensor, BlockMaps, tuple[Tensor, ...]]:
        """Features (B, C, H, W) and the previous group's maps to features, spatial maps used, and channel maps."""
        y, used, channel_maps = self.block(x, shared)
        x = self.project(y) + x
        return self.esa(x), used, channel_maps
