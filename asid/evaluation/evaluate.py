"""Scoring a network, bicubic, or other people's images: PSNR and SSIM of each image."""

import math
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from asid.config import DataConfig, EvalConfig, InferenceConfig, Protocol
from asid.data.images import ImageError, RGBImage, image_size, read_image, refuse_profile, write_image
from asid.data.layouts import Pair
from asid.data.linear import fit_to_photographs, linear_upscale
from asid.data.pairs import read_pair
from asid.data.resize import bicubic_upscale, crop_to_multiple
from asid.data.sources import find_images, find_pairs
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import PROTOCOL, SSIM_SIDE, comparable, psnr, score
from asid.evaluation.spectrum import error_by_band
from asid.model.base import Network
from asid.model.interventions import uniform_attention
from asid.model.network import ASID

Upscaler = Callable[[RGBImage], RGBImage]
"""From an LR image to an SR image, both uint8 (H, W, 3) RGB."""
SCORES = ["data", "image", "psnr", "ssim"]
"""The columns of a table of scores: name of the set, name of the image, PSNR in dB, SSIM."""
UNIFORM = "psnr_uniform_maps"
"""Column: PSNR in dB of the network with uniform attention maps; NaN if it has no spatial attention to replace."""
TILED = "psnr_in_tiles"
"""Column: PSNR in dB of the network applied in the tiles of ``also_tile``."""
AT_CHECKPOINTS = "psnr_at_checkpoints"
"""Column: list with the PSNR in dB after each part of the training in ``train.checkpoints``."""

BANDS_OF_ERROR, BANDS_OF_IMAGE = "error_by_band", "image_by_band"
"""Columns: lists with the power of the error and of the HR image in each band of the spectrum, see
:func:`asid.evaluation.spectrum.error_by_band`."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one upscaler, and the time they took."""

    scores: pd.DataFrame
    """One row per image: the columns of :data:`SCORES`, and ``lr``, the origin of the LR image: ``file``, or
    ``bicubic`` with its border rule; :data:`BANDS_OF_ERROR` and :data:`BANDS_OF_IMAGE`; if it was asked for, also
    :data:`UNIFORM`; for a network, with ``also_tile``, :data:`TILED`."""
    seconds: dict[str, float]
    """Wall-clock seconds: ``model``, spent in the upscaler, without uniform maps and second tiles, and ``total``."""


