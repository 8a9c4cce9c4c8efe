"""Initial weights that interpolate: a network that begins as the least-squares filter of its training photographs.

A random network spends its first hundreds of steps on learning to interpolate, at rates that its other layers do not
need. Here the global skip connection of the unchanged network does that from the start, in closed form: ``shallow``
spans the neighbourhood that the filters read, ``upsample`` holds the filters. ``deep`` is small, so that the groups
begin as a small correction, and their spatial attention begins as a soft similarity within a neighbourhood, instead of
the uniform maps of random weights, whose gradients vanish. All other layers keep their random weights.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asid.config import Border
from asid.data.images import RGBImage
from asid.data.linear import Filters, even_sample, fit_linear_filters
from asid.evaluation.inference import to_tensor
from asid.model.attention import RelativePositionBias, SharedWindowAttention, WindowAttention
from asid.model.base import Network, ValueRange, module_seed
from asid.model.checkpoint import CheckpointError
from asid.model.network import ASID

LOGGER = logging.getLogger(__name__)

_STREAM_RMS = 0.5
"""Root mean square of each shallow channel over the photographs."""
_READOUT = 0.03
"""Weight of a channel that carries no interpolation on the sub-pixels, as a fraction of the value range."""
_DEEP_GAIN = 0.02
"""Gain of ``deep``. At zero, no gradient would reach the groups in the first step."""
_ATTENTION_GAIN = 0.6
"""Gain of value and output projection together."""
_SIMILARITY = 0.4
"""Gain of query and key together."""
_ROOM = 128
"""Side of the part of a photograph on which ``upsample`` is fitted, in LR pixels."""
_RIDGE = 1e-3
"""Regularisation of that fit, relative to the mean of the normal matrix's diagonal. From 1e-6 to 1e-2, validation PSNR
at ×3 varies by 0.03 dB after a fit to four photographs and by 0.15 dB after one to two small crops; it is best here."""
_NEIGHBOURHOOD = 1.5
"""Standard deviation of the attended neighbourhood, in tokens."""

_CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2))
_HAAR = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
_OPPONENT = ((1, 1, 1), (1, 0, -1), (1, -2, 1))
"""Luminance, red against blue, magenta against green."""
_DETAIL = (
    ((0, -1, 0), (-1, 4, -1), (0, -1, 0)),
    ((-1, 2, -1), (-1, 2, -1), (-1, 2, -1)),
    ((-1, -1, -1), (2, 2, 2), (-1, -1, -1)),
    ((-1, 0, 0), (0, 2, 0), (0, 0, -1)),
    ((0, 0, -1), (0, 2, 0), (-1, 0, 0)),
    ((0, 0, 0), (-1, 0, 1), (0, 0, 0)),
    ((0, -1, 0), (0, 0, 0), (0, 1, 0)),
    ((1, -2, 1), (-2, 4, -2), (1, -2, 1)),
    ((0, 0, 0), (-1, 1, 0), (0, 0, 0)),
    ((0, 0, 0), (0, 1, -1), (0, 0, 0)),
    ((0, -1, 0), (0, 1, 0), (0, 0, 0)),
    ((0, 0, 0), (0, 1, 0), (0, -1, 0)),
)
"""Filters without a mean: Laplacians, second and first derivatives. Further channels get random ones."""


def start_linear(
    model: ASID, pairs: Sequence[tuple[RGBImage, RGBImage]], border: Border = "symmetric", seed: int = 0
) -> None:
    """Write the linear start into a network with random weights.

    Away from the border, the network's global skip connection then computes
    :func:`asid.data.linear.interpolate` with filters of 5×5 LR pixels, or of 3×3 if it has fewer than 12 channels. At
    the border it differs by the padding of the convolutions.

    Args:
        model: The network. Its keys, shapes and value range stay as they are.
        pairs: LR (h, w, 3) and HR (s·h, s·w, 3) training photographs, uint8; a fixed sample is used.
        border: How an LR photograph continues beyond its border.
        seed: Seed of what is random in the start.
    """
    channels, scale = model.config.num_features, model.config.scale
    carriers, size = 12, 5  # RGB at four corners of 3×3 pixels
    if channels < carriers:
        LOGGER.warning(
            "a linear start with filters of 5×5 pixels needs 12 channels (model.num_features), got %d: "
            "starting with filters of 3×3",
            channels,
        )
        carriers, size = 3, 3  # RGB at the centre
    sample = even_sample(pairs)
    filters = fit_linear_filters(sample, scale, border, size)
    moments = patch_moments([lr for lr, _ in sample], model.value_range)
    shallow = shallow_weights(channels, carriers, moments, _generator(seed, "shallow"))
    readout = _readout(3 * scale**2, channels - carriers, model.value_range, _generator(seed, "upsample"))
    upsample = upsample_weights(shallow, carriers, filters, readout)
    deep = _normal(model.deep.weight.shape, _generator(seed, "deep")) * _DEEP_GAIN / math.sqrt(9 * channels)
    with torch.no_grad():
        for conv, weight in ((model.shallow, shallow), (model.upsample, upsample), (model.deep, deep)):
            conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.zero_()
        for path, module in model.named_modules():
            if isinstance(module, WindowAttention | SharedWindowAttention):
                _start_values(module, _generator(seed, f"{path}.value"))
            if isinstance(module, WindowAttention):
                _start_maps(module, _generator(seed, f"{path}.query_key"))


def start_from(model: ASID, trained: Network, pairs: Sequence[tuple[RGBImage, RGBImage]]) -> None:
    """Begin with the weights of a trained network, which may have another scale.

    All layers but ``upsample`` are copied. If the scales differ, ``upsample`` is the least-squares solution from the
    features that it reads to the sub-pixels of the photographs.

    Args:
        model: The network to be trained.
        trained: A network with the same configuration, except for its scale, and the same value range.
        pairs: LR (h, w, 3) and HR (s·h, s·w, 3) training photographs, uint8; a fixed sample is used.

    Raises:
        CheckpointError: The networks differ in more than the scale.
    """
    if not isinstance(trained, ASID):
        raise CheckpointError(f"the pretrained weights are those of a {type(trained).__name__}, expected ASID")
    scale = model.config.scale
    theirs, ours = ({**net.config.to_dict(), "value_range": list(net.value_range)} for net in (trained, model))
    differences = [
        f"{name} {theirs[name]} instead of {ours[name]}"
        for name in ours
        if name != "scale" and theirs[name] != ours[name]
    ]
    if differences:
        raise CheckpointError(f"the pretrained weights are those of another network: {', '.join(differences)}")
    same_scale = trained.config.scale == scale
    weights = {k: v for k, v in trained.state_dict().items() if same_scale or not k.startswith("upsample.")}
    model.load_state_dict(weights, strict=same_scale)
    if not same_scale:
        fit_upsample(model, even_sample(pairs))


@torch.no_grad()
def fit_upsample(model: ASID, pairs: Sequence[tuple[RGBImage, RGBImage]]) -> None:
    """Set ``upsample`` to the least-squares solution from its input (C, h, w) to the photographs' sub-pixels."""
    scale = model.config.scale
    seen: list[Tensor] = []
    hook = model.upsample.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    taps = 9 * model.config.num_features
    gram = torch.zeros(taps + 1, taps + 1, dtype=torch.float64)
    moment = torch.zeros(taps + 1, 3 * scale**2, dtype=torch.float64)
    try:
        for lr, hr in pairs:
            height, width = (min(side, _ROOM) for side in lr.shape[:2])
            model(to_tensor(model, lr[:height, :width]))
            features = seen.pop()[..., :height, :width].contiguous()
            patches = nn.functional.unfold(features, 3)[0].double()  # (9C, n), without the border of the photograph
            patches = torch.cat((patches, torch.ones(1, patches.shape[1])))
            wanted = to_tensor(model, hr[: scale * height, : scale * width])
            wanted = nn.functional.pixel_unshuffle(wanted, scale)[0, :, 1:-1, 1:-1].flatten(1).double()
            gram += patches @ patches.T
            moment += patches @ wanted.T
    finally:
        hook.remove()
    gram += _RIDGE * gram.trace() / len(gram) * torch.eye(len(gram))
    solution = torch.linalg.solve(gram, moment).T  # (3s², 9C + 1)
    model.upsample.weight.copy_(solution[:, :-1].reshape_as(model.upsample.weight))
    assert model.upsample.bias is not None
    model.upsample.bias.copy_(solution[:, -1])


