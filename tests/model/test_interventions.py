"""Uniform attention maps: in every layer, for the length of a block, and with an effect on a trained network."""

from typing import Any

import pytest
import torch

from asid.config import preset
from asid.data.images import RGBImage
from asid.data.sources import find_images
from asid.evaluation.inference import to_tensor
from asid.model.interventions import uniform_attention
from asid.model.network import ASID
from asid.model.pretrained import load_model

PHOTO: RGBImage = find_images("samples")[0].read()[100:140, 100:133]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention_sharing": "none"},
        {"attention_sharing": 2},
        {"position_bias": False},
        {"global_kind": "window", "global_size": 16},
        {"spatial_windows": ["meso"], "distillation_ratio": 0},
    ],
    ids=str,
)
@torch.no_grad()
def test_every_map_is_uniform_and_the_networks_own_maps_come_back(changes: dict[str, Any]) -> None:
    model = ASID(preset("asid-tiny", **changes)).eval()
    x = to_tensor(model, PHOTO)
    before, own = model(x, return_attention=True)
    with uniform_attention(model):
        output, maps = model(x, return_attention=True)
    after = model(x)
    layers = [layer for group in maps.spatial for step in group for layer in step]
    assert len(layers) == model.config.num_groups * model.config.distillation_steps * len(model.config.spatial_windows)
    for layer in layers:
        assert (layer == 1 / layer.shape[-1]).all()
    assert not torch.equal(maps.spatial[0][0][0], own.spatial[0][0][0])
    assert not torch.equal(output, before)
    assert torch.equal(after, before)


def test_the_output_of_a_trained_network_differs() -> None:
    model = load_model("asid-tiny").eval()
    x = to_tensor(model, PHOTO)
    with torch.no_grad():
        own = model(x)
        with uniform_attention(model):
            uniform = model(x)
    assert (own - uniform).abs().max() > 1 / 255


def test_maps_are_restored_after_an_error() -> None:
    model = ASID(preset("asid-tiny", num_groups=1))

    def fail() -> None:
        with uniform_attention(model):
            assert any(module._forward_hooks for module in model.modules())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert not any(module._forward_hooks for module in model.modules())


@torch.no_grad()
def test_a_network_without_spatial_attention_is_unchanged() -> None:
    model = ASID(preset("asid-tiny", spatial_windows=[])).eval()
    x = to_tensor(model, PHOTO)
    own = model(x)
    with uniform_attention(model):
        assert torch.equal(model(x), own)
