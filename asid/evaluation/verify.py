"""Checks of an installation against known numbers. Some need no data, others the benchmarks under ``ASID_DATA``."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from asid.config import Border, EvalConfig, preset
from asid.data.images import ImageError, read_image
from asid.data.layouts import subfolder
from asid.data.resize import crop_to_multiple, downscale
from asid.data.sources import data_root, find_pairs
from asid.evaluation.evaluate import bicubic_upscaler, evaluate, score_folder
from asid.model.checkpoint import StateDict, from_published
from asid.model.complexity import measure_complexity
from asid.model.network import ASID

GOLDEN = Path(__file__).parent / "golden"
"""Golden data of the published architecture.

``official_state_dict.json`` lists names and shapes of the published ×2 state dicts, by network. ``golden_*.npz`` hold
input and output (float32, (B, 3, H, W) and (B, 3, sH, sW)) of the published code under :func:`formula_weights` with
their ``phase``.
"""
_GOLDEN = (("golden_x2", "asid", 2), ("golden_x3_d8", "asid_d8", 3), ("golden_x4", "asid", 4))

_PARAMETERS = {("asid", 2): 297_516, ("asid", 3): 304_011, ("asid", 4): 313_104, ("asid-d8", 2): 732_146}
_MACS = {("asid", 2): 77.79, ("asid", 4): 20.79, ("asid-d8", 2): 190.36}
_BICUBIC: dict[str, dict[int, tuple[float, float | None]]] = {
    "samples": {2: (32.92, 0.9008), 3: (30.65, 0.8338), 4: (29.38, 0.7855)},
    "Set5": {2: (33.67, 0.9303), 3: (30.40, 0.8689), 4: (28.43, 0.8111)},
    "Set14": {2: (30.32, 0.8699), 3: (27.63, 0.7759), 4: (26.09, 0.7048)},
    "B100": {2: (29.56, None), 3: (27.21, None), 4: (25.96, None)},
}
_RCAN = {2: (38.27, 0.9614), 3: (34.74, 0.9299), 4: (32.63, 0.9002)}
"""Digits of RCAN on Set5 (arXiv 1807.02758, table 2). Its SR images go to ``Set5_RCAN/x2`` … under the data root."""


@dataclass(frozen=True)
class Check:
    """One check with its expected and its measured value, both as text."""

    name: str
    expected: str
    measured: str
    result: Literal["ok", "FAILED", "no data"]


Root = str | Path | None
_Measurement = tuple[str, str, Callable[[], str]]
"""What is checked, the value that is expected, and the function that measures it."""


def run_checks(root: Root = None, on_check: Callable[[int, int], None] = lambda done, total: None) -> list[Check]:
    """Run every check, on the data sets under ``root`` (default: ``ASID_DATA``).

    A check without its data has the result ``no data``, which is not a failure.

    Args:
        root: Folder of the data sets.
        on_check: Called before the first check and after each one, with how many are done and how many there are.
    """
    measurements = [
        *_counts(),
        *_golden_outputs(),
        *_bicubic_scores(root),
        *_lr_files(root),
        *_published_scores(root),
    ]
    on_check(0, len(measurements))
    checks = []
    for measurement in measurements:
        checks.append(_compare(*measurement))
        on_check(len(checks), len(measurements))
    return checks


def _compare(name: str, expected: str, measure: Callable[[], str]) -> Check:
    try:
        measured = measure()
    except (ImageError, FileNotFoundError) as error:
        return Check(name, expected, str(error), "no data")
    return Check(name, expected, measured, "ok" if measured == expected else "FAILED")


def _counts() -> Iterator[_Measurement]:
    for (name, scale), count in _PARAMETERS.items():
        yield f"parameters of {name} ×{scale}", str(count), partial(_parameters, name, scale)
    for (name, scale), macs in _MACS.items():
        yield f"multiply-adds of {name} ×{scale}, 1280×720", f"{macs:.2f} G", partial(_macs, name, scale)


def _parameters(name: str, scale: int) -> str:
    return str(sum(parameter.numel() for parameter in ASID(preset(name, scale=scale)).parameters()))


def _macs(name: str, scale: int) -> str:
    return f"{measure_complexity(preset(name, scale=scale)).macs_torch / 1e9:.2f} G"


def published_shapes(name: str, scale: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published state dict: those of ×2, with the output channels of ``scale``."""
    shapes = json.loads((GOLDEN / "official_state_dict.json").read_text())[name]
    outputs = {"up.0.weight": (3 * scale**2, *shapes["up.0.weight"][1:]), "up.0.bias": (3 * scale**2,)}
    return {key: tuple(shape) for key, shape in shapes.items()} | outputs


