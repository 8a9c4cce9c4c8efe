"""Lesions: what a trained network loses if one of its parts does nothing, without training it again.

A lesion says what the weights at hand rely on. It does not say what a network trained without the part would reach: the
other parts would then have learnt to do without it. :func:`rank_agreement` compares the two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from asid.config import ModelConfig
from asid.interpret.attention_maps import with_attention
from asid.interpret.crops import Crops, luma_errors, psnr_by_image, super_resolve
from asid.model.base import Network
from asid.model.interventions import replaced_outputs

Effect = Literal["identity", "zero", "first channels"]
"""What a module returns instead of its output: its input; zeros, so that a residual branch adds nothing; its output
with the first channels set to zero, those that a distillation step puts aside."""


@dataclass(frozen=True)
class Lesion:
    """Modules that do nothing, and what they do instead."""

    label: str
    """What is shown."""
    part: str
    """Kind of part, e.g. ``LM``; one colour in a plot."""
    effects: tuple[tuple[str, Effect], ...]
    """Paths of modules, and the effect on each."""
    channels: int = 0
    """How many channels *first channels* are."""


@dataclass(frozen=True)
class Lesions:
    """Losses are PSNR of the intact network minus PSNR with the lesion, in dB."""

    lesions: tuple[Lesion, ...]
    """The P lesions."""
    images: tuple[str, ...]
    """Names of the N images."""
    psnr: NDArray[np.float64]
    """PSNR of the intact network, (N,)."""
    loss: NDArray[np.float64]
    """(P, N)."""

    def arrays(self) -> dict[str, NDArray]:
        """All of it by name, to be saved."""
        labels, parts = (np.array([getattr(lesion, name) for lesion in self.lesions]) for name in ("label", "part"))
        return {"labels": labels, "parts": parts, "images": np.array(self.images), "psnr": self.psnr, "loss": self.loss}


def places_of(model: Network) -> tuple[Lesion, ...]:
    """A lesion for each LM, SE gate, attention layer, FFN, distilled slice and ESA of an ASID network.

    Identity in place of a layer with a residual connection means that its branch adds nothing.

    Raises:
        ValueError: ``model`` is not an ASID network.
    """
    return tuple(_places(with_attention(model).config))


def _places(config: ModelConfig) -> Iterator[Lesion]:
    k = config.distilled_channels
    for group in range(config.num_groups):
        block, name = f"groups.{group}.block", f"group {group + 1}"
        for step in range(config.distillation_steps):
            path, where = f"{block}.steps.{step}", f"{name}, step {step + 1}"
            if config.local_module:
                yield Lesion(f"{where}: LM", "LM", ((f"{path}.local", "identity"),))
                if config.squeeze_excitation:
                    yield Lesion(f"{where}: SE", "SE", ((f"{path}.local.gate", "identity"),))
            for layer, kind in enumerate(config.spatial_windows):
                at = f"{path}.spatial.{layer}"
                yield Lesion(f"{where}: {kind} attention", "SAM attention", ((f"{at}.attention", "zero"),))
                yield Lesion(f"{where}: {kind} FFN", "SAM FFN", ((f"{at}.ffn", "zero"),))
            if k and step < config.distillation_steps - 1:
                yield Lesion(f"{where}: distilled slice", "distilled slice", ((path, "first channels"),), k)
        for layer, kind in enumerate(config.channel_windows):
            at = f"{block}.channel.{layer}"
            yield Lesion(f"{name}: {kind} channel attention", "CAM attention", ((f"{at}.attention", "zero"),))
            yield Lesion(f"{name}: {kind} CAM FFN", "CAM FFN", ((f"{at}.ffn", "zero"),))
        if config.esa:
            yield Lesion(f"{name}: ESA", "ESA", ((f"groups.{group}.esa", "identity"),))


def components_of(model: Network) -> dict[str, Lesion]:
    """A lesion for each component that studies take out by name, in all of its places at once.

    Attention sharing is not among them: a network has no parts that could do nothing instead.

    Raises:
        ValueError: ``model`` is not an ASID network.
    """
    config = with_attention(model).config
    blocks = [f"groups.{group}.block" for group in range(config.num_groups)]
    steps = [f"{block}.steps.{step}" for block, step in product(blocks, range(config.distillation_steps))]
    making = [
        f"groups.{group}.block.steps.{step}.spatial"
        for group, step in product(range(config.num_groups), range(config.distillation_steps))
        if config.makes_maps(group)
    ]

    def windows(kind: str) -> list[str]:
        spatial = [f"{step}.spatial.{i}" for step in steps for i in _positions(config.spatial_windows, kind)]
        return spatial + [f"{block}.channel.{i}" for block in blocks for i in _positions(config.channel_windows, kind)]

    paths: dict[str, list[str]] = {
        "meso": windows("meso"),
        "global": windows("global"),
        "channel-attention": [f"{block}.channel.{i}" for block in blocks for i in range(len(config.channel_windows))],
        "local-module": [f"{step}.local" for step in steps if config.local_module],
        "squeeze-excitation": [
            f"{step}.local.gate" for step in steps if config.local_module and config.squeeze_excitation
        ],
        "esa": [f"groups.{group}.esa" for group in range(config.num_groups) if config.esa],
        "position-bias": [
            f"{path}.{i}.attention.bias"
            for path in making
            for i in range(len(config.spatial_windows))
            if config.position_bias
        ],
    }
    lesions = {
        name: Lesion(name, name, tuple((path, "identity") for path in found)) for name, found in paths.items() if found
    }
    aside = [f"{block}.steps.{i}" for block in blocks for i in range(config.distillation_steps - 1)]
    if (k := config.distilled_channels) and aside:
        lesions["distillation"] = Lesion(
            "distillation", "distillation", tuple((path, "first channels") for path in aside), k
        )
    return lesions


def _positions(windows: Sequence[str], kind: str) -> list[int]:
    return [position for position, window in enumerate(windows) if window == kind]


def lesioned(model: nn.Module, lesion: Lesion) -> AbstractContextManager[None]:
    """Let the modules of a lesion do nothing, for the length of a block."""
    return replaced_outputs({model.get_submodule(path): _effect(effect, lesion) for path, effect in lesion.effects})


def _effect(effect: Effect, lesion: Lesion) -> Callable[[tuple[Any, ...], Any], Any]:
    def replace(inputs: tuple[Any, ...], output: Any) -> Any:
        # Modules with attention return their features and the map, which other groups may need.
        features, *others = output if isinstance(output, tuple) else (output,)
        match effect:
            case "identity":
                changed = inputs[0]
            case "zero":
                changed = features.new_zeros(features.shape)
            case "first channels":
                changed = features.clone()
                changed[:, : lesion.channels] = 0
        return (changed, *others) if isinstance(output, tuple) else changed

    return replace


def lesion_losses(
    model: nn.Module,
    crops: Crops,
    lesions: Iterable[Lesion],
    *,
    on_pass: Callable[[int, int], None] | None = None,
) -> Lesions:
    """Measure what each lesion costs.

    Args:
        model: Any network from (B, 3, H, W) to (B, 3, sH, sW) with the modules that the lesions name.
        crops: The images.
        lesions: :func:`places_of`, the values of :func:`components_of`, or others.
        on_pass: Called after each lesion with the number done and in total.
    """
    chosen = tuple(lesions)
    psnr = psnr_by_image(model, crops)
    loss = np.zeros((len(chosen), len(crops.names)))
    for position, lesion in enumerate(chosen):
        with lesioned(model, lesion):
            loss[position] = psnr - psnr_by_image(model, crops)
        if on_pass:
            on_pass(position + 1, len(chosen))
    return Lesions(chosen, crops.names, psnr, loss)


def error_increase(model: nn.Module, crops: Crops, lesion: Lesion) -> NDArray[np.float64]:
    """Where in the images quality is lost: the squared error with the lesion minus that without, of luma, (N, h', w').

    The protocol crops s pixels at each border. The mean over an image is the increase of its mean squared error.
    """
    intact = luma_errors(super_resolve(model, crops.lr), crops)
    with lesioned(model, lesion):
        return luma_errors(super_resolve(model, crops.lr), crops) ** 2 - intact**2


@dataclass(frozen=True)
class Agreement:
    """How well the order of components by their lesions agrees with that by networks trained without them."""

    components: tuple[str, ...]
    """Those that both have."""
    spearman: float
    """Spearman's rank correlation."""
    kendall: float
    """Kendall's τ-b."""
    p: float
    """Of no agreement: two-sided, Spearman's correlation over permutations of the components."""


def rank_agreement(lesions: Mapping[str, float], retrained: Mapping[str, float]) -> Agreement:
    """Whether lesions predict ablations: rank correlations over the components that both have.

    Args:
        lesions: dB lost by the lesion of each component.
        retrained: dB lost by a network trained without it, see
            :func:`asid.ablation.report.components.lost_without`.

    Raises:
        ValueError: They have fewer than three components in common.
    """
    common = tuple(name for name in lesions if name in retrained)
    if len(common) < 3:
        raise ValueError(f"expected at least three components in common, got {', '.join(common)}")
    a, b = ([values[name] for name in common] for values in (lesions, retrained))

    def correlation(shuffled: NDArray[np.float64]) -> float:
        return float(stats.spearmanr(shuffled, b).statistic)

    test = stats.permutation_test(
        (np.array(a),), correlation, permutation_type="pairings", n_resamples=2000, rng=np.random.default_rng(0)
    )
    return Agreement(common, float(test.statistic), float(stats.kendalltau(a, b).statistic), float(test.pvalue))
