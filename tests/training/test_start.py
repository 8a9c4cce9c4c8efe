"""The linear start: the network begins as the least-squares filter, and two variants begin equal."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from asid.config import ModelConfig, Padding, preset
from asid.data.images import RGBImage
from asid.data.linear import fit_linear_filters, interpolate, linear_upscale
from asid.data.resize import crop_to_multiple, downscale
from asid.evaluation.inference import to_tensor, upscale
from asid.evaluation.metrics import comparable, psnr
from asid.model.checkpoint import CheckpointError
from asid.model.network import ASID, ValueRange
from asid.model.pretrained import load_model
from asid.training.start import start_from, start_linear


def photographs(scale: int) -> list[tuple[RGBImage, RGBImage]]:
    crops = [data.astronaut()[60:188, 180:308], data.coffee()[100:220, 200:330]]
    hr_images = [crop_to_multiple(crop, scale) for crop in crops]
    return [(downscale(hr, scale), hr) for hr in hr_images]


def started(config: ModelConfig, value_range: ValueRange = (0, 1), seed: int = 0) -> ASID:
    model = ASID(config, seed=seed, value_range=value_range)
    start_linear(model, photographs(config.scale), seed=seed)
    return model.eval()


@pytest.mark.parametrize(
    ("changes", "value_range", "size"),
    [
        ({"scale": 2}, (0, 1), 5),
        ({"scale": 3, "padding": "reflect"}, (-1, 1), 5),
        ({"scale": 4, "num_features": 48}, (-1, 1), 5),
        ({"scale": 8, "num_features": 12}, (0, 1), 5),
        ({"scale": 1}, (0, 1), 5),
        ({"scale": 2, "num_features": 8}, (-1, 1), 3),
    ],
    ids=str,
)
def test_without_deep_the_network_is_the_linear_filter_away_from_the_border(
    changes: dict[str, Any], value_range: ValueRange, size: int
) -> None:
    model = started(preset("asid-tiny", num_groups=1, **changes), value_range)
    with torch.no_grad():
        model.deep.weight.zero_()
    scale = model.config.scale
    pairs = photographs(scale)
    lr = pairs[0][0]
    filters = fit_linear_filters(pairs, scale, size=size)
    low, high = value_range
    with torch.no_grad():
        sr = (model(to_tensor(model, lr))[0].permute(1, 2, 0).double().numpy() - low) / (high - low)
    inner = (slice(2 * scale, -2 * scale),) * 2
    np.testing.assert_allclose(sr[inner], interpolate(lr, filters, scale)[inner] / 255, atol=1e-4)


def test_deep_is_a_small_correction_and_its_gradient_reaches_the_groups() -> None:
    model = started(preset("asid-tiny"), (-1, 1))
    (lr, hr), *_ = photographs(2)
    x, target = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for image in (lr, hr))
    with_groups = model(x)
    torch.nn.functional.l1_loss(with_groups, target).backward()
    gradient = model.groups[0].project.weight.grad
    assert gradient is not None
    assert gradient.norm() > 0
    with torch.no_grad():
        model.deep.weight.zero_()
        assert 0 < (model(x) - with_groups).abs().mean() < 0.01


def test_only_the_named_layers_are_written() -> None:
    random = ASID(preset("asid-tiny"), seed=3).state_dict()
    linear = started(preset("asid-tiny"), seed=3).state_dict()
    assert {name: value.shape for name, value in random.items()} == {name: v.shape for name, v in linear.items()}
    changed = {name for name in random if not torch.equal(random[name], linear[name])}
    expected = {f"{part}.{kind}" for part in ("shallow", "deep", "upsample") for kind in ("weight", "bias")}
    layers = ("attention.value.weight", "attention.out.weight", "attention.query_key.weight", "attention.bias.table")
    expected |= {name for name in random if name.endswith(layers) and ".spatial." in name}
    assert changed == expected


def test_attention_begins_soft_and_near() -> None:
    """Random weights make uniform maps; these have an entropy between one neighbour and the whole window."""
    model = started(preset("asid-tiny"), (-1, 1))
    with torch.no_grad():
        _, maps = model(to_tensor(model, photographs(2)[0][0]), return_attention=True)
    meso = maps.spatial[0][0][0]
    entropy = -(meso * meso.clamp(min=1e-12).log()).sum(-1).mean() / np.log(meso.shape[-1])
    assert 0.3 < entropy < 0.95


def test_it_depends_on_the_seed_and_two_variants_begin_equal_wherever_they_have_the_same_layer() -> None:
    base, again, other = (started(preset("asid-tiny"), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(base[name], again[name]) for name in base)
    assert not torch.equal(base["deep.weight"], other["deep.weight"])
    variants: list[dict[str, Any]] = [{"attention_sharing": "none"}, {"distillation_ratio": "1/8"}, {"esa": False}]
    for changes in variants:
        variant = started(preset("asid-tiny", **changes)).state_dict()
        common = [name for name in variant if name in base and base[name].shape == variant[name].shape]
        assert len(common) > 100
        assert [name for name in common if not torch.equal(variant[name], base[name])] == []


def test_a_narrow_network_says_that_its_filters_are_small(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        started(preset("asid-tiny", num_features=8))
    assert "3×3" in caplog.text
    assert "num_features" in caplog.text


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_flat_photographs_can_be_started_from(padding: Padding) -> None:
    flat = np.full((2, 2, 3), 128, np.uint8)
    model = ASID(preset("asid-tiny", padding=padding))
    start_linear(model, [(flat, flat.repeat(2, 0).repeat(2, 1))])
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_a_pretrained_network_of_another_scale_begins_better_than_linear() -> None:
    trained = load_model("asid-tiny", "cpu")
    model = ASID(preset("asid-tiny", scale=3), value_range=trained.value_range)
    pairs = photographs(3)
    start_from(model, trained, pairs)
    filters = fit_linear_filters(pairs, 3)

    def score(upscaled: list[RGBImage]) -> float:
        return sum(psnr(*comparable(sr, hr, crop=3)) for sr, (_, hr) in zip(upscaled, pairs, strict=True))

    assert score([upscale(model, lr) for lr, _ in pairs]) > score([linear_upscale(lr, filters, 3) for lr, _ in pairs])
    assert torch.equal(model.deep.weight, trained.deep.weight)


def test_pretrained_weights_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"attention_sharing.*value_range"):
        start_from(
            ASID(preset("asid-tiny", attention_sharing="none"), value_range=(0, 1)), load_model("asid-tiny", "cpu"), []
        )


def test_pretrained_weights_of_the_same_scale_are_the_start() -> None:
    trained = load_model("asid-tiny", "cpu")
    model = ASID(preset("asid-tiny"), value_range=trained.value_range)
    start_from(model, trained, [])
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())