def evaluate(
    upscaler: Network | Upscaler,
    scale: int,
    config: EvalConfig | None = None,
    *,
    uniform_maps: bool = False,
    save_to: str | Path | None = None,
    batch_tiles: int = 1,
    on_image: Callable[[int, int], None] | None = None,
    data_root: str | Path | None = None,
) -> Evaluation:
    """Score an upscaler on evaluation sets.

    While the upscaler works on one image, the next one is read and the previous one is scored, so that neither adds to
    the time.

    Args:
        upscaler: A network, or any function from an LR image to an SR image (uint8 RGB).
        scale: Factor s. HR images are cropped at the right and bottom to a multiple of it.
        config: The sets, how the network is applied, and the protocol. A set's LR files are used if it has any;
            otherwise bicubic makes the LR images.
        uniform_maps: Also score a network with every spatial attention map replaced by a uniform one, applied in the
            same way (:data:`UNIFORM`). This doubles the time.
        save_to: Folder for the SR images (``<data>/<image>.png``); ``None`` writes none.
        batch_tiles: Number of tiles that go through the network at once.
        on_image: Called after each image with the number of images done and in total.
        data_root: Folder of the data sets, by default ``ASID_DATA``.

    Raises:
        ImageError: An image or a set is missing, damaged or does not fit; the message names the file.
    """
    config = config or EvalConfig()
    enlarge: Upscaler = (
        upscaler
        if not isinstance(upscaler, Network)
        else lambda lr: upscale(upscaler, lr, config, batch_tiles=batch_tiles)
    )
    work = [(data, pair) for data in config.data for pair in find_pairs(data, scale, data_root)]
    start, in_model = time.perf_counter(), 0.0
    pending: list[Future[dict[str, Any]]] = []
    pending_uniform: list[Future[float]] = []
    pending_tiled: list[Future[float]] = []
    in_tiles = InferenceConfig.model_validate(
        {name: getattr(config, name) for name in InferenceConfig.model_fields} | {"tile": config.also_tile}
    )
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scorer:
        ahead = reader.submit(read_pair, work[0][1], scale, config.border)
        for position, (data, pair) in enumerate(work):
            lr, hr, made_by = ahead.result()
            if position + 1 < len(work):
                ahead = reader.submit(read_pair, work[position + 1][1], scale, config.border)
            before = time.perf_counter()
            sr = enlarge(lr)
            in_model += time.perf_counter() - before
            if uniform_maps and isinstance(upscaler, ASID) and upscaler.config.spatial_windows:
                with uniform_attention(upscaler):
                    uniform = enlarge(lr)
                pending_uniform.append(scorer.submit(_psnr_of, uniform, hr, scale, config.protocol))
            if config.also_tile and isinstance(upscaler, Network):
                tiled = upscale(upscaler, lr, in_tiles, batch_tiles=batch_tiles)
                pending_tiled.append(scorer.submit(_psnr_of, tiled, hr, scale, config.protocol))
            name = Path(data).name
            file = Path(save_to) / name / f"{pair.name}.png" if save_to is not None else None
            pending.append(scorer.submit(_score_one, name, pair, sr, hr, scale, config.protocol, made_by, file))
            if on_image:
                on_image(position + 1, len(work))
        scores = pd.DataFrame([future.result() for future in pending])
        if uniform_maps:
            scores[UNIFORM] = [future.result() for future in pending_uniform] or math.nan
        if pending_tiled:
            scores[TILED] = [future.result() for future in pending_tiled]
    return Evaluation(scores, {"model": round(in_model, 3), "total": round(time.perf_counter() - start, 3)})


def add_checkpoints(scores: pd.DataFrame, networks: Sequence[Network], config: EvalConfig) -> pd.DataFrame:
    """Add the PSNR of the same network after parts of its training to its ``scores``.

    Args:
        scores: From :func:`evaluate` with ``config``.
        networks: The network after each part.
        config: The sets, how the networks are applied, and the protocol.

    Returns:
        ``scores`` with the column :data:`AT_CHECKPOINTS`, or as they are if there are no networks.
    """
    if not networks:
        return scores
    once = config.override(also_tile=None)
    psnr = [evaluate(network, network.config.scale, once).scores["psnr"].tolist() for network in networks]
    column = pd.Series([list(of_image) for of_image in zip(*psnr, strict=True)], scores.index, name=AT_CHECKPOINTS)
    return scores.join(column)


