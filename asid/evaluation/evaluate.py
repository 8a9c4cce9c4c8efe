"""Scoring: per image PSNR and SSIM of a network, of bicubic, or of somebody else's images, by the protocol of :mod:`asid.evaluation.metrics`."""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asid.config import EvalConfig, Protocol
from asid.data.benchmarks import find_pairs
from asid.data.errors import ImageError
from asid.data.images import find_images, read_image, write_image
from asid.data.layouts import Pair
from asid.data.pairs import read_pair
from asid.data.resize import crop_to_multiple
from asid.data.resize import upscale as bicubic_upscale
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import PROTOCOL, score
from asid.model.network import ASID

Image = NDArray[np.uint8]
Upscaler = Callable[[Image], Image]
SCORES = ["data", "image", "psnr", "ssim"]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one upscaler, and where the time went."""

    scores: pd.DataFrame
    """One row an image: data, image, psnr (dB), ssim, lr (what made the LR image: file, or bicubic with its border rule)."""
    seconds: dict[str, float]
    """Wall-clock seconds: ``model`` in the upscaler, ``total`` for everything."""


def evaluate(
    upscaler: ASID | Upscaler,
    scale: int,
    config: EvalConfig | None = None,
    *,
    save_to: str | Path | None = None,
    batch_tiles: int = 1,
    on_image: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score an upscaler on evaluation sets.

    While the upscaler works on one image, the next is read and the one before is scored, so that neither costs time of its own.

    Parameters
    ----------
    upscaler : a network, or any function from an LR image to an SR image (uint8 RGB).
    scale : factor s. HR images are cropped at the right and bottom to a multiple of it.
    config : the sets, how the network is applied, the protocol. LR files are used where a set has them, else bicubic makes them.
    save_to : folder for the SR images (``<data>/<image>.png``); not written when ``None``.
    batch_tiles : tiles that go through the network at once.
    on_image : called with the number of images done and of all.

    Raises
    ------
    ImageError : an image or a set that is missing, damaged or does not fit; the message names the file.
    """
    config = config or EvalConfig()
    enlarge: Upscaler = (
        upscaler
        if not isinstance(upscaler, ASID)
        else lambda lr: upscale(upscaler, lr, config, batch_tiles=batch_tiles)
    )
    work = [(data, pair) for data in config.data for pair in find_pairs(data, scale)]
    start, in_model = time.perf_counter(), 0.0
    pending: list[Future[dict[str, Any]]] = []
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scorer:
        ahead = reader.submit(read_pair, work[0][1], scale, config.border)
        for position, (data, pair) in enumerate(work):
            lr, hr, made_by = ahead.result()
            if position + 1 < len(work):
                ahead = reader.submit(read_pair, work[position + 1][1], scale, config.border)
            before = time.perf_counter()
            sr = enlarge(lr)
            in_model += time.perf_counter() - before
            name = Path(data).name
            file = Path(save_to) / name / f"{pair.name}.png" if save_to is not None else None
            pending.append(scorer.submit(_score_one, name, pair, sr, hr, scale, config.protocol, made_by, file))
            if on_image:
                on_image(position + 1, len(work))
        scores = pd.DataFrame([future.result() for future in pending])
    return Evaluation(scores, {"model": round(in_model, 3), "total": round(time.perf_counter() - start, 3)})


def _score_one(
    data: str, pair: Pair, sr: Image, hr: Image, scale: int, protocol: Protocol, made_by: str, file: Path | None
) -> dict[str, Any]:
    try:
        psnr, ssim = score(sr, hr, scale, protocol)
    except ValueError as error:
        raise ImageError(f"{pair.hr}: {error}") from None
    if file is not None:
        write_image(file, sr)
    return {"data": data, "image": pair.name, "psnr": psnr, "ssim": ssim, "lr": made_by}


def bicubic(scale: int, config: EvalConfig | None = None) -> Upscaler:
    """Bicubic enlargement as an upscaler: the baseline of every table."""
    border = (config or EvalConfig()).border
    return lambda lr: bicubic_upscale(lr, scale, border)


def score_folder(
    sr_folder: str | Path, hr_source: str | Path, scale: int, protocol: Protocol = PROTOCOL, *, crop: int | None = None
) -> pd.DataFrame:
    """Score SR images that somebody made against HR images, paired by name: ``baby_RCAN_x2.png`` belongs to ``baby.png``.

    ``crop`` pixels are cropped at each border, by default ``scale``. HR images are cropped to a multiple of ``scale``. Returns the columns
    of :data:`SCORES`. Raises :class:`ImageError` that names the file for an SR image without HR image, an HR image without SR image,
    two SR images of one HR image, and sizes that do not fit.
    """
    hr = {photograph.name: photograph for photograph in find_images(hr_source)}
    sr: dict[str, Path] = {}
    for image in find_images(sr_folder):
        owner = _owner(image.name, list(hr))
        if owner is None:
            raise ImageError(f"{image.path}: no HR image in {hr_source} has a name that this one begins with")
        if owner in sr:
            raise ImageError(f"{image.path} and {sr[owner]} both belong to {hr[owner].path}: keep one")
        sr[owner] = image.path
    if lost := [name for name in hr if name not in sr]:
        raise ImageError(f"{hr[lost[0]].path}: no SR image in {sr_folder} ({len(lost)} HR images have none)")
    rows = []
    for name, photograph in hr.items():
        try:
            reference = crop_to_multiple(photograph.read(), scale)
            psnr, ssim = score(read_image(sr[name]), reference, scale if crop is None else crop, protocol)
        except ImageError:
            raise
        except ValueError as error:
            raise ImageError(f"{sr[name]}: {error}") from None
        rows.append({"data": Path(hr_source).name, "image": name, "psnr": psnr, "ssim": ssim})
    return pd.DataFrame(rows)


def _owner(name: str, candidates: Sequence[str]) -> str | None:
    """The longest candidate that ``name`` is, or begins with before a separator or an ``x2``."""
    fitting = [c for c in candidates if name == c or re.match(re.escape(c) + r"([_.\- ]|x\d)", name)]
    return max(fitting, key=len, default=None)


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean PSNR and SSIM over the images of each set. An image that equals its HR image has PSNR ``inf``, and so has then the mean."""
    return (
        scores.groupby("data", sort=False)
        .agg(images=("image", "size"), psnr=("psnr", "mean"), ssim=("ssim", "mean"))
        .reset_index()
    )
