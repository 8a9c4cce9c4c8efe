"""From a configuration to the network that it describes."""

from asid.config import ModelConfig, NetworkConfig
from asid.model.base import UNIT_RANGE, Network, ValueRange
from asid.model.network import ASID
from asid.model.plain_cnn import PlainCNN


def build_network(config: NetworkConfig, *, seed: int = 0, value_range: ValueRange = UNIT_RANGE) -> Network:
    """Build the network that ``config`` describes, with the initial weights of ``seed``."""
    if isinstance(config, ModelConfig):
        return ASID(config, seed=seed, value_range=value_range)
    return PlainCNN(config, seed=seed, value_range=value_range)
