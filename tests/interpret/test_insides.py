"""One row for each variant: groups beside seeds."""

import numpy as np
import pytest

from asid.config import preset
from asid.interpret.alike import map_similarity, token_similarity
from asid.interpret.crops import Crops
from asid.interpret.insides import insides
from asid.model.network import ASID

CONFIG = preset("asid-tiny", num_groups=2, distillation_steps=1, attention_sharing="none")


def test_groups_and_seeds_of_each_variant_are_compared(small_crops: Crops) -> None:
    one, two = (ASID(CONFIG, seed=seed) for seed in (1, 2))
    variants = {
        "base": [one, two],
        "twins": [one, one],
        "sharing": [ASID(CONFIG.override(attention_sharing="all"), seed=1)],
        "no attention": [ASID(CONFIG.override(spatial_windows=[]), seed=1)],
    }
    table = insides(variants, small_crops, seed=1)
    assert table["networks"].to_dict() == {"base": 2, "twins": 2, "sharing": 1, "no attention": 1}
    maps = [map_similarity(network, small_crops, {"2": two}, measure="correlation", seed=1) for network in (one, two)]
    assert table.loc["base", "maps: groups"] == pytest.approx(np.mean([each.between[0, 1] for each in maps]))
    assert table.loc["base", "maps: seeds"] == pytest.approx(maps[0].others["2"].mean())
    tokens = token_similarity(one, small_crops, {"2": two}, seed=1)
    assert table.loc["base", "features: seeds"] == pytest.approx(tokens.others["2"].mean())
    assert table.loc["twins", ["maps: seeds", "features: seeds"]].tolist() == pytest.approx([1, 1])
    assert table.loc["sharing", ["maps: groups", "maps: untrained"]].tolist() == pytest.approx([1, 1])
    assert np.isnan(table.loc["sharing", "maps: seeds"])
    assert table.loc["no attention"].isna().tolist() == [False, True, True, True, True, False, True, False]
