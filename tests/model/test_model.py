"""The network: sizes, seeded weights, attention maps, padding, and every axis of the configuration, one by one."""

import re
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asid.config import Padding, preset
from asid.model.complexity import count_parameters
from asid.model.layers import conv3x3
from asid.model.network import ASID, AttentionMaps

STEPS = r"groups\.\d+\.block\.steps\."

# (changes over asid-tiny, keys added, keys removed, keys of another shape), each a pattern; None: no key.
AXES: list[tuple[dict[str, Any], str | None, str | None, str | None]] = [
    ({"attention_sharing": "none"}, r"groups\.[12]\..*\.(query_key\.weight|bias\.table)", None, None),
    ({"attention_sharing": 1}, r"groups\.[12]\..*\.(query_key\.weight|bias\.table)", None, None),
    ({"attention_sharing": 2}, r"groups\.2\..*\.(query_key\.weight|bias\.table)", None, None),
    ({"distillation_ratio": 0}, None, None, STEPS + r"\d\..*"),
    ({"distillation_ratio": "1/8"}, None, None, STEPS + r"\d\..*"),
    ({"distillation_ratio": "1/16"}, None, None, STEPS + r"\d\..*"),
    ({"distillation_steps": 1}, None, STEPS + r"[12]\..*", None),
    ({"distillation_steps": 2}, None, STEPS + r"2\..*", STEPS + r"1\.fuse\..*"),
    ({"distillation_steps": 4, "distillation_ratio": "1/8"}, STEPS + r"3\..*", None, STEPS + r"\d\..*"),
    ({"spatial_windows": ["meso", "meso"]}, None, None, None),
    ({"spatial_windows": ["global", "global"]}, None, None, None),
    ({"spatial_windows": ["global", "meso"]}, None, None, None),
    ({"spatial_windows": ["meso"]}, None, STEPS + r"\d\.spatial\.1\..*", None),
    ({"spatial_windows": ["global"]}, None, STEPS + r"\d\.spatial\.1\..*", None),
    ({"spatial_windows": ["meso", "global", "meso"]}, STEPS + r"\d\.spatial\.2\..*", None, None),
    ({"spatial_windows": []}, None, STEPS + r"\d\.spatial\..*", None),
    ({"channel_windows": ["meso", "meso"]}, None, None, None),
    ({"channel_windows": ["global", "global"]}, None, None, None),
    ({"channel_windows": ["global", "meso"]}, None, None, None),
    ({"channel_windows": ["meso"]}, None, r"groups\.\d\.block\.channel\.1\..*", None),
    ({"channel_windows": []}, None, r"groups\.\d\.block\.channel\..*", None),
    ({"global_kind": "window"}, None, None, None),
    ({"global_kind": "window", "global_size": 16}, None, None, r"groups\.0\..*\.spatial\.1\.attention\.bias\.table"),
    ({"global_size": 4}, None, None, r"groups\.0\..*\.spatial\.1\.attention\.bias\.table"),
    ({"window_size": 4}, None, None, r"groups\.0\..*\.spatial\.0\.attention\.bias\.table"),
    ({"local_module": False}, None, STEPS + r"\d\.local\..*", None),
    ({"squeeze_excitation": False}, None, STEPS + r"\d\.local\.gate\..*", None),
    ({"esa": False}, None, r"groups\.\d\.esa\..*", None),
    ({"position_bias": False}, None, r"groups\.0\..*\.bias\.table", None),
    ({"padding": "reflect"}, None, None, None),
    ({"padding": "replicate"}, None, None, None),
    ({"num_features": 32}, None, None, r".*"),
    ({"num_groups": 1}, None, r"groups\.[12]\..*", None),
    ({"num_groups": 4}, r"groups\.3\..*", None, None),
    ({"scale": 1}, None, None, r"upsample\..*"),
    ({"scale": 3}, None, None, r"upsample\..*"),
    ({"scale": 4}, None, None, r"upsample\..*"),
    ({"scale": 8}, None, None, r"upsample\..*"),
]


def axis_name(changes: Any) -> str | None:
    return " ".join(f"{key}={value}" for key, value in changes.items()) if isinstance(changes, dict) else ""


def build(*, seed: int = 0, **changes: Any) -> ASID:
    return ASID(preset("asid-tiny", **changes), seed=seed).eval()


MODELS: dict[str, ASID] = {}


def tiny(**changes: Any) -> ASID:
    """A network that is built once for all tests: they read it, and do not change its weights."""
    key = str(changes)
    if key not in MODELS:
        MODELS[key] = build(**changes)
    return MODELS[key]


@cache
def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def shapes(model: ASID) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def matching(pattern: str | None, names: Any) -> set[str]:
    return {name for name in names if pattern is not None and re.fullmatch(pattern, name)}


def attend(model: ASID, x: Tensor) -> tuple[Tensor, AttentionMaps]:
    with torch.no_grad():
        return model(x, return_attention=True)


