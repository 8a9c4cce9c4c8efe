"""Lesions: parts that do nothing lose nothing, others do, and every part is reached."""

import numpy as np
import pytest
import torch

from asid.ablation.study.components import COMPONENTS
from asid.config import PlainCNNConfig, preset
from asid.interpret.crops import Crops
from asid.interpret.lesions import (
    Lesion,
    components_of,
    error_increase,
    lesion_losses,
    lesioned,
    places_of,
    rank_agreement,
)
from asid.interpret.transplant import network_input
from asid.model.network import ASID
from asid.model.plain_cnn import PlainCNN

CONFIG = preset("asid-tiny", num_groups=2, distillation_steps=2)


@pytest.fixture(scope="module")
def model() -> ASID:
    return ASID(CONFIG, seed=1).eval()


@torch.no_grad()
def output(model: ASID, crops: Crops) -> torch.Tensor:
    return model(network_input(model, crops))  # type: ignore[return-value]


def test_each_place_changes_the_output_and_is_mended_afterwards(model: ASID, small_crops: Crops) -> None:
    intact = output(model, small_crops)
    lesions = [*places_of(model), *components_of(model).values()]
    assert len({lesion.label for lesion in lesions}) == len(lesions)
    for lesion in lesions:
        with lesioned(model, lesion):
            assert not torch.equal(output(model, small_crops), intact), lesion.label
    assert torch.equal(output(model, small_crops), intact)


def test_every_component_of_a_study_but_sharing_has_a_lesion(model: ASID) -> None:
    assert set(components_of(model)) == set(COMPONENTS) - {"sharing"}


def test_a_part_that_the_network_does_not_have_is_no_place() -> None:
    config = CONFIG.override(
        local_module=False, esa=False, spatial_windows=[], channel_windows=[], distillation_ratio=0, position_bias=False
    )
    assert places_of(ASID(config)) == ()
    assert components_of(ASID(config)) == {}


@pytest.mark.parametrize(
    ("weights", "label"),
    [
        ("groups.0.block.steps.1.local.project", "group 1, step 2: LM"),
        ("groups.1.block.steps.0.spatial.1.ffn.project", "group 2, step 1: global FFN"),
        ("groups.1.block.channel.0.attention.out", "group 2: meso channel attention"),
        ("groups.0.block.steps.0.spatial.0.attention.out", "group 1, step 1: meso attention"),
    ],
)
def test_a_layer_that_copies_its_input_loses_nothing_without_it(small_crops: Crops, weights: str, label: str) -> None:
    planted = ASID(CONFIG, seed=1)
    for parameter in planted.get_submodule(weights).parameters():
        parameter.data.zero_()
    lesion = next(lesion for lesion in places_of(planted) if lesion.label == label)
    assert (lesion_losses(planted, small_crops, [lesion]).loss == 0).all()


def test_a_lesion_of_a_layer_is_the_network_without_it(small_crops: Crops) -> None:
    """The same weights in a network whose configuration leaves ESA out."""
    whole, without = ASID(CONFIG, seed=1).eval(), ASID(CONFIG.override(esa=False), seed=1).eval()
    with lesioned(whole, components_of(whole)["esa"]):
        assert torch.equal(output(whole, small_crops), output(without, small_crops))


def test_the_increase_of_the_squared_error_is_where_and_as_large_as_the_loss(small_crops: Crops) -> None:
    model = ASID(CONFIG, seed=1)
    lesion = Lesion("shallow", "shallow", (("shallow", "zero"),))
    increase = error_increase(model, small_crops, lesion)
    assert increase.shape == (2, 28, 28)
    found = lesion_losses(model, small_crops, [lesion])
    before = 255.0**2 / 10 ** (found.psnr / 10)
    after = 255.0**2 / 10 ** ((found.psnr - found.loss[0]) / 10)
    np.testing.assert_allclose(increase.mean((1, 2)), after - before, rtol=1e-9)


def test_lesions_that_rank_as_the_ablations_agree() -> None:
    loss = {"a": 0.1, "b": 3.0, "c": 0.5, "d": 1.0, "e": 0.2, "only here": 9.0}
    retrained = {name: np.sqrt(value) / 50 for name, value in loss.items() if name != "only here"}
    agreement = rank_agreement(loss, retrained)
    assert (agreement.spearman, agreement.kendall) == (pytest.approx(1), pytest.approx(1))
    assert agreement.p < 0.05
    assert agreement.components == ("a", "b", "c", "d", "e")
    inverse = rank_agreement(loss, {name: -value for name, value in retrained.items()})
    assert (inverse.spearman, inverse.kendall) == (pytest.approx(-1), pytest.approx(-1))
    one_swap = rank_agreement(loss, {**retrained, "a": 0.3, "e": 0.2, "b": 3.0, "c": 0.5, "d": 1.0})
    assert one_swap.kendall == pytest.approx(1 - 2 / 10)
    with pytest.raises(ValueError, match="three components"):
        rank_agreement({"a": 1.0}, retrained)


def test_another_network_has_no_places() -> None:
    with pytest.raises(ValueError, match="expected an ASID network"):
        places_of(PlainCNN(PlainCNNConfig()))
