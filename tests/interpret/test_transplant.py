"""Exchanged attention maps: what must lose nothing loses nothing to the bit, and the nulls are what they are called."""

import numpy as np
import pytest
import torch

from asid.config import preset
from asid.interpret.crops import Crops, psnr_by_image
from asid.interpret.transplant import NULLS, Transplants, null_maps, own_maps, transplant, using
from asid.model.interventions import uniform_attention
from asid.model.network import ASID


def network(**changes: object) -> ASID:
    """Maps with large differences: untrained weights make nearly uniform ones."""
    settings = {"num_groups": 2, "distillation_steps": 1, "attention_sharing": "none", **changes}
    model = ASID(preset("asid-tiny", **settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "query_key" in name or "bias.table" in name:
                parameter *= 40
            if "attention.out" in name:
                parameter *= 10
    return model


@pytest.fixture(scope="module")
def exchanged(small_crops: Crops) -> Transplants:
    return transplant(network(), small_crops)


def test_a_group_that_keeps_its_map_loses_nothing_and_with_another_something(exchanged: Transplants) -> None:
    loss = exchanged.loss
    assert loss.shape == (2, 2, 1, 2, 2)
    for group in (0, 1):
        assert (loss[group, group] == 0).all()
        assert loss[group, 1 - group].any()
    np.testing.assert_allclose(exchanged.similarity[[0, 1], [0, 1]], 1)
    assert np.abs(exchanged.similarity[0, 1]).max() < 0.9


def test_the_network_makes_its_own_maps_again(exchanged: Transplants, small_crops: Crops) -> None:
    np.testing.assert_array_equal(exchanged.psnr, psnr_by_image(network(), small_crops))


def test_a_network_with_sharing_loses_nothing_between_groups_but_something_to_the_nulls(small_crops: Crops) -> None:
    exchanged = transplant(network(attention_sharing="all"), small_crops)
    assert (exchanged.loss == 0).all()
    assert (exchanged.loss_together == 0).all()
    assert all(exchanged.null_loss[name].any() for name in NULLS)


def test_all_groups_at_once_is_what_sharing_does(small_crops: Crops) -> None:
    """A network whose later groups reuse maps, with the weights of one whose groups do not."""
    own, sharing = network(), network(attention_sharing="all")
    sharing.load_state_dict(own.state_dict(), strict=False)
    lost = psnr_by_image(own, small_crops) - psnr_by_image(sharing, small_crops)
    assert lost.any()
    np.testing.assert_allclose(transplant(own, small_crops).loss_together[0], lost, atol=1e-9)


def test_nulls_are_uniform_of_the_next_image_and_the_same_rows_in_another_order(small_crops: Crops) -> None:
    model = network()
    own = own_maps(model, small_crops)
    nulls = null_maps(model, small_crops, own)
    place, windows = (1, 0, 0), 4  # of 8×8 pixels in each image
    assert (nulls["uniform"][place] == 1 / 64).all()
    assert torch.equal(nulls["another image"][place][:windows], own[place][windows:])
    shuffled = nulls["shuffled rows"][place]
    assert not torch.equal(shuffled, own[place])
    assert torch.equal(shuffled.sort(1).values, own[place].sort(1).values)
    assert (nulls["untrained network"][place] != own[place]).any()


def test_uniform_maps_in_all_places_are_those_of_map_use(small_crops: Crops) -> None:
    model = network()
    with using(model, null_maps(model, small_crops, own_maps(model, small_crops))["uniform"]):
        mine = psnr_by_image(model, small_crops)
    with uniform_attention(model):
        np.testing.assert_array_equal(mine, psnr_by_image(model, small_crops))


@pytest.mark.parametrize(
    ("changes", "images", "says"), [({"spatial_windows": []}, 2, "no spatial attention"), ({}, 1, "at least two")]
)
def test_what_cannot_be_exchanged_is_refused(
    small_crops: Crops, changes: dict[str, object], images: int, says: str
) -> None:
    crops = Crops(small_crops.names[:images], small_crops.lr[:images], small_crops.hr[:images])
    with pytest.raises(ValueError, match=says):
        transplant(network(**changes), crops)
