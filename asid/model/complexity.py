"""Cost of a network: parameters, and multiply-adds for a given output size by three independent counters.

All counts are multiply-adds (MACs: one multiply and one add), the unit of the papers' tables for an output of 1280×720.
The LR input is ``output // scale`` before padding. torch's counter and ptflops run on the ``meta`` device: shapes only,
no memory and no arithmetic.

The counters differ in what they include. torch's counts convolutions and matrix products; ptflops adds activations,
softmax and element-wise work; fvcore counts the products of a traced graph and, by its own rules, normalisation. All
three must count the products inside attention: a counter that misses them hides what attention sharing saves.
"""

import contextlib
import io
import logging
import math
from dataclasses import asdict, dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from asid.config import ModelConfig, NetworkConfig
from asid.model.base import Network
from asid.model.build import build_network
from asid.model.observe import output_shapes

OUTPUT = (1280, 720)
"""Output size of the papers' tables, (width, height) in pixels."""


@dataclass(frozen=True)
class Complexity:
    """Cost of a network; MACs are for one image of ``output`` (width, height) pixels."""

    parameters: int
    macs_torch: int
    macs_ptflops: int
    macs_fvcore: int
    output: tuple[int, int]

    def to_dict(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {**asdict(self), "output": list(self.output)}


def count_parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def measure_complexity(config: NetworkConfig, output: tuple[int, int] = OUTPUT) -> Complexity:
    """Count parameters and multiply-adds of the network that ``config`` describes.

    Args:
        config: The network.
        output: Size of the output, (width, height) in pixels.
    """
    model, lr = _on_meta(config, output)
    return Complexity(
        count_parameters(model), _torch_macs(model, lr), _ptflops_macs(model, lr), _fvcore_macs(config, lr), output
    )


def count_macs(config: NetworkConfig, output: tuple[int, int] = OUTPUT) -> int:
    """Multiply-adds by torch's counter alone, which takes less than a second."""
    return _torch_macs(*_on_meta(config, output))


@torch.no_grad()
def macs_by_module(config: NetworkConfig, output: tuple[int, int] = OUTPUT) -> dict[str, int]:
    """Multiply-adds of each module by torch's counter, without those of the modules inside it.

    Args:
        config: The network.
        output: Size of the output, (width, height) in pixels.

    Returns:
        Multiply-adds by module path; the path of the network itself is empty. Modules without multiply-adds are absent.
        The values sum to :func:`count_macs`.
    """
    model, lr = _on_meta(config, output)
    with FlopCounterMode(display=False) as counter:
        model(lr)
    root = type(model).__name__
    within = {
        name.removeprefix(root).removeprefix("."): sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
        if name.startswith(root)  # the counter adds a total of its own, "Global"
    }
    own = dict(within)
    for path in within:
        parent = path
        while parent:  # a list of modules is never called: the nearest ancestor that is counts its members
            parent = parent.rpartition(".")[0]
            if parent in within:
                own[parent] -= within[path]
                break
    return {path: macs for path, macs in own.items() if macs}


def _on_meta(config: NetworkConfig, output: tuple[int, int]) -> tuple[Network, torch.Tensor]:
    """The network and its LR input, shapes only."""
    width, height = (max(1, side // config.scale) for side in output)
    with torch.device("meta"):
        return build_network(config).eval(), torch.empty(1, 3, height, width)


@torch.no_grad()
def _torch_macs(model: Network, lr: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        model(lr)
    return counter.get_total_flops() // 2


def _ptflops_macs(model: Network, lr: torch.Tensor) -> int:
    from ptflops import get_model_complexity_info

    with contextlib.redirect_stdout(io.StringIO()):
        macs, _ = get_model_complexity_info(
            model,
            tuple(lr.shape[1:]),
            input_constructor=lambda _: {"x": lr},
            as_strings=False,
            print_per_layer_stat=False,
            backend="aten",
        )
    return int(macs)


@torch.no_grad()
def _fvcore_macs(config: NetworkConfig, lr: torch.Tensor) -> int:
    """Multiply-adds by fvcore's counter.

    fvcore traces real tensors, which takes a long time and a lot of memory. So the smallest input is counted, and of
    ASID one group of each kind. The count of each module is then scaled to ``lr`` by the number of values that the
    module returns, to which the work of a convolution, a product, a norm or a resize is proportional, and multiplied by
    the number of groups of its kind.
    """
    from fvcore.nn import FlopCountAnalysis

    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    reduced, kinds = config.group_kinds() if isinstance(config, ModelConfig) else (config, ())
    repeats = {f"groups.{kind}": kinds.count(kind) for kind in set(kinds)}

    smallest = torch.zeros(1, 3, 1, 1)
    model = build_network(reduced).eval()
    analysis = FlopCountAnalysis(model, smallest)
    counts = (
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none").by_module()
    )
    before, after = _output_sizes(model, smallest), _output_sizes(model.to("meta"), lr)
    total = 0
    for name, module in model.named_modules():
        own = counts[name] - sum(counts[f"{name}.{child}" if name else child] for child, _ in module.named_children())
        if own:
            total += own * after[name] // before[name] * repeats.get(".".join(name.split(".")[:2]), 1)
    return total


def _output_sizes(model: Network, lr: torch.Tensor) -> dict[str, int]:
    """How many values each module returns for ``lr`` (its first tensor, if there are several)."""
    return {path: math.prod(shapes[0]) for path, shapes in output_shapes(model, lr).items()}
