"""The architecture as data: stages with their shapes, cost by part, and the effect of each axis on the cost.

Shapes and counts come from a forward pass on torch's ``meta`` device, which computes no values. The parts,
:data:`PARTS`, are those of the paper (arXiv 2501.15774, section 3).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError
from torch import nn

from asid.config import AXES, ModelConfig, describe_errors
from asid.model.attention import ChannelAttentionLayer, SpatialAttentionLayer, WindowAttention
from asid.model.blocks import DistillationStep, Group, InformationDistillationBlock
from asid.model.complexity import OUTPUT, macs_by_module
from asid.model.layers import EnhancedSpatialAttention, LocalModule
from asid.model.network import ASID
from asid.model.observe import output_shapes
from asid.model.windows import AttentionWindow, GridWindow, LocalWindow, StridedWindow

_LAYER = r"groups\.\d+\.block\.steps\.\d+\.spatial\.\d+\."
PARTS: Mapping[str, str] = MappingProxyType(
    {
        "shallow": r"shallow",
        "LM": r"groups\.\d+\.block\.steps\.\d+\.local\b",
        "SAM maps": _LAYER + r"attention\.(query_key|bias)\b",
        "SAM values": _LAYER + r"(attention|norm)\b",
        "SAM FFN": _LAYER + r"ffn",
        "fuse": r"groups\.\d+\.block\.steps\.\d+\.fuse",
        "CAM attention": r"groups\.\d+\.block\.channel\.\d+\.(attention|norm)\b",
        "CAM FFN": r"groups\.\d+\.block\.channel\.\d+\.ffn",
        "project": r"groups\.\d+\.project",
        "ESA": r"groups\.\d+\.esa\b",
        "deep": r"deep",
        "upsample": r"upsample",
    }
)
"""Parts in the order of the forward pass, each with a pattern for the beginning of its module paths; the first match
counts.

Spatial attention (SAM) has three parts: *maps* are made from q, k and the position bias, which a group that reuses maps
does not have; *values* are v, A v, the output projection and the norm before them; *FFN* is the gated feed-forward with
its norm, as in channel attention (CAM). *fuse* is the 1×1 convolution at the end of each step, *project* that of each
group.
"""


@dataclass(frozen=True)
class PartCost:
    """Cost of a part in one group and step, both counted from 1; 0: outside of all groups, or of all steps."""

    part: str
    group: int
    step: int
    parameters: int
    macs: int


def axis_value(config: ModelConfig, axis: str) -> Any:
    """The value of an axis as :class:`~asid.config.Axis` lists it: fractions as text, lists as tuples."""
    value = config.to_dict()[axis]
    return tuple(value) if isinstance(value, list) else value


def describe_value(value: Any) -> str:
    """The value of an axis as text: ``on``, ``none``, ``meso + global``, ``1/4``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return (" + ".join(value) or "none") if isinstance(value, tuple) else str(value)


def idle_axes(config: ModelConfig) -> dict[str, str]:
    """The axes that change nothing in a network while its others stay, each with the reason."""
    idle: dict[str, str] = {}
    if not config.spatial_windows:
        idle |= dict.fromkeys(("attention_sharing", "position_bias"), "there is no spatial attention")
    elif config.num_groups == 1:
        idle["attention_sharing"] = "there is one group"
    kinds = {*config.spatial_windows, *config.channel_windows}
    if "global" not in kinds:
        idle |= dict.fromkeys(("global_kind", "global_size"), "there is no global window")
    if "meso" not in kinds:
        idle["window_size"] = "there is no meso window"
    if not config.local_module:
        idle["squeeze_excitation"] = "there is no local module"
    return idle


def stages(config: ModelConfig, height: int = 64, width: int = 64) -> pd.DataFrame:
    """The stages of the network for one LR image, each before the stages inside it.

    Args:
        config: The network.
        height: Height of the LR image in pixels.
        width: Its width.

    Returns:
        Columns path (of the module), group (from 1; 0: outside of all groups), stage (description), shape (of the
        output, (B, C, H, W)), maps (shape of the attention map used, (n, T, T) or (n, C, C) for n windows; else empty).
    """
    with torch.device("meta"):
        model, lr = ASID(config).eval(), torch.empty(1, 3, height, width)
    shapes = output_shapes(model, lr)
    rows: list[tuple[Any, ...]] = [("", 0, "LR image, zero-padded", tuple(model.pad(lr).shape), ())]
    for path, module in _walk(model, ""):
        shape, *maps = shapes[path]
        rows.append((path, _number("groups", path), _describe(module), shape, maps[0] if maps else ()))
    rows.append(("", 0, "SR image, cropped", *shapes[""], ()))
    return pd.DataFrame(rows, columns=["path", "group", "stage", "shape", "maps"])


def costs(config: ModelConfig, output: tuple[int, int] = OUTPUT) -> pd.DataFrame:
    """Parameters and multiply-adds of each part in each group and step.

    Args:
        config: The network.
        output: Size of the output, (width, height) in pixels.

    Returns:
        The fields of :class:`PartCost` as columns. The sums are exactly :func:`~asid.model.complexity.count_parameters`
        and :func:`~asid.model.complexity.count_macs` of the network.
    """
    return pd.DataFrame(_costs(config, output))


