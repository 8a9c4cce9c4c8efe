"""Cost of a network: published counts, three counters that agree with direct runs, and count attention."""

import logging
from typing import Any

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils.flop_counter import FlopCounterMode

from asid.config import ModelConfig, NetworkConfig, PlainCNNConfig, preset
from asid.model.complexity import Complexity, _torch_macs, measure_complexity
from asid.model.network import ASID

pytestmark = pytest.mark.process

MEASURED: dict[str, Complexity] = {}


def measure(config: NetworkConfig, output: tuple[int, int] = (1280, 720)) -> Complexity:
    key = f"{config.digest()} {output}"
    if key not in MEASURED:
        MEASURED[key] = measure_complexity(config, output)
    return MEASURED[key]


@pytest.mark.parametrize(
    ("name", "scale", "parameters", "macs_torch", "macs_ptflops"),
    [
        ("asid", 2, 297_516, 77.79, 78.22),
        ("asid", 3, 304_011, 35.68, 35.87),
        ("asid", 4, 313_104, 20.79, 20.91),
        ("asid-d8", 2, 732_146, 190.36, 191.47),
    ],
)
def test_published_networks(name: str, scale: int, parameters: int, macs_torch: float, macs_ptflops: float) -> None:
    result = measure(preset(name, scale=scale))
    assert result.parameters == parameters
    assert round(result.macs_torch / 1e9, 2) == macs_torch
    assert round(result.macs_ptflops / 1e9, 2) == macs_ptflops
    assert result.macs_fvcore == pytest.approx(result.macs_torch, rel=0.1)
    assert result.to_dict()["output"] == [1280, 720]


