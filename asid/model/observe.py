"""Observing a network without leaving a trace: evaluation mode for the length of a block, outputs of modules."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into evaluation mode; on exit, also after an error, every module gets back the mode it had."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in training:
            module.training = mode


@torch.no_grad()
def output_shapes(model: nn.Module, x: Tensor) -> dict[str, list[Shape]]:
    """Shapes of the tensors that each module returns in one forward pass.

    Args:
        model: Any network, also one on the ``meta`` device.
        x: Its input.

    Returns:
        By module path (empty for ``model`` itself) the shape of each tensor in the module's output, in order. Nested
        tuples are skipped; modules that are never called, such as a plain list of modules, are absent.
    """
    shapes: dict[str, list[Shape]] = {}

    def record(path: str, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        shapes[path] = [tuple(tensor.shape) for tensor in outputs if isinstance(tensor, Tensor)]

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            hooks.enter_context(module.register_forward_hook(lambda _, __, output, path=path: record(path, output)))
        model(x)
    return shapes


@torch.no_grad()
def module_outputs(model: nn.Module, x: Tensor, paths: Iterable[str]) -> dict[str, Tensor]:
    """What modules return in one forward pass in evaluation mode, by their paths; of a tuple the first tensor."""
    outputs: dict[str, Tensor] = {}

    def keep(path: str, output: Any) -> None:
        outputs[path] = output[0] if isinstance(output, tuple) else output

    with ExitStack() as stack:
        for path in paths:
            module = model.get_submodule(path)
            stack.enter_context(module.register_forward_hook(lambda _, __, output, path=path: keep(path, output)))
        stack.enter_context(evaluation_mode(model))
        model(x)
    return outputs
