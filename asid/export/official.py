"""The published format: the tensors of a network under the names of the published code, in a ``.pth`` file.

The names are not written down a second time. :func:`asid.model.checkpoint.from_published` only renames and splits
tensors, so numbered tensors that it is given come out at the places that ours must be taken from.
"""

import re
from pathlib import Path

import torch

from asid.config import ModelConfig
from asid.evaluation.verify import published_shapes
from asid.files import atomic_write
from asid.model.base import Network
from asid.model.checkpoint import PUBLISHED_RANGE, StateDict, from_published

_NEOSR = {3: "asid", 8: "asid_d8"}
"""Names of the networks in neosr (github.com/neosr-project/neosr), by number of groups."""


def write_official(network: Network, path: str | Path) -> Path:
    """Write the weights of a network under the published names, as ``torch.save`` writes a state dict.

    The tensors are those of the network, whatever its value range: see :func:`how_to_load`.

    Raises:
        ValueError: The published code has no such network.
    """
    with atomic_write(path) as partial:
        torch.save(to_published(network), partial)
    return Path(path)


def to_published(network: Network) -> StateDict:
    """The state dict of a network with the published names, the inverse of ``from_published``.

    Raises:
        ValueError: The published code has no such network.
    """
    config = network.config
    _check_config(config)
    assert isinstance(config, ModelConfig)
    ours = network.state_dict()
    shapes = _names_and_shapes(config.num_groups, config.scale)
    numbered = {name: torch.full(shape, i) for i, (name, shape) in enumerate(shapes.items())}
    parts: list[list[str]] = [[] for _ in shapes]
    for name, numbers in from_published(numbered)[1].items():  # the parts of a tensor in their order
        parts[int(numbers.flatten()[0])].append(name)
    published = {
        name: torch.cat([ours[part].detach().cpu().contiguous() for part in names])
        for name, names in zip(shapes, parts, strict=True)
    }
    found, tensors = from_published(published)
    assert found == config
    assert tensors.keys() == ours.keys()
    assert all(torch.equal(tensors[name], ours[name].cpu()) for name in ours)
    return published


def how_to_load(network: Network) -> tuple[str, ...]:
    """What a person must know who loads the file, a sentence each."""
    config = network.config
    assert isinstance(config, ModelConfig)
    low, high = network.value_range
    if network.value_range == PUBLISHED_RANGE:
        values = (
            "Values: the network takes and returns images in [-1, 1], as the published ones do. A program that works "
            "in [0, 1], such as neosr, must put 2x - 1 before it and (y + 1) / 2 behind it. Weights cannot hide that: "
            "beyond the border, convolutions see 0, which is grey in the one range and black in the other."
        )
    else:
        values = (
            f"Values: the network takes and returns images in [{low:g}, {high:g}]. The published code, and this "
            "package where it reads a .pth file, give it images in [-1, 1]: keep the .safetensors file for those."
        )
    if (name := _NEOSR.get(config.num_groups)) is None:
        return (values,)
    options = f"num_feat: {config.num_features}, pe: true, flash_attn: false"
    return values, f"In neosr this is {name} with {options}; its defaults are another network."


def _names_and_shapes(groups: int, scale: int) -> dict[str, tuple[int, ...]]:
    """Names of the published tensors of a network with this many groups, in their order, with shapes for C = 48."""
    shapes = published_shapes("asid", scale)
    later = {name: shape for name, shape in shapes.items() if name.startswith("block1.")}
    first = {name: shape for name, shape in shapes.items() if name.startswith("block0.")}
    rest = {name: shape for name, shape in shapes.items() if not re.match(r"block\d+\.", name)}
    blocks = [
        {name.replace("block1.", f"block{group}.", 1): shape for name, shape in later.items()}
        for group in range(1, groups)
    ]
    return {name: shape for part in (first, *blocks, rest) for name, shape in part.items()}


def _check_config(config: object) -> None:
    """Refuse a network that the published code cannot build: there, C, G and s vary, and nothing else."""
    if not isinstance(config, ModelConfig):
        raise ValueError("--to official: expected an ASID network, got a plain CNN; --to onnx takes every network")
    published = ModelConfig(num_features=config.num_features, num_groups=config.num_groups, scale=config.scale)
    mine, theirs = config.to_dict(), published.to_dict()
    if others := [f"{name}: {mine[name]} (there {theirs[name]})" for name in mine if mine[name] != theirs[name]]:
        raise ValueError(
            f"--to official: the published code has no such network: expected its values, got {', '.join(others)}; "
            "--to onnx takes every network"
        )
