"""Matched controls: the width, or the number of groups, at which a variant has the size of the base."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Literal

import torch

from asid.ablation.study.variants import Variant, merge
from asid.config import ModelConfig, NetworkConfig
from asid.model.build import build_network
from asid.model.complexity import count_macs, count_parameters
from asid.model.network import ASID

Measure = Literal["params", "macs"]
TOLERANCE = 0.02
"""Largest relative difference at which two sizes count as equal."""
_WIDEST, _MOST_GROUPS = 512, 64


@cache
def size(model: NetworkConfig, measure: Measure) -> int:
    """Parameters, or multiply-adds by torch's counter for a 1280×720 output."""
    if measure == "macs":
        return count_macs(model)
    if not isinstance(model, ModelConfig):
        with torch.device("meta"):
            return count_parameters(build_network(model))
    # One group of each kind is built and counted as often as it occurs: a search builds dozens of networks.
    reduced, kinds = model.group_kinds()
    with torch.device("meta"):
        network = ASID(reduced)
    repeated = sum((kinds.count(kind) - 1) * count_parameters(group) for kind, group in enumerate(network.groups))
    return count_parameters(network) + repeated


def match_size(model: ModelConfig, target: int, measure: Measure) -> ModelConfig:
    """The variation of ``model`` whose size is closest to ``target``.

    The width is changed, and if necessary the number of groups by one or two. The distilled slice stays a whole number
    of channels, so its ratio changes slightly with the width.

    Args:
        model: The network.
        target: The size to reach.
        measure: What size means.

    Raises:
        ValueError: No width and number of groups comes within :data:`TOLERANCE`.
    """
    candidates: list[ModelConfig] = []
    for change in range(3):
        for groups in sorted({model.num_groups - change, model.num_groups + change}):
            if 1 <= groups <= _MOST_GROUPS:
                candidates += _near(model, groups, target, measure)
        best = min(candidates, key=lambda resized: _error(resized, target, measure))
        if _error(best, target, measure) <= TOLERANCE:
            return best
    raise ValueError(
        f"no width or number of groups brings it within {TOLERANCE:.0%} of the base's {target} {measure}; "
        f"the nearest has {size(best, measure)} with num_features {best.num_features}, num_groups {best.num_groups}"
    )


def add_controls(
    variants: Mapping[str, Variant], models: Mapping[str, ModelConfig], base: str, measure: Measure
) -> dict[str, Variant]:
    """Add a control, ``<name>-matched``, after each variant that differs in size from the base.

    Args:
        variants: All variants by name.
        models: The networks of the valid variants; others get no control.
        base: Name of the base.
        measure: What size means; sizes within :data:`TOLERANCE` count as equal.

    Raises:
        ValueError: A variant cannot be matched, or the name of its control is already in use.
    """
    target = size(models[base], measure)
    result: dict[str, Variant] = {}
    for name, variant in variants.items():
        result[name] = variant
        if name in models and _error(models[name], target, measure) > TOLERANCE:
            try:
                matched = match_size(models[name], target, measure)
            except ValueError as error:
                raise ValueError(f"match: variant {name}: {error}") from None
            wanted = ("num_features", "num_groups", "distillation_ratio")
            changed = {
                key: matched.to_dict()[key] for key in wanted if getattr(matched, key) != getattr(models[name], key)
            }
            control = f"{name}-matched"
            if control in variants:
                raise ValueError(f"match: there is already a variant {control}: choose another name for it")
            result[control] = Variant(control, merge(variant.delta, {"model": changed}), control_of=name)
    return result


def _error(model: ModelConfig, target: int, measure: Measure) -> float:
    return abs(size(model, measure) / target - 1)


def _near(model: ModelConfig, groups: int, target: int, measure: Measure) -> Iterator[ModelConfig]:
    """The networks of ``groups`` groups around the width at which the size passes ``target``."""
    narrowest = max(4, model.distillation_steps + 1) if model.distillation_ratio else 4
    widths = range(max(narrowest, model.num_features // 3), min(_WIDEST, 3 * model.num_features) + 1)
    at = bisect_left(widths, target, key=lambda width: size(_resize(model, width, groups, round), measure))
    for width in widths[max(0, at - 1) : at + 2]:
        for rounding in (floor, ceil):
            yield _resize(model, width, groups, rounding)


def _resize(model: ModelConfig, width: int, groups: int, rounding: Callable[[Fraction], int]) -> ModelConfig:
    distilled = 0
    if model.distillation_ratio:
        most = (width - 1) // model.distillation_steps
        distilled = min(max(1, rounding(model.distillation_ratio * width)), most)
    return model.override(num_features=width, num_groups=groups, distillation_ratio=str(Fraction(distilled, width)))
