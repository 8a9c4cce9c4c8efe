"""Interventions on a network for the length of a block: outputs of modules, and attention maps, replaced by others.

Weights are neither changed nor copied. On exit, also after an error, the network is what it was.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from asid.model.attention import SharedWindowAttention, WindowAttention
from asid.model.network import ASID

Place = tuple[int, int, int]
"""Group, distillation step and layer of spatial attention, from 0."""


def attention_modules(model: ASID) -> dict[Place, nn.Module]:
    """The spatial attention of each place, in the order of the forward pass."""
    config = model.config
    places = product(range(config.num_groups), range(config.distillation_steps), range(len(config.spatial_windows)))
    return {
        (group, step, layer): model.get_submodule(f"groups.{group}.block.steps.{step}.spatial.{layer}.attention")
        for group, step, layer in places
    }


@contextmanager
def replaced_outputs(replacements: Mapping[nn.Module, Callable[[tuple[Any, ...], Any], Any]]) -> Iterator[None]:
    """Let modules return something else: for each module a function of its inputs and its output."""
    with ExitStack() as hooks:
        for module, replace in replacements.items():
            hooks.enter_context(
                module.register_forward_hook(lambda _, inputs, output, replace=replace: replace(inputs, output))
            )
        yield


def replaced_maps(replacements: Mapping[nn.Module, Callable[[Tensor], Tensor]]) -> AbstractContextManager[None]:
    """Let spatial attention use other maps: for each module a function from its own map (n, T, T) to the one it uses.

    The new map is also the one that it passes on: groups that reuse it get the new one, unless theirs is replaced, too.
    """

    def attend(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> Callable[[tuple[Any, ...], Any], Any]:
        assert isinstance(module, WindowAttention | SharedWindowAttention)

        def output(inputs: tuple[Any, ...], own: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            attention_map = replace(own[1])
            return module.out(torch.bmm(attention_map, module.value(inputs[0]))), attention_map

        return output

    return replaced_outputs({module: attend(module, replace) for module, replace in replacements.items()})


def uniform_attention(model: nn.Module) -> AbstractContextManager[None]:
    """Make every spatial attention map of ``model`` uniform: all T tokens of a window get the weight 1/T."""
    makers = [module for module in model.modules() if isinstance(module, WindowAttention)]
    return replaced_maps(dict.fromkeys(makers, uniform_map))


def uniform_map(attention_map: Tensor) -> Tensor:
    """A map of the shape of ``attention_map`` (n, T, T) with equal weights 1/T."""
    return torch.full_like(attention_map, 1 / attention_map.shape[-1])