def formula_weights(shapes: dict[str, tuple[int, ...]], phase: float) -> StateDict:
    """The weights of the golden outputs: a sine wave for each tensor, in the order of the sorted published names."""
    weights = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        wave = np.sin(0.7 * np.arange(int(np.prod(shape))) + 0.3 * i + phase)
        if name.endswith("temperature") or (len(shape) == 1 and name.endswith("weight")):
            values = 1 + 0.1 * wave
        elif len(shape) == 1:
            values = 0.05 * wave
        else:
            values = wave / np.sqrt(np.prod(shape[1:]))
        weights[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return weights


def _golden_outputs() -> Iterator[_Measurement]:
    for file, name, scale in _GOLDEN:
        shapes = published_shapes(name, scale)
        yield f"published architecture, {file}", "within 2e-05", partial(_golden_difference, file, shapes)


def _golden_difference(file: str, shapes: dict[str, tuple[int, ...]]) -> str:
    with np.load(GOLDEN / f"{file}.npz") as golden:
        config, weights = from_published(formula_weights(shapes, float(golden["phase"])))
        model = ASID(config).eval()
        model.load_state_dict(weights)
        with torch.no_grad():
            difference = np.abs(model(torch.from_numpy(golden["input"])).numpy() - golden["output"]).max()
    return "within 2e-05" if difference <= 2e-5 else f"off by {difference:.1e}"


def _bicubic_scores(root: Root) -> Iterator[_Measurement]:
    for source, table in _BICUBIC.items():
        for scale, (psnr, ssim) in table.items():
            digits = f"{psnr:.2f}" if ssim is None else f"{psnr:.2f}/{ssim:.4f}"
            yield f"bicubic on {source} ×{scale}", digits, partial(_bicubic, source, scale, ssim is not None, root)


def _bicubic(source: str, scale: int, with_ssim: bool, root: Root) -> str:
    scores = evaluate(bicubic_upscaler(scale), scale, EvalConfig(data=(source,)), data_root=root).scores
    return f"{scores['psnr'].mean():.2f}" + (f"/{scores['ssim'].mean():.4f}" if with_ssim else "")


def _lr_files(root: Root) -> Iterator[_Measurement]:
    for border in get_args(Border):
        yield f"MATLAB's LR images of Set5, {border} border", "15 of 15 equal", partial(_equal_lr, border, root)


def _equal_lr(border: Border, root: Root) -> str:
    equal = total = 0
    for scale in (2, 3, 4):
        folder = _under_root(f"Set5_LR/{border}/x{scale}", root)
        for pair in find_pairs("Set5", None, root):
            file = next(iter(folder.glob(f"{pair.name}*")), None)
            if file is None:
                raise FileNotFoundError(f"no LR image of {pair.name} in {folder}")
            total += 1
            hr = crop_to_multiple(read_image(pair.hr), scale)
            equal += bool(np.array_equal(downscale(hr, scale, border), read_image(file)))
    return f"{equal} of {total} equal"


def _published_scores(root: Root) -> Iterator[_Measurement]:
    for scale, (psnr, ssim) in _RCAN.items():
        yield f"RCAN's images of Set5 ×{scale}", f"{psnr:.2f}/{ssim:.4f}", partial(_published_images, scale, root)


def _published_images(scale: int, root: Root) -> str:
    scores = score_folder(_under_root(f"Set5_RCAN/x{scale}", root), "Set5", scale, data_root=root)
    return f"{scores['psnr'].mean():.2f}/{scores['ssim'].mean():.4f}"


def _under_root(path: str, root: Root) -> Path:
    """A folder under the data root, ignoring case. Raises ``FileNotFoundError`` if it does not exist."""
    folder = Path(root) if root is not None else data_root()
    for part in path.split("/"):
        folder = subfolder(folder, part) if folder else None
    if folder is None:
        raise FileNotFoundError(f"no {path} under {root or 'ASID_DATA'}")
    return folder
