"""The reference rows of a study: what its variants are compared with, and what is not tested against the base itself.

``bicubic`` and ``linear`` need no training: they are scored once. ``plain-cnn`` is a network without attention, of the
size of the base and trained on the same patches: it is run once for each seed, like a variant.
"""

from bisect import bisect_left
from typing import Any, Literal

from asid.config import ModelConfig, PlainCNNConfig, RunConfig

Reference = Literal["bicubic", "linear", "plain-cnn"]
REFERENCES: dict[str, str] = {
    "bicubic": "no training",
    "linear": "least-squares filter",
    "plain-cnn": "residual CNN without attention",
}
"""Every reference, and what tables say about it."""
TRAINED: tuple[Reference, ...] = ("plain-cnn",)
"""Those that are trained."""

_RECIPE: dict[str, Any] = {
    "start": "random",
    "pretrained": None,
    "value_range": [-1, 1],
    "optimizer": "adamw",
    "muon_rate": 0.02,
    "learning_rate": 0.004,
    "rates": {},
    "betas": [0.9, 0.99],
    "schedule": "trapezoid",
    "warmup_steps": 20,
    "gradient_clip": 0.03,
}
"""A good recipe for the plain CNN, measured in ablations/README.md: what it does not take over from the base."""
_WIDEST = 2048


def plain_cnn_run(base: RunConfig, width: int | None = None) -> RunConfig:
    """The run of ``plain-cnn`` beside a run of the base: the same photographs, patches, steps, batches and evaluation.

    Its optimisation is its own: the base's learning rates and start suit the parts of ASID.

    Args:
        base: The run of the base.
        width: Channels of the plain CNN, where they are known; otherwise networks are built to find them.

    Raises:
        ValueError: The network of ``base`` is not an ASID network, or too small to be matched.
    """
    if not isinstance(base.model, ModelConfig):
        raise ValueError(f"expected an ASID network as the base of a study, got {base.model.network}")
    model = _plain_cnn(base.model, width) if width else plain_cnn_of_size(base.model)
    return base.override(model=model.to_dict(), train={**base.train.to_dict(), **_RECIPE})


def plain_cnn_of_size(model: ModelConfig) -> PlainCNNConfig:
    """The plain CNN for the scale of ``model`` whose number of parameters is nearest to that of ``model``."""
    from asid.ablation.study.matching import size  # builds networks

    target = size(model, "params")

    def parameters(width: int) -> int:
        return size(_plain_cnn(model, width), "params")

    above = bisect_left(range(1, _WIDEST), target, key=parameters) + 1  # the first width that is not too narrow
    nearest = min((max(1, above - 1), above), key=lambda width: abs(parameters(width) - target))
    return _plain_cnn(model, nearest)


def _plain_cnn(model: ModelConfig, width: int) -> PlainCNNConfig:
    return PlainCNNConfig(scale=model.scale, num_features=width)
