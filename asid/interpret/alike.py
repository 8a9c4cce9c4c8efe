"""How alike maps and features are between the places of a network and with other networks, beside nulls.

A similarity means something only beside that of things which cannot be alike for the reason that is claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from asid.config import ModelConfig
from asid.interpret.attention_maps import with_attention
from asid.interpret.crops import Crops
from asid.interpret.similarity import Measure, debiased_cka, row_similarity
from asid.interpret.transplant import network_input, null_maps, own_maps
from asid.model.attention import WindowAttention
from asid.model.base import Network, module_seed
from asid.model.interventions import attention_modules
from asid.model.network import ASID
from asid.model.observe import module_outputs

Step = tuple[int, int]
"""Group and distillation step, from 0."""
SHUFFLED_TOKENS = "shuffled tokens"


@dataclass(frozen=True)
class MapSimilarity:
    """Similarity of spatial attention maps, means over all rows of all images.

    P = G·S places, group by group; L layers of a step.
    """

    places: tuple[Step, ...]
    """The P places."""
    between: NDArray[np.float64]
    """Of the maps of two places of the network, (P, P, L)."""
    nulls: dict[str, NDArray[np.float64]]
    """Of each place's map and :data:`asid.interpret.transplant.NULLS`, (P, L)."""
    others: dict[str, NDArray[np.float64]]
    """Of each place's map and that of the same place in other networks, (P, L): only those with the same windows."""


@dataclass(frozen=True)
class TokenSimilarity:
    """Debiased linear CKA (:func:`asid.interpret.similarity.debiased_cka`) of the features that steps return."""

    places: tuple[Step, ...]
    """The P places."""
    between: NDArray[np.float64]
    """Of two places of the network, (P, P)."""
    nulls: dict[str, NDArray[np.float64]]
    """Of each place and the same place in the untrained network, and of each place and its own features with the pixels
    permuted, (P,)."""
    others: dict[str, NDArray[np.float64]]
    """Of each place and the same place in other networks with as many groups and steps, (P,)."""


def map_similarity(
    model: Network, crops: Crops, others: Mapping[str, Network] | None = None, *, measure: Measure, seed: int = 0
) -> MapSimilarity:
    """Compare the spatial attention maps of all places with each other, with nulls, and with other networks.

    Args:
        model: The network.
        crops: The images.
        others: Other networks by label: variants, or other seeds of the same configuration.
        measure: How two rows are compared.
        seed: Seed of the untrained network, best the one with which ``model`` began, and of the permuted rows.

    Raises:
        ValueError: ``model`` is not an ASID network with spatial attention.
    """
    model = with_attention(model)
    if not model.config.spatial_windows:
        raise ValueError("this network has no spatial attention: its spatial_windows are empty")
    own = own_maps(model, crops)
    nulls = null_maps(model, crops, own, seed)
    alike = {
        name: own_maps(other, crops)
        for name, other in (others or {}).items()
        if isinstance(other, ASID) and _windows(other.config) == _windows(model.config)
    }
    places, layers = _steps(model.config), range(len(model.config.spatial_windows))
    rows = {place: attention_map.cpu().numpy() for place, attention_map in own.items()}

    def with_own(maps: Mapping[tuple[int, int, int], torch.Tensor]) -> NDArray[np.float64]:
        return np.array(
            [
                [row_similarity(rows[*at, layer], maps[*at, layer].cpu().numpy(), measure).mean() for layer in layers]
                for at in places
            ]
        )

    between = np.zeros((len(places), len(places), len(layers)))
    for (i, one), (j, other), layer in product(enumerate(places), enumerate(places), layers):
        if i <= j:
            value = row_similarity(rows[*one, layer], rows[*other, layer], measure).mean()
            between[i, j, layer] = between[j, i, layer] = value
    return MapSimilarity(
        places,
        between,
        {name: with_own(maps) for name, maps in nulls.items()},
        {name: with_own(maps) for name, maps in alike.items()},
    )


def token_similarity(
    model: Network, crops: Crops, others: Mapping[str, Network] | None = None, *, seed: int = 0
) -> TokenSimilarity:
    """Compare the features that the steps of a network return; see :func:`map_similarity` for the arguments."""
    model = with_attention(model)
    places, own = _steps(model.config), _tokens(model, crops)
    untrained = ASID(model.config, seed=seed, value_range=model.value_range).to(next(model.parameters()).device)
    start = _tokens(untrained, crops)
    alike = {
        name: _tokens(other, crops)
        for name, other in (others or {}).items()
        if isinstance(other, ASID) and _steps(other.config) == places
    }

    def shuffled(at: Step) -> NDArray[np.floating]:
        return np.random.default_rng(module_seed(seed, str(at))).permutation(own[at])

    between = np.ones((len(places), len(places)))
    for (i, one), (j, other) in product(enumerate(places), enumerate(places)):
        if i < j:
            between[i, j] = between[j, i] = debiased_cka(own[one], own[other])
    return TokenSimilarity(
        places,
        between,
        {
            "untrained network": np.array([debiased_cka(own[at], start[at]) for at in places]),
            SHUFFLED_TOKENS: np.array([debiased_cka(own[at], shuffled(at)) for at in places]),
        },
        {name: np.array([debiased_cka(own[at], tokens[at]) for at in places]) for name, tokens in alike.items()},
    )


def bias_share(model: Network, crops: Crops) -> NDArray[np.float64]:
    """The share of the variance of a map that its position bias alone explains, (G, S, L); NaN where no map is made.

    The squared correlation, over all windows, queries and keys, of the map and softmax(bias), the map of a layer whose
    queries and keys are zero. Both without the mean of each row, which is 1/T. 1: the same map in each window of each
    image; 0: the bias does not matter.

    Args:
        model: The network.
        crops: The images.

    Raises:
        ValueError: ``model`` is not an ASID network.
    """
    model = with_attention(model)
    config, own = model.config, own_maps(model, crops)
    shares = np.full((config.num_groups, config.distillation_steps, len(config.spatial_windows)), np.nan)
    for place, module in attention_modules(model).items():
        if isinstance(module, WindowAttention):
            attention_map = own[place].double()
            with torch.no_grad():
                of_bias = module.bias(torch.zeros_like(attention_map[:1])).softmax(-1)
            a, b = ((rows - 1 / rows.shape[-1]).cpu().numpy() for rows in (attention_map, of_bias))
            norms = (a**2).sum() * len(a) * (b**2).sum()
            shares[place] = (a * b).sum() ** 2 / norms if norms else 0.0
    return shares


def _steps(config: ModelConfig) -> tuple[Step, ...]:
    return tuple(product(range(config.num_groups), range(config.distillation_steps)))


def _windows(config: ModelConfig) -> tuple[object, ...]:
    """What decides which pixels a map is about."""
    return (
        _steps(config),
        config.spatial_windows,
        config.window_size,
        config.global_kind,
        config.global_size,
        config.size_multiple,
    )


def _tokens(model: ASID, crops: Crops) -> dict[Step, NDArray[np.float32]]:
    """The features that each step returns, (pixels of all images, channels)."""
    paths = {at: f"groups.{at[0]}.block.steps.{at[1]}" for at in _steps(model.config)}
    outputs = module_outputs(model, network_input(model, crops), paths.values())
    return {at: outputs[path].permute(0, 2, 3, 1).flatten(0, 2).float().cpu().numpy() for at, path in paths.items()}