def closed_form(scale: int, groups: int = 3, *, products: bool = True) -> int:
    """Multiply-adds of the published network for 1280×720, written from the paper; ``products``: those of attention."""
    c, k, f, m = 48, 12, 16, 8  # width, distilled channels, width of ESA, side of a window
    height, width = (-(-(side // scale) // m) * m for side in (720, 1280))
    pixels, tokens = height * width, m * m

    def ffn(w: int) -> int:  # 1×1 to two branches, depthwise 3×3 on both, 1×1
        return 2 * w**2 + 9 * 2 * w + w**2

    def strided(side: int) -> int:
        return (side - 3) // 2 + 1

    def pooled(side: int) -> int:
        return (strided(side) - 7) // 3 + 1

    total = pixels * 9 * (3 * c + c**2 + c * 3 * scale**2)  # shallow, deep, upsample
    for group in range(groups):
        each_pixel = once = 0
        for step in range(3):
            w, attending = c - step * k, c - (step + 1) * k
            each_pixel += 2 * w**2 + 9 * w  # local module: 1×1, depthwise 3×3, 1×1
            once += 2 * w * (w // 4)  # its squeeze and excitation
            projections = 2 if group else 4  # value and output; query and key where maps are made
            applied = products * (1 if group else 2) * tokens * attending  # A·v; q·kᵀ where maps are made
            each_pixel += 2 * (projections * attending**2 + applied + ffn(attending))  # meso, global
            each_pixel += c**2 if step == 2 else w**2  # fuse
        each_pixel += 2 * (3 * c**2 + 9 * 3 * c + products * 2 * c**2 + c**2 + ffn(c))  # channel attention
        each_pixel += c**2 + 2 * c * f + f**2  # 1×1 after the block; ESA's 1×1 there, aside and back
        once += 9 * f**2 * (strided(height) * strided(width) + pooled(height) * pooled(width))  # its 3×3
        total += pixels * each_pixel + once
    return total


@pytest.mark.parametrize(
    ("name", "scale", "groups"), [("asid", 2, 3), ("asid", 3, 3), ("asid", 4, 3), ("asid-d8", 2, 8)]
)
def test_every_multiply_add_is_counted(name: str, scale: int, groups: int) -> None:
    """Convolutions, projections and the products of attention, to the last one."""
    assert measure(preset(name, scale=scale)).macs_torch == closed_form(scale, groups)


def test_counters_without_the_products_of_attention_fall_short() -> None:
    """What thop says of the published ×4 network."""
    assert closed_form(4) == 20_794_782_840
    assert closed_form(4, products=False) == 16_996_316_280


def test_a_plain_cnn_is_counted() -> None:
    cnn = measure(PlainCNNConfig(num_features=8, num_blocks=2), (60, 44))
    weights = 9 * (3 * 8 + 4 * 8 * 8 + 8 * 12)  # each is used once for each LR pixel
    assert cnn.parameters == weights + 5 * 8 + 12
    assert cnn.macs_torch == 30 * 22 * weights
    assert cnn.macs_ptflops == pytest.approx(cnn.macs_torch, rel=0.05)
    assert cnn.macs_fvcore == pytest.approx(cnn.macs_torch, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({"num_groups": 2}, (48, 48)),
        ({"num_groups": 2, "attention_sharing": "none"}, (48, 48)),
        ({"attention_sharing": 2, "global_kind": "window", "global_size": 16, "scale": 3}, (90, 140)),
        ({"num_groups": 1, "padding": "reflect"}, (90, 60)),
    ],
)
def test_fvcore_equals_a_direct_count_on_real_tensors(changes: dict[str, Any], output: tuple[int, int]) -> None:
    config = preset("asid-tiny", **changes)
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    x = torch.zeros(1, 3, output[1] // config.scale, output[0] // config.scale)
    direct = FlopCountAnalysis(ASID(config).eval(), x).unsupported_ops_warnings(False).tracer_warnings("none").total()
    assert measure(config, output).macs_fvcore == direct


@pytest.mark.parametrize("changes", [{"num_groups": 2}, {"num_groups": 2, "attention_sharing": "none"}])
def test_torch_equals_a_direct_count_on_real_tensors(changes: dict[str, Any]) -> None:
    config = preset("asid-tiny", **changes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ASID(config)(torch.zeros(1, 3, 24, 24))
    assert measure(config, (48, 48)).macs_torch == counter.get_total_flops() // 2


def saved_by_sharing(config: ModelConfig, output: tuple[int, int]) -> int:
    """Multiply-adds that sharing saves: q, k (2w² per pixel) and q kᵀ (w per pixel for each of the T in its window)."""
    width, height = (-(-(side // config.scale) // config.size_multiple) * config.size_multiple for side in output)
    sides = {"meso": config.window_size, "global": config.global_size}
    sharing = sum(not config.makes_maps(group) for group in range(config.num_groups))
    total = 0
    for step_width in config.step_widths:
        w = step_width - config.distilled_channels
        total += sum(2 * w * w + w * sides[kind] ** 2 for kind in config.spatial_windows)
    return total * width * height * sharing


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 3, "num_groups": 2},
        {"attention_sharing": 2},
        {"num_groups": 2, "distillation_ratio": "1/8", "spatial_windows": ["global", "meso", "meso"]},
        {"num_groups": 2, "global_kind": "window", "global_size": 16, "distillation_steps": 2, "window_size": 4},
    ],
)
def test_what_sharing_saves_is_counted_exactly(changes: dict[str, Any]) -> None:
    shared, output = preset("asid-tiny", **changes), (60, 42)
    lr = torch.zeros(1, 3, output[1] // shared.scale, output[0] // shared.scale)
    counts = [
        _torch_macs(ASID(shared.override(attention_sharing=sharing)), lr)
        for sharing in (shared.attention_sharing, "none")
    ]
    assert counts[1] - counts[0] == saved_by_sharing(shared, output) > 0


def test_every_counter_counts_what_sharing_saves() -> None:
    shared, alone = (measure(preset("asid", attention_sharing=sharing)) for sharing in ("all", "none"))
    widths = (36, 24, 12)
    # LR pixels · groups · (meso, global) · (q, k and q kᵀ)
    saved = 640 * 360 * 2 * sum(2 * (2 * w * w + 64 * w) for w in widths)
    assert saved == saved_by_sharing(preset("asid"), (1280, 720))
    assert alone.macs_torch - shared.macs_torch == saved
    # These count softmax and additions too: at least the products are there.
    assert alone.macs_ptflops - shared.macs_ptflops >= saved
    assert alone.macs_fvcore - shared.macs_fvcore >= saved


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_padding_costs_no_multiply_adds(mode: str) -> None:
    zeros, padded = (
        measure(preset("asid-tiny", num_groups=1, padding=padding), (60, 44)) for padding in ("zeros", mode)
    )
    assert (padded.parameters, padded.macs_torch, padded.macs_fvcore) == (
        zeros.parameters,
        zeros.macs_torch,
        zeros.macs_fvcore,
    )
    assert padded.macs_ptflops == pytest.approx(zeros.macs_ptflops, rel=0.01)
