"""What is inside the variants of a study, a row for each: how alike its groups are, beside how alike its seeds are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asid.interpret.alike import MapSimilarity, TokenSimilarity, bias_share, map_similarity, token_similarity
from asid.interpret.attention_maps import with_attention
from asid.interpret.crops import Crops
from asid.interpret.similarity import Measure
from asid.model.base import Network

COLUMNS = (
    *("networks", "maps: groups", "maps: seeds", "maps: untrained", "bias share"),
    *("features: groups", "features: seeds", "features: untrained"),
)
_UNTRAINED = "untrained network"


def insides(
    variants: Mapping[str, Sequence[Network]], crops: Crops, *, measure: Measure = "correlation", seed: int = 0
) -> pd.DataFrame:
    """Compare the attention maps and the features of each variant between groups, between seeds, and with no training.

    Args:
        variants: For each variant its networks, which differ in their seed only.
        crops: The images.
        measure: How maps are compared.
        seed: Seed of the untrained network.

    Returns:
        A row for each variant with :data:`COLUMNS`, means over places, images and networks: ``networks``, their number;
        similarity of maps, and debiased CKA of features, of the same step in two groups, of the same place in two
        seeds, and in the untrained network; ``bias share``, the share of a map's variance that the position bias
        explains. NaN where there is nothing to compare: no spatial attention, one group, one seed. Between groups that
        share their maps the similarity is 1.

    Raises:
        ValueError: A network is not an ASID network.
    """
    rows = {name: _row(networks, crops, measure, seed) for name, networks in variants.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    return table.astype({"networks": int}).rename_axis("variant")


def _row(networks: Sequence[Network], crops: Crops, measure: Measure, seed: int) -> list[float]:
    maps: list[MapSimilarity] = []
    features: list[TokenSimilarity] = []
    shares: list[NDArray[np.float64]] = []
    for position, network in enumerate(networks):
        later = {str(index): other for index, other in enumerate(networks) if index > position}  # each pair once
        features.append(token_similarity(network, crops, later, seed=seed))
        if with_attention(network).config.spatial_windows:
            maps.append(map_similarity(network, crops, later, measure=measure, seed=seed))
            shares.append(bias_share(network, crops))
    return [len(networks), *_similarities(maps), _mean(shares), *_similarities(features)]


def _similarities(found: Sequence[MapSimilarity | TokenSimilarity]) -> list[float]:
    """Of the same step in two groups, of the same place in two networks, and in the untrained one."""
    places = np.array(found[0].places if found else [(0, 0)])
    pairs = (places[:, None, 1] == places[None, :, 1]) & (places[:, None, 0] < places[None, :, 0])
    return [
        _mean([each.between[pairs] for each in found]),
        _mean([values for each in found for values in each.others.values()]),
        _mean([each.nulls[_UNTRAINED] for each in found]),
    ]


def _mean(values: Sequence[NDArray[np.float64]]) -> float:
    """Over all that is known."""
    known = [each[~np.isnan(each)] for each in values]
    return float(np.concatenate(known).mean()) if sum(each.size for each in known) else np.nan