@pytest.mark.parametrize(
    ("name", "scale", "parameters"),
    [
        ("asid", 2, 297_516),
        ("asid", 3, 304_011),
        ("asid", 4, 313_104),
        ("asid-d8", 2, 732_146),
        ("asid-d8", 3, 738_641),
        ("asid-d8", 4, 747_734),
    ],
)
def test_parameters_are_the_papers(name: str, scale: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(ASID(preset(name, scale=scale))) == parameters


@pytest.mark.parametrize(("changes", "added", "removed", "reshaped"), AXES, ids=axis_name)
def test_axis_changes_only_its_own_keys(
    changes: dict[str, Any], added: str | None, removed: str | None, reshaped: str | None
) -> None:
    base, variant = shapes(tiny()), shapes(tiny(**changes))
    assert variant.keys() - base.keys() == matching(added, variant)
    assert base.keys() - variant.keys() == matching(removed, base)
    changed = {name for name in base.keys() & variant.keys() if base[name] != variant[name]}
    assert changed <= matching(reshaped, base)
    assert bool(changed) == (reshaped is not None)


@pytest.mark.parametrize("changes", [{}, *(axis[0] for axis in AXES)], ids=axis_name)
def test_axis_trains_every_parameter_and_changes_the_output(changes: dict[str, Any]) -> None:
    model, x = tiny(**changes), image(17, 24)
    output = model(x)
    s = changes.get("scale", 2)
    assert output.shape == (1, 3, 17 * s, 24 * s)
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(output.square().mean(), parameters, allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.any(), name
    if changes and s == 2:
        with torch.no_grad():
            assert (output - tiny()(x)).abs().max() > 1e-6


def test_every_axis_of_the_configuration_is_tested() -> None:
    assert {field for axis in AXES for field in axis[0]} == set(type(preset("asid")).model_fields)


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (8, 8), (15, 16), (17, 40), (16, 3)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale": 3},
        {"esa": False},
        {"global_kind": "window", "global_size": 16},
        {"global_size": 6},
        {"padding": "reflect"},
        {"padding": "reflect", "esa": False, "spatial_windows": [], "channel_windows": []},
        {"padding": "replicate"},
    ],
    ids=axis_name,
)
def test_awkward_sizes(size: tuple[int, int], changes: dict[str, Any]) -> None:
    model = tiny(num_groups=1, **changes)
    s = model.config.scale
    with torch.no_grad():
        output = model(image(*size, batch=2))
    assert output.shape == (2, 3, s * size[0], s * size[1])
    assert output.isfinite().all()


@pytest.mark.parametrize(
    ("size", "padded", "changes"),
    [
        ((1, 1), (16, 16), {}),
        ((7, 13), (16, 16), {}),
        ((17, 40), (24, 40), {}),
        ((7, 13), (8, 16), {"esa": False}),
        ((7, 17), (24, 24), {"global_size": 6}),
        ((17, 16), (32, 16), {"global_kind": "window", "global_size": 16}),
        ((7, 13), (15, 15), {"spatial_windows": [], "channel_windows": []}),
    ],
)
def test_padding_is_zeros_at_the_right_and_bottom(
    size: tuple[int, int], padded: tuple[int, int], changes: dict[str, Any]
) -> None:
    model, x = tiny(**changes), image(*size)
    by_hand = torch.zeros(1, 3, *padded)
    by_hand[:, :, : size[0], : size[1]] = x
    with torch.no_grad():
        assert model.pad(x).shape[-2:] == padded
        assert torch.equal(model(x), model(by_hand)[:, :, : 2 * size[0], : 2 * size[1]])


def test_images_of_a_batch_do_not_mix() -> None:
    model, batch = tiny(), image(16, 24, batch=3)
    with torch.no_grad():
        alone = torch.cat([model(x[None]) for x in batch])
        torch.testing.assert_close(model(batch), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "shape", [(3, 16, 16), (1, 1, 16, 16), (1, 4, 16, 16), (16, 16, 3), (1, 3, 0, 16), (0, 3, 16, 16)]
)
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"(B, 3, H, W), got {shape}")):
        tiny(num_groups=1)(torch.zeros(shape))


