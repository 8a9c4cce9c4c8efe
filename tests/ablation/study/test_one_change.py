"""A variant differs from the base in the one thing that it names: proven on configurations and weights."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from asid.ablation.study.expand import expand
from asid.ablation.study.study import StudyConfig
from asid.config import ModelConfig
from asid.model.network import ASID

pytestmark = pytest.mark.process

# The fields of the network in which a variant differs from the base, with their values in the variant.
FIELDS: dict[str, dict[str, Any]] = {
    "base": {},
    "no-sharing": {"attention_sharing": "none"},
    "meso-only": {"spatial_windows": ["meso", "meso"], "channel_windows": ["meso", "meso"]},
    "global-only": {"spatial_windows": ["global", "global"], "channel_windows": ["global", "global"]},
    "ratio-1-8": {"distillation_ratio": "1/8"},
    "no-distillation": {"distillation_ratio": "0"},
}

STUDY = expand(
    StudyConfig.model_validate(
        {
            "name": "one-change",
            "question": "Does each variant differ in one thing?",
            "preset": "asid-tiny",
            "variants": {name: {"model": changes} for name, changes in FIELDS.items()},
        }
    )
)
STEP = r"groups\.[012]\.block\.steps\."
ADDED = re.compile(r"groups\.[12]\.block\.steps\.[012]\.spatial\.[01]\.attention\.(query_key\.weight|bias\.table)")
"""What a group needs to make maps of its own."""
WIDTHS = re.compile(
    rf"{STEP}[012]\.spatial\.[01]\.(norm|ffn_norm|ffn|attention\.(query_key|value|out))\..*|{STEP}[12]\.local\..*|{STEP}1\.fuse\..*"
)
"""What follows the width of a step. The first step takes and the last returns the full width, whatever is distilled."""


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Tensor]]:
    return {name: ASID(STUDY.run_config(name, 0).model).state_dict() for name in STUDY.variants}


def difference(weights: dict[str, Tensor], base: dict[str, Tensor]) -> tuple[set[str], set[str], set[str]]:
    """Keys added, keys removed, and keys of another shape."""
    common = weights.keys() & base.keys()
    return (
        weights.keys() - base.keys(),
        base.keys() - weights.keys(),
        {key for key in common if weights[key].shape != base[key].shape},
    )


def test_every_variant_has_an_expectation() -> None:
    assert list(STUDY.variants) == list(FIELDS)
    assert STUDY.base_name == "base"


@pytest.mark.parametrize("name", FIELDS)
def test_configurations_differ_from_the_base_in_the_named_field_only(name: str) -> None:
    base, variant = STUDY.run_config("base", 0).to_dict(), STUDY.run_config(name, 0).to_dict()
    changed = {key: value for key, value in variant["model"].items() if value != base["model"][key]}
    assert changed == FIELDS[name]
    assert {**variant, "model": None} == {**base, "model": None}
    assert variant["model"].keys() == set(ModelConfig.model_fields)


def test_no_sharing_only_adds_what_makes_maps(weights: dict[str, dict[str, Tensor]]) -> None:
    added, removed, reshaped = difference(weights["no-sharing"], weights["base"])
    assert added == {key for key in weights["no-sharing"] if ADDED.fullmatch(key)}
    assert len(added) == 2 * 3 * 2 * 2  # groups, steps, layers, query_key and bias
    assert not removed
    assert not reshaped


@pytest.mark.parametrize("name", ["meso-only", "global-only"])
def test_windows_have_the_same_weights_and_another_output(name: str, weights: dict[str, dict[str, Tensor]]) -> None:
    assert difference(weights[name], weights["base"]) == (set(), set(), set())
    image = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    base, variant = (ASID(STUDY.run_config(key, 0).model).eval() for key in ("base", name))
    with torch.no_grad():
        assert not torch.allclose(variant(image), base(image), atol=1e-5)


@pytest.mark.parametrize("name", ["ratio-1-8", "no-distillation"])
def test_ratios_change_the_widths_inside_the_steps_only(name: str, weights: dict[str, dict[str, Tensor]]) -> None:
    added, removed, reshaped = difference(weights[name], weights["base"])
    assert not added
    assert not removed
    assert reshaped == {key for key in weights["base"] if WIDTHS.fullmatch(key)}


@pytest.mark.parametrize(
    ("name", "widths"), [("base", (12, 8, 4)), ("ratio-1-8", (14, 12, 10)), ("no-distillation", (16, 16, 16))]
)
def test_spatial_attention_has_the_width_that_the_ratio_leaves(
    name: str, widths: tuple[int, ...], weights: dict[str, dict[str, Tensor]]
) -> None:
    for step, width in enumerate(widths):
        for group in range(3):
            assert weights[name][f"groups.{group}.block.steps.{step}.spatial.0.attention.value.weight"].shape == (
                width,
                width,
            )


@pytest.mark.parametrize("name", FIELDS)
def test_what_a_variant_shares_with_the_base_starts_equal(name: str, weights: dict[str, dict[str, Tensor]]) -> None:
    base, variant = weights["base"], weights[name]
    common = [key for key in variant.keys() & base.keys() if variant[key].shape == base[key].shape]
    assert len(common) > 100
    assert [key for key in common if not torch.equal(variant[key], base[key])] == []


def test_another_seed_starts_elsewhere(weights: dict[str, dict[str, Tensor]]) -> None:
    other = ASID(STUDY.run_config("base", 0).model, seed=1).state_dict()
    drawn = [key for key in other if key.endswith("value.weight")]
    assert drawn
    assert not any(torch.equal(other[key], weights["base"][key]) for key in drawn)