def costs_by_part(config: ModelConfig, output: tuple[int, int] = OUTPUT) -> pd.DataFrame:
    """Parameters and multiply-adds of each part, summed over groups and steps: a row for each of :data:`PARTS`."""
    table = costs(config, output).groupby("part")[["parameters", "macs"]].sum()
    return table.reindex(list(PARTS), fill_value=0)


def axis_effects(
    base: ModelConfig, axes: Mapping[str, Sequence[Any]] | None = None, output: tuple[int, int] = OUTPUT
) -> pd.DataFrame:
    """The cost of the network with each value of each axis, all else equal.

    Args:
        base: The network that the others are compared with.
        axes: Values by axis; by default those of :data:`~asid.config.AXES`.
        output: Size of the output, (width, height) in pixels.

    Returns:
        Columns axis, value (as text), parameters, parameters_change (a fraction), macs, macs_change, problem. A value
        that does not go with the rest of ``base`` has no numbers; its problem is the configuration's error message.
    """
    before = costs_by_part(base, output).sum()
    rows = []
    for axis, values in (axes or {name: axis.values for name, axis in AXES.items()}).items():
        for value in values:
            if value == axis_value(base, axis):
                continue
            row: dict[str, Any] = {"axis": axis, "value": describe_value(value), "problem": ""}
            try:
                after = costs_by_part(base.override(**{axis: value}), output).sum()
            except ValidationError as error:
                row["problem"] = "; ".join(describe_errors(error))
            else:
                row |= {name: after[name] for name in ("parameters", "macs")}
                row |= {f"{name}_change": after[name] / before[name] - 1 for name in ("parameters", "macs")}
            rows.append(row)
    columns = ["axis", "value", "parameters", "parameters_change", "macs", "macs_change", "problem"]
    return pd.DataFrame(rows, columns=columns).astype({"parameters": "Int64", "macs": "Int64"})


@lru_cache(maxsize=256)
def _costs(config: ModelConfig, output: tuple[int, int]) -> tuple[PartCost, ...]:
    """Identical groups cost the same: one of each kind is counted, however many there are."""
    reduced, kinds = config.group_kinds()
    counted = _count(reduced, output)
    outside = [cost for cost in counted if cost.group == 0]
    groups = [
        replace(cost, group=group)
        for group, kind in enumerate(kinds, start=1)
        for cost in counted
        if cost.group == kind + 1
    ]
    return (*outside, *groups)


def _count(config: ModelConfig, output: tuple[int, int]) -> list[PartCost]:
    """Count every module of the network."""
    with torch.device("meta"):
        model = ASID(config)
    costs: dict[tuple[str, int, int], list[int]] = {}

    def add(path: str, part: str, parameters: int = 0, macs: int = 0) -> None:
        cost = costs.setdefault((part, _number("groups", path), _number("steps", path)), [0, 0])
        cost[0] += parameters
        cost[1] += macs

    for path, module in model.named_modules():
        if own := sum(parameter.numel() for parameter in module.parameters(recurse=False)):
            add(path, _part(path), parameters=own)
    for path, macs in macs_by_module(config, output).items():
        # Inside window attention there are q kᵀ and A v, two products of the same size.
        if isinstance(model.get_submodule(path), WindowAttention):
            add(path, "SAM maps", macs=macs // 2)
            macs -= macs // 2
        add(path, _part(path), macs=macs)
    return [PartCost(*key, *cost) for key, cost in costs.items()]


def _part(path: str) -> str:
    for part, beginning in PARTS.items():
        if re.match(beginning, path):
            return part
    raise ValueError(f"expected every module to belong to a part, got '{path}': add it to PARTS")


def _number(name: str, path: str) -> int:
    """The index, from 1, of the module in the list called ``name`` that ``path`` goes through; 0: there is none."""
    match = re.search(rf"\b{name}\.(\d+)", path)
    return int(match[1]) + 1 if match else 0


_NAMES: Mapping[type[nn.Module], str] = MappingProxyType(
    {
        Group: "group",
        InformationDistillationBlock: "information distillation block (IDB)",
        DistillationStep: "distillation step",
        LocalModule: "local module (LM)",
        EnhancedSpatialAttention: "enhanced spatial attention (ESA)",
        nn.PixelShuffle: "pixel shuffle",
    }
)


def _walk(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The stages with their paths, outer ones first. Modules inside LM, an attention layer or ESA are not stages."""
    if not isinstance(module, ASID | nn.ModuleList | nn.Identity):
        yield path, module
    if isinstance(module, ASID | nn.ModuleList | Group | InformationDistillationBlock | DistillationStep):
        for name, child in module.named_children():
            yield from _walk(child, f"{path}.{name}" if path else name)


def _describe(module: nn.Module) -> str:
    match module:
        case nn.Conv2d():
            return f"{module.kernel_size[0]}×{module.kernel_size[1]} convolution"
        case SpatialAttentionLayer():
            maps = "makes maps" if isinstance(module.attention, WindowAttention) else "reuses maps"
            return f"spatial attention (SAM), {_describe_window(module.window)}, {maps}"
        case ChannelAttentionLayer():
            return f"channel attention (CAM), {_describe_window(module.attention.window)}"
    return _NAMES[type(module)]


def _describe_window(window: AttentionWindow) -> str:
    size = window.size
    descriptions: dict[type[AttentionWindow], str] = {
        LocalWindow: f"{size}×{size} neighbours",
        GridWindow: f"{size}×{size} grid",
        StridedWindow: f"pixels {size} apart",
    }
    return descriptions[type(window)]