def check_sets(config: EvalConfig, scale: int, data_root: str | Path | None = None) -> None:
    """Check the images of evaluation sets, by their headers, before hours are spent on a network to be scored on them.

    Raises:
        ImageError: An image or a set is missing, of a refused format, too small to be scored, or an LR file does not
            fit; the message names the file.
    """
    least = SSIM_SIDE + 2 * scale
    for source in config.data:
        for pair in find_pairs(source, scale, data_root):
            refuse_profile(pair.hr)
            height, width = (side // scale * scale for side in image_size(pair.hr))
            if min(height, width) < least:
                raise ImageError(
                    f"{pair.hr}: expected at least {least} pixels per side to be scored at ×{scale}, "
                    f"got {height}×{width} after cropping to a multiple of {scale}"
                )
            if pair.lr is None:
                continue
            refuse_profile(pair.lr)
            if (size := image_size(pair.lr)) != (height // scale, width // scale):
                raise ImageError(
                    f"{pair.lr}: expected {height // scale}×{width // scale} pixels, 1/{scale} of the HR image, "
                    f"got {size[0]}×{size[1]}"
                )


def _score_one(
    data: str, pair: Pair, sr: RGBImage, hr: RGBImage, scale: int, protocol: Protocol, made_by: str, file: Path | None
) -> dict[str, Any]:
    try:
        psnr, ssim = score(sr, hr, scale, protocol)
    except ValueError as error:
        raise ImageError(f"{pair.hr}: {error}") from None
    error_power, image_power = error_by_band(sr, hr, scale, protocol)
    if file is not None:
        write_image(file, sr)
    bands = {BANDS_OF_ERROR: error_power.tolist(), BANDS_OF_IMAGE: image_power.tolist()}
    return {"data": data, "image": pair.name, "psnr": psnr, "ssim": ssim, "lr": made_by, **bands}


def _psnr_of(sr: RGBImage, hr: RGBImage, scale: int, protocol: Protocol) -> float:
    return psnr(*comparable(sr, hr, scale, protocol))


def bicubic_upscaler(scale: int, config: EvalConfig | None = None) -> Upscaler:
    """Return bicubic enlargement as an upscaler, with the border rule of ``config``: the baseline of every table."""
    border = (config or EvalConfig()).border
    return lambda lr: bicubic_upscale(lr, scale, border)


def linear_upscaler(data: DataConfig, scale: int, config: EvalConfig | None = None) -> Upscaler:
    """Return the least-squares filter of the training photographs of ``data``: the number that a network must beat.

    Args:
        data: The photographs, and the border rule by which their LR images are made.
        scale: Factor s.
        config: Its border rule says how the images that are enlarged continue beyond their border.

    Raises:
        ImageError: The photographs are missing or damaged.
    """
    filters = fit_to_photographs(find_images(data.train, split="train"), scale, data.border)
    border = (config or EvalConfig()).border
    return lambda lr: linear_upscale(lr, filters, scale, border)


def score_folder(
    sr_folder: str | Path,
    hr_source: str | Path,
    scale: int,
    protocol: Protocol = PROTOCOL,
    *,
    crop: int | None = None,
    data_root: str | Path | None = None,
) -> pd.DataFrame:
    """Score a folder of SR images against HR images, paired by name: ``baby_RCAN_x2.png`` belongs to ``baby.png``.

    Args:
        sr_folder: The SR images, from any program.
        hr_source: The HR images: a benchmark, a folder, or ``samples``. They are cropped to a multiple of ``scale``.
        scale: Factor s.
        protocol: What is compared.
        crop: Pixels cropped at each border, by default ``scale``.
        data_root: Folder of the data sets, by default ``ASID_DATA``.

    Returns:
        One row per image with the columns of :data:`SCORES`.

    Raises:
        ImageError: An SR image has no HR image, an HR image has no SR image or two of them, or their sizes differ; the
            message names the file.
    """
    hr = {photograph.name: photograph for photograph in find_images(hr_source, root=data_root)}
    sr: dict[str, Path] = {}
    for image in find_images(sr_folder):
        match = _matching_name(image.name, list(hr))
        if match is None:
            raise ImageError(f"{image.path}: its name does not begin with the name of an HR image in {hr_source}")
        if match in sr:
            raise ImageError(f"{image.path} and {sr[match]} both belong to {hr[match].path}: keep one")
        sr[match] = image.path
    if missing := [name for name in hr if name not in sr]:
        raise ImageError(f"{hr[missing[0]].path}: no SR image in {sr_folder} ({len(missing)} HR images have none)")
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


def _matching_name(name: str, candidates: Sequence[str]) -> str | None:
    """The longest candidate that equals ``name``, or is followed in it by a separator or by a scale such as ``x2``."""
    fitting = [c for c in candidates if name == c or re.match(re.escape(c) + r"([_.\- ]|x\d)", name)]
    return max(fitting, key=len, default=None)


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Average the scores of each set.

    The PSNR of an image that is identical to its HR image is ``inf``, and then so is the mean.

    Returns:
        One row per set with ``data``, ``images``, ``psnr``, ``ssim``, and :data:`UNIFORM` if ``scores`` has it.
    """
    means = {name: (name, "mean") for name in ("psnr", "ssim", UNIFORM) if name in scores}
    return scores.groupby("data", sort=False).agg(images=("image", "size"), **means).reset_index()
