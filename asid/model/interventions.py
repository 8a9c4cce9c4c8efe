"""Interventions on a network for the length of a block: spatial attention maps replaced by uniform ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from asid.model.attention import WindowAttention


@contextmanager
def uniform_attention(model: nn.Module) -> Iterator[None]:
    """Make every spatial attention map of ``model`` uniform: all T tokens of a window get the weight 1/T.

    Maps are replaced where they are made, so groups that reuse them get the uniform ones. Weights are neither changed
    nor copied. On exit, also after an error, the network makes its own maps again.
    """
    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, WindowAttention):
                # Adding the bias is the last step before the softmax, and equal scores give a uniform map.
                hooks.enter_context(module.bias.register_forward_hook(lambda _, __, scores: torch.zeros_like(scores)))
        yield