def test_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (build(seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if first[name].unique().numel() > 1]
    assert len(drawn) > 100
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_layers_of_one_shape_start_differently() -> None:
    weights = tiny().state_dict()
    assert not torch.equal(weights["groups.0.project.weight"], weights["groups.1.project.weight"])


def test_global_random_state_is_neither_used_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = build().state_dict()
    after = torch.get_rng_state()
    torch.manual_seed(12)
    assert all(torch.equal(tensor, first[name]) for name, tensor in build().state_dict().items())
    assert torch.equal(after, before)
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build()
    assert not seeded, "the state of GPUs was set, and cannot be restored"


@pytest.mark.parametrize("changes", [axis[0] for axis in AXES], ids=axis_name)
def test_variants_start_from_the_same_weights_where_they_agree(changes: dict[str, Any]) -> None:
    base, variant = tiny().state_dict(), tiny(**changes).state_dict()
    # The range of initial values depends on a layer's input width, so a layer is the same where all its tensors have
    # the same shape.
    layers: dict[str, list[str]] = {}
    for name in base:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    same = [
        names
        for names in layers.values()
        if all(name in variant and variant[name].shape == base[name].shape for name in names)
    ]
    assert same or "num_features" in changes
    assert [name for names in same for name in names if not torch.equal(base[name], variant[name])] == []


@pytest.mark.parametrize(
    ("changes", "makers"),
    [
        ({"attention_sharing": "all"}, [0, 0, 0, 0]),
        ({"attention_sharing": 2}, [0, 0, 2, 2]),
        ({"attention_sharing": 3}, [0, 0, 0, 3]),
        ({"attention_sharing": "none"}, [0, 1, 2, 3]),
    ],
    ids=axis_name,
)
def test_shared_maps_are_the_same_tensors(changes: dict[str, Any], makers: list[int]) -> None:
    _, maps = attend(tiny(num_groups=4, **changes), image(16, 24))
    flat = [[layer for step in group for layer in step] for group in maps.spatial]
    assert [len(layers) for layers in flat] == [6] * 4
    for layer in range(6):
        same = [next(g for g in range(4) if flat[g][layer] is flat[group][layer]) for group in range(4)]
        assert same == makers
    made = {layer.data_ptr() for layers in flat for layer in layers}
    assert len(made) == 6 * len(set(makers))


def test_attention_maps_have_their_shapes_and_rows_sum_to_one() -> None:
    _, maps = attend(tiny(attention_sharing=2, global_size=4, scale=3), image(16, 24, batch=2))
    assert [[[tuple(layer.shape) for layer in step] for step in group] for group in maps.spatial] == (
        [[[(12, 64, 64), (48, 16, 16)]] * 3] * 3
    )
    assert [[tuple(layer.shape) for layer in group] for group in maps.channel] == [[(12, 16, 16), (32, 16, 16)]] * 3
    every = [layer for group in maps.spatial for step in group for layer in step] + [
        layer for group in maps.channel for layer in group
    ]
    for layer in every:
        assert (layer >= 0).all()
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"attention_sharing": "none"}, {"spatial_windows": []}], ids=axis_name)
def test_output_is_the_same_with_attention_returned(changes: dict[str, Any]) -> None:
    model, x = tiny(**changes), image(9, 20)
    output, _ = attend(model, x)
    with torch.no_grad():
        assert torch.equal(output, model(x))


def test_a_sharing_group_uses_the_map_it_is_given() -> None:
    group = build(num_groups=2).groups[1]
    features = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    uniform, identity = torch.full((4, 64, 64), 1 / 64), torch.eye(64).expand(4, 64, 64)
    with torch.no_grad():
        by_uniform, used, _ = group(features, ((uniform, uniform),) * 3)
        by_identity, _, _ = group(features, ((identity, identity),) * 3)
    assert all(layer is uniform for step in used for layer in step)
    assert (by_uniform - by_identity).abs().max() > 1e-4


@pytest.mark.parametrize(("mode", "numpy_mode"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge")])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (6, 7)])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolutions_see_the_padding(mode: str, numpy_mode: Any, size: tuple[int, int], groups: int) -> None:
    layer = conv3x3(preset("asid", padding=mode), 4, 8, groups=groups)
    x = torch.rand(2, 4, *size, generator=torch.Generator().manual_seed(0))
    padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode=numpy_mode))
    expected = F.conv2d(padded, layer.weight, layer.bias, groups=groups)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", get_args(Padding))
def test_padding_is_that_of_every_convolution_but_the_pooling_one(mode: str) -> None:
    """A constant image stays constant through each of them, at the border too, unless zeros are seen beyond it."""
    flat = {}
    for path, layer in tiny(num_groups=1, padding=mode).named_modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and not path.endswith("esa.stride"):
            with torch.no_grad():
                output = layer(torch.ones(1, layer.in_channels, 5, 6))
            flat[path] = bool((output - output[:, :, 2:3, 2:3]).abs().max() < 1e-5)
    assert len(flat) == 3 + 3 * (1 + 2 * 2) + 2 * (1 + 2) + 1  # network, steps, channel attention, ESA
    assert set(flat.values()) == {mode != "zeros"}


@pytest.mark.parametrize("changes", [{}, {"padding": "reflect"}, {"padding": "replicate"}], ids=axis_name)
def test_features_stay_channels_last(changes: dict[str, Any]) -> None:
    model, seen = build(**changes), []
    for module in (model.shallow, *model.groups, model.deep):
        module.register_forward_hook(
            lambda _, __, output: seen.append(output[0] if isinstance(output, tuple) else output)
        )
    with torch.no_grad():
        model(image(17, 24, batch=2))
    assert len(seen) == 5
    assert all(features.is_contiguous(memory_format=torch.channels_last) for features in seen)


def test_float64_agrees_with_float32() -> None:
    model, x = build(), image(17, 24)
    with torch.no_grad():
        single, double = model(x), model.double()(x.double())
    assert double.dtype == torch.float64
    assert F.l1_loss(single.double(), double) < 1e-6
