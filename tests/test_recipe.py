"""The loop that measured docs/recipe.csv runs."""

from types import ModuleType

import pytest
import torch
from paths import load_script

from asid.data.images import RGBImage
from asid.data.sources import find_images


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_script("recipe")


@pytest.mark.parametrize(
    "change", [{"optimizer": "muon"}, {"optimizer": "schedule-free"}, {"choose_from": 2}, {"network": "cnn"}], ids=str
)
def test_a_trial_is_measured(change: dict[str, object], recipe: ModuleType) -> None:
    pairs: list[tuple[RGBImage, RGBImage]] = []
    for photograph in find_images("samples", split="train")[:2]:
        lr, hr = photograph.pair(2, "symmetric")
        pairs.append((lr[:40, :40], hr[:80, :80]))
    changes = {"rates": {}} if change.get("network") else {"model": {"num_features": 12, "num_groups": 1}}
    trial = recipe.Trial("test", steps=2, batch=1, patch=16, score_every=1, **changes, **change)
    with torch.random.fork_rng():
        result = recipe.run(trial, pairs, pairs)
    assert [point["step"] for point in result["curve"]] == [0, 1, 2]
    assert 10 < result["psnr"]["0.99 rising"] < 60
