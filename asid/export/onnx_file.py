"""A network as ONNX: images of any size in, padding and cropping inside, checked against the network before it is kept.

The graph is traced (``dynamo=False``). PyTorch's newer exporter proves each reshape for symbolic sizes: for the small
``asid-tiny`` that took 120 s and 10 MB here, for the trace 8 s and 1.6 MB. What a trace can get wrong, a size that it
takes for a constant, is what the check would find.
"""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import ModelConfig
from asid.files import atomic_write
from asid.model.base import Network

OPSET = 17
"""The first with layer normalisation; ONNX Runtime has had it since 2022."""
TRACED_SIZE = (24, 40)
"""Height and width of the image that is traced: multiples of no window but 8, and not equal."""
CHECKED_SIZES = ((5, 9), (19, 45), (71, 37))
"""Height and width of the images of the check: odd, none of the traced size, one below the least size of ESA."""
TOLERANCE = 1e-4
"""Largest difference that passes, for values in [0, 1]: a fortieth of a grey level."""


class Checked(NamedTuple):
    """What a check found."""

    difference: float
    """Largest difference from the network, for values in [0, 1]."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of the images."""

    def sentence(self) -> str:
        """The result for a person."""
        sizes = ", ".join(f"{width}×{height}" for height, width in self.sizes)
        return (
            f"Checked with ONNX Runtime at {sizes} (width×height): largest difference from the network "
            f"{self.difference:.1e}, for values in [0, 1]. RGB, NCHW, values in [0, 1] in and out."
        )


class _AnySize(nn.Module):
    """The network with images in [0, 1], padded here: the sizes of a trace are tensors, of which Python has no max.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()  # this module stays in training mode: PyTorch then merges no weights that are equal, such as
        self.network = network.eval()  # the temperatures of an untrained network, of which it would lose one
        self.least, _ = network.padded_size(1, 1)
        self.multiple = network.config.size_multiple if isinstance(network.config, ModelConfig) else 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 3, sH, sW) in [0, 1], clipped."""
        (low, high), s = self.network.value_range, self.network.config.scale
        height, width = x.shape[-2:]
        x = x * (high - low) + low
        x = F.pad(x, (0, self._missing(width), 0, self._missing(height)))  # zeros of the network's range, as it pads
        sr = self.network(x)[..., : height * s, : width * s]
        return ((sr - low) / (high - low)).clamp(0, 1)

    def _missing(self, side: Any) -> Any:
        """Pixels that a side lacks; ``side`` is a tensor in a trace."""
        multiples = (side + self.multiple - 1) // self.multiple * self.multiple
        return torch.as_tensor(multiples).clamp(min=self.least) - side


def write_onnx(network: Network, path: str | Path) -> Checked:
    """Write a network as ONNX and check it; a file that fails the check is not kept.

    Input ``lr``, float32 (batch, 3, height, width), and output ``sr``, (batch, 3, s·height, s·width), are RGB in
    [0, 1], also where the network has another value range. All but the channels is dynamic. Scale, layout, value range
    and configuration are in the metadata of the file.

    Raises:
        ImportError: ``onnx`` or ``onnxruntime`` is not installed.
        ValueError: The graph does not compute what the network does.
    """
    import onnx
    import onnxruntime  # noqa: F401  # before the work: it is needed at the end

    axes = {0: "batch", 2: "height", 3: "width"}
    with atomic_write(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, and that there is a newer exporter
        torch.onnx.export(
            _AnySize(network),
            (torch.rand(1, 3, *TRACED_SIZE, generator=torch.Generator().manual_seed(0)),),
            partial,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=OPSET,
            input_names=["lr"],
            output_names=["sr"],
            dynamic_axes={"lr": axes, "sr": {0: "batch", 2: "sr_height", 3: "sr_width"}},
        )
        graph = onnx.load(partial)
        onnx.helper.set_model_props(graph, _metadata(network))
        onnx.checker.check_model(graph)
        onnx.save(graph, partial)
        return check_onnx(network, partial)


def _metadata(network: Network) -> dict[str, str]:
    return {
        "scale": str(network.config.scale),
        "layout": "NCHW",
        "colour": "RGB",
        "value_range": "[0, 1]",
        "model": json.dumps(network.config.to_dict()),
    }


@torch.no_grad()
def check_onnx(network: Network, path: str | Path) -> Checked:
    """Compare an ONNX file with the network, on images of three odd sizes, with ONNX Runtime on the CPU.

    Raises:
        ImportError: ``onnxruntime`` is not installed.
        ValueError: A size is refused or wrong, or a value differs by more than :data:`TOLERANCE`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    low, high = network.value_range
    generator, sizes, largest = torch.Generator().manual_seed(0), _sizes(network), 0.0
    for batch, (height, width) in enumerate(sizes, start=1):
        lr = torch.rand(batch, 3, height, width, generator=generator)
        expected = ((network(lr * (high - low) + low) - low) / (high - low)).clamp(0, 1)
        try:
            sr = torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])
        except Exception as error:  # ONNX Runtime has a class for each of its codes, without a common base
            raise ValueError(f"ONNX Runtime refuses an image of {width}×{height}: {str(error)[:200]}") from None
        if sr.shape != expected.shape:
            raise ValueError(
                f"ONNX at {width}×{height}: expected an output of shape {tuple(expected.shape)}, got {tuple(sr.shape)}"
            )
        difference = float((sr - expected).abs().max())
        if not difference <= TOLERANCE:  # also NaN
            raise ValueError(
                f"ONNX at {width}×{height}: expected a difference from the network of at most {TOLERANCE:.0e}, got "
                f"{difference:.1e}; nothing was written"
            )
        largest = max(largest, difference)
    return Checked(largest, sizes)


def _sizes(network: Network) -> tuple[tuple[int, int], ...]:
    """The sizes of the check, see :data:`CHECKED_SIZES`.

    Where ESA pads by reflection, sides are at least 17: up to 16 it pools to one pixel, which ONNX does not reflect.
    """
    config = network.config
    least = 17 if isinstance(config, ModelConfig) and config.esa and config.padding == "reflect" else 1
    return tuple((max(height, least), max(width, least)) for height, width in CHECKED_SIZES)
