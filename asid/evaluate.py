"""Super-resolving images and scoring them: per image PSNR and SSIM by the protocol of :mod:`asid.metrics`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from asid.config import EvalConfig
from asid.data.images import find_images, write_image
from asid.data.resize import crop_to_multiple, downscale
from asid.data.resize import upscale as bicubic_upscale
from asid.metrics import score
from asid.model.network import ASID

Image = NDArray[np.uint8]
Upscaler = Callable[[Image], Image]


@torch.no_grad()
def upscale(model: ASID, image: Image) -> Image:
    """Super-resolve one image with ``model``, on the device it is on.

    uint8 (H, W, 3) RGB to uint8 (sH, sW, 3). Values are mapped to the range the weights were trained on and back, clipped, and
    rounded to the nearest level.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a uint8 RGB image of shape (H, W, 3), got {image.dtype} {image.shape}")
    low, high = model.value_range
    parameter = next(model.parameters())
    batch = torch.from_numpy(np.array(image)).to(parameter.device).permute(2, 0, 1)[None].to(parameter.dtype)
    was_training = model.training
    sr = model.eval()(batch / 255 * (high - low) + low)
    model.train(was_training)
    levels = ((sr[0] - low) / (high - low)).clamp(0, 1) * 255
    return levels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def evaluate(upscaler: ASID | Upscaler, scale: int, config: EvalConfig | None = None, *, save_to: str | Path | None = None) -> pd.DataFrame:
    """Score an upscaler on evaluation sets.

    Parameters
    ----------
    upscaler : a network, or any function from an LR image to an SR image (uint8 RGB).
    scale : factor s. HR images are cropped at the right and bottom to a multiple of it, reduced by bicubic, and restored.
    config : the sets and the border rule of the reduction.
    save_to : folder for the SR images (``<data>/<image>.png``); not written when ``None``.

    Returns
    -------
    One row an image with the columns ``data``, ``image``, ``psnr`` (dB) and ``ssim``.
    """
    config = config or EvalConfig()
    enlarge: Upscaler = (lambda lr: upscale(upscaler, lr)) if isinstance(upscaler, ASID) else upscaler
    rows = []
    for data in config.data:
        for photograph in find_images(data):
            hr = crop_to_multiple(photograph.read(), scale)
            sr = enlarge(downscale(hr, scale, config.border))
            psnr, ssim = score(sr, hr, crop=scale)
            rows.append({"data": Path(data).name, "image": photograph.name, "psnr": psnr, "ssim": ssim})
            if save_to is not None:
                write_image(Path(save_to) / Path(data).name / f"{photograph.name}.png", sr)
    return pd.DataFrame(rows)


def evaluate_bicubic(scale: int, config: EvalConfig | None = None, *, save_to: str | Path | None = None) -> pd.DataFrame:
    """Scores of bicubic enlargement, as :func:`evaluate` returns them."""
    config = config or EvalConfig()
    return evaluate(lambda lr: bicubic_upscale(lr, scale, config.border), scale, config, save_to=save_to)


def mean_scores(scores: pd.DataFrame, by: Sequence[str] = ("data",)) -> pd.DataFrame:
    """Mean PSNR and SSIM over the images of each set."""
    return scores.groupby(list(by), sort=False)[["psnr", "ssim"]].mean().reset_index()
