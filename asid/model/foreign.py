"""Anyone's network: any module from (1, 3, H, W) to (1, 3, sH, sW), made by a function that an import path names."""

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from asid.model.base import UNIT_RANGE, ValueRange
from asid.model.checkpoint import CheckpointError
from asid.model.observe import evaluation_mode
from asid.model.pretrained import load_model

PROBE_SIDE = 64
"""Side of the image with which a network is tried: a multiple of the usual windows, 8, 16 and 32."""
_CONTAINERS = ("params_ema", "params", "state_dict", "model_state_dict", "model")
"""Keys under which training programs store the weights; the first that a file has counts."""


def open_network(
    model: str, weights: str | Path | None = None, value_range: ValueRange = UNIT_RANGE, device: str = "cpu"
) -> nn.Module:
    """Load one of this package's networks, or import anyone's.

    Args:
        model: What :func:`asid.model.pretrained.load_model` accepts, or ``package.module:factory``: a function or class
            that is called without arguments, importable from the current folder.
        weights: For a factory, a file of its state dict (``.safetensors``, or what ``torch.save`` writes, read as
            tensors only: no code in it is executed); ``None``: the weights that it makes.
        value_range: For a factory, smallest and largest value of its images.
        device: A PyTorch device.

    Returns:
        The network in evaluation mode, with the attribute ``value_range``.

    Raises:
        FileNotFoundError: There is no such model or file.
        ValueError: The factory cannot be imported or called, or makes no module; or weights or a value range are given
            for a network of this package, whose file has them.
        CheckpointError: The weights cannot be read, or do not fit.
    """
    if not is_factory(model):
        if weights is not None or value_range != UNIT_RANGE:
            raise ValueError(f"{model} has its own weights and value range: leave the options out")
        return load_model(model, device)
    network = _make(model)
    if weights is not None:
        _load(network, Path(weights))
    network.value_range = value_range  # type: ignore[assignment]  # what asid.interpret.gradients reads
    return network.to(torch.device(device)).eval()


def is_factory(model: str) -> bool:
    """Whether ``model`` is ``package.module:factory``, not a network of this package."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", model) is not None


def _make(path: str) -> nn.Module:
    module_name, name = path.split(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a command that was installed does not see the current folder
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {path}: {error}; expected package.module:factory, seen from {here}") from error
    try:
        network = factory()
    except TypeError as error:
        raise ValueError(
            f"cannot call {path} without arguments: {error}; write a function that gives them, e.g. "
            "def network(): return Network(scale=4)"
        ) from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected {path} to return a torch.nn.Module, got a {type(network).__name__}")
    return network


def _load(network: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # whatever the readers raise for a file that is something else
        raise CheckpointError(
            f"{path}: cannot be read as tensors alone, and code in a file is not executed ({type(error).__name__}); "
            "expected a state dict, saved by torch.save or as safetensors"
        ) from error
    try:
        network.load_state_dict(_state_dict(content, path))
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the network: {' '.join(str(error).split())[:600]}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors in a file, without the containers and the prefix that training programs add."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in _CONTAINERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path}: expected a state dict, by itself or under one of the keys {', '.join(_CONTAINERS)}"
        )
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


@torch.no_grad()
def find_scale(network: nn.Module) -> int:
    """The scale s of a network, from the size of its output for an image of 64×64 pixels.

    Raises:
        ValueError: It fails for that image, or its output is not an enlarged RGB image.
    """
    parameter = next(network.parameters(), torch.empty(0))
    image = torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE, device=parameter.device, dtype=parameter.dtype)
    try:
        with evaluation_mode(network):
            output = network(image)
    except Exception as error:
        raise ValueError(f"the network fails for an image {tuple(image.shape)}: {_first_line(error)}") from error
    shape = tuple(output.shape) if isinstance(output, Tensor) else (type(output).__name__,)
    if len(shape) != 4 or shape[:2] != (1, 3) or shape[2] != shape[3] or shape[2] % PROBE_SIDE:
        raise ValueError(f"expected a network from {tuple(image.shape)} to (1, 3, s·64, s·64), got {shape}")
    return int(shape[2]) // PROBE_SIDE
