"""What every network of this package has: its configuration, the value range of its images, weights from a seed."""

import hashlib

import torch
from torch import Tensor, nn

from asid.config import NetworkConfig

ValueRange = tuple[float, float]
UNIT_RANGE: ValueRange = (0.0, 1.0)
"""Value range of images for weights trained here; the published weights expect (-1, 1)."""


def module_seed(seed: int, path: str) -> int:
    """The seed of what is drawn for one module, 56 bits: two networks start equal wherever they have the same layer."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:7], "big")


class Network(nn.Module):
    """A network from a batch (B, 3, H, W) to a batch (B, 3, sH, sW), both RGB with values in ``value_range``.

    Args:
        config: What describes the network.
        value_range: Smallest and largest value of the images that the weights expect.
            :mod:`asid.evaluation.inference` converts images to and from it.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig, value_range: ValueRange) -> None:
        super().__init__()
        self.config = config
        self.value_range = value_range

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the feature maps for an input of ``height`` × ``width`` pixels."""
        return height, width

    def reset_parameters(self, seed: int = 0) -> None:
        """Draw the initial weights of every module from ``seed`` and the module's path.

        The global random state is neither used nor changed.
        """
        with torch.random.fork_rng(devices=[]):
            for path, module in self.named_modules():
                if path and hasattr(module, "reset_parameters"):
                    torch.default_generator.manual_seed(module_seed(seed, path))
                    module.reset_parameters()


def check_batch(x: Tensor) -> None:
    """Raise ``ValueError`` if ``x`` does not have the shape of an RGB batch, or is empty."""
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        raise ValueError(f"expected a non-empty RGB batch of shape (B, 3, H, W), got {tuple(x.shape)}")