def patch_moments(images: Sequence[RGBImage], value_range: ValueRange) -> Tensor:
    """Second moments of 3×3 LR patches, float64 (27, 27), in the order (colour, y, x) of a convolution's weights."""
    low, high = value_range
    total, count = np.zeros((27, 27)), 0
    for image in images:
        x = image[:256, :256].astype(np.float32) / 255 * (high - low) + low
        patches = _patches(x.astype(np.float32))
        total += patches.T @ patches
        count += len(patches)
    return torch.from_numpy(total / count)


def _patches(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 3×3 patches of (h, w, 3), (n, 27). An image smaller than a patch repeats its border."""
    missing = [max(0, 3 - side) for side in image.shape[:2]]
    image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1)).reshape(-1, 27)


def shallow_weights(channels: int, carriers: int, moments: Tensor, generator: torch.Generator) -> Tensor:
    """Weights (C, 3, 3, 3) of ``shallow``, float64, each scaled to the same root mean square over the photographs.

    The carriers span the RGB pixels at the four corners (or, if they are three, at the centre): the 2×2 Haar transform
    of the corners times opponent colours. So one channel carries the mean luminance, and all others are near zero in
    flat grey areas, as layer normalisation over channels needs it. The other channels are detail filters on luminance.
    """
    opponent = nn.functional.normalize(torch.tensor(_OPPONENT, dtype=torch.float64), dim=1)
    weights = torch.zeros(channels, 3, 3, 3, dtype=torch.float64)
    if carriers == 12:
        haar = torch.tensor(_HAAR, dtype=torch.float64) / 2
        for corner, (y, x) in enumerate(_CORNERS):
            weights[:12, :, y, x] = torch.einsum("a,bc->abc", haar[:, corner], opponent).reshape(12, 3)
    else:
        weights[:3, :, 1, 1] = opponent
    for index, channel in enumerate(range(carriers, channels)):
        if index < len(_DETAIL):
            detail, colour = torch.tensor(_DETAIL[index], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        else:
            detail = _normal((3, 3), generator)
            detail, colour = detail - detail.mean(), 1 + 0.87 * _normal((3,), generator)
        weights[channel] = colour[:, None, None] * detail
    flat = weights.reshape(channels, 27)
    rms = torch.einsum("ci,ij,cj->c", flat, moments, flat).clamp(min=1e-8).sqrt()
    return weights * (_STREAM_RMS / rms)[:, None, None, None]


def upsample_weights(shallow: Tensor, carriers: int, filters: Filters, readout: Tensor) -> Tensor:
    """Weights (3s², C, 3, 3) of ``upsample`` so that upsample ∘ shallow equals ``filters``, float64.

    The channels after the carriers write to the sub-pixels by ``readout`` (3s², C - carriers) at the centre tap; the
    carriers make up for what these add to the interpolation. Of the carriers' weights that do, those of least norm.
    """
    count, size = len(filters), filters.shape[-1]
    target = torch.zeros(3, 5, 5, 3, count, dtype=torch.float64)  # input colour and tap, output colour and sub-pixel
    inner = slice((5 - size) // 2, (5 + size) // 2)
    for colour in range(3):
        target[colour, inner, inner, colour] = torch.from_numpy(filters).permute(1, 2, 0)
    weights = torch.zeros(3 * count, shallow.shape[0], 3, 3, dtype=torch.float64)
    weights[:, carriers:, 1, 1] = readout
    rest = target.reshape(75, 3 * count) - composition(shallow) @ weights.flatten(1).T
    solution = torch.linalg.lstsq(composition(shallow[:carriers]), rest, driver="gelsd").solution
    weights[:, :carriers] = solution.T.reshape(3 * count, carriers, 3, 3)
    return weights


def composition(shallow: Tensor) -> Tensor:
    """Matrix (75, 9C) from the weights (C, 3, 3) of one output of ``upsample`` to its 5×5 RGB filter."""
    matrix = torch.zeros(3, 5, 5, len(shallow), 3, 3, dtype=torch.float64)
    for y in range(3):
        for x in range(3):
            matrix[:, y : y + 3, x : x + 3, :, y, x] += shallow.permute(1, 2, 3, 0)
    return matrix.reshape(75, -1)


def _readout(outputs: int, channels: int, value_range: ValueRange, generator: torch.Generator) -> Tensor:
    """Orthogonal weights (outputs, channels): what the groups add to these channels reaches all sub-pixels evenly."""
    low, high = value_range
    gain = _READOUT * (high - low) * math.sqrt(max(1.0, channels / outputs))
    return gain * _orthogonal(max(outputs, channels), generator)[:outputs, :channels]


def _start_values(attention: WindowAttention | SharedWindowAttention, generator: torch.Generator) -> None:
    """W_out W_value ≈ I ("mimetic" initialisation, arXiv 2305.09828): attention begins as a mean of similar pixels."""
    rotation = _orthogonal(attention.value.in_features, generator)
    attention.value.weight.copy_(rotation)
    attention.out.weight.copy_(_ATTENTION_GAIN * rotation.T)


def _start_maps(attention: WindowAttention, generator: torch.Generator) -> None:
    """W_query ≈ W_key, and a Gaussian position bias: similar and near pixels attend to each other, but not sharply."""
    width = attention.value.in_features
    gain = math.sqrt(_SIMILARITY)
    rotation = _orthogonal(width, generator)
    noise = 0.1 / math.sqrt(width) * _normal((2, width, width), generator)
    attention.query_key.weight.copy_(gain * (rotation + noise).flatten(0, 1))
    if isinstance(attention.bias, RelativePositionBias):
        side = math.isqrt(len(attention.bias.table))  # 2M - 1 offsets
        offset = torch.arange(side, dtype=torch.float64) - side // 2
        squares = offset[:, None] ** 2 + offset**2
        attention.bias.table.copy_((-squares / (2 * _NEIGHBOURHOOD**2)).reshape(-1, 1))


def _generator(seed: int, path: str) -> torch.Generator:
    """Random numbers that depend on seed and path only: two variants start equal wherever they have the same layer."""
    return torch.Generator().manual_seed(module_seed(seed, f"start:{path}"))


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(_normal((size, size), generator))[0]
