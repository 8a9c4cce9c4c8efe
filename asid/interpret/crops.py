"""Crops of evaluation images, as one batch, and what a network scores on them: for experiments with many passes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from asid.config import Border
from asid.data.crops import most_detailed_box
from asid.data.pairs import read_pair
from asid.data.sources import find_pairs
from asid.evaluation.metrics import comparable, psnr
from asid.interpret.gradients import apply


@dataclass(frozen=True)
class Crops:
    """N pairs of LR and HR crops, all of one size."""

    names: tuple[str, ...]
    """Names of the images."""
    lr: NDArray[np.uint8]
    """(N, h, w, 3), RGB."""
    hr: NDArray[np.uint8]
    """(N, s·h, s·w, 3), RGB."""

    @property
    def scale(self) -> int:
        """Factor s."""
        return self.hr.shape[1] // self.lr.shape[1]


def evaluation_crops(
    source: str, scale: int, size: int = 48, *, border: Border = "symmetric", root: str | Path | None = None
) -> Crops:
    """Cut the most detailed square out of each image of an evaluation set.

    The LR crop is cut out of the LR image of the whole photograph, so that its border is not one of the reduction.

    Args:
        source: What :func:`asid.data.sources.find_pairs` accepts.
        scale: Factor s.
        size: Side of the LR crop in pixels; a multiple of the windows needs no padding.
        border: Border rule of the bicubic reduction.
        root: Folder of the data sets, by default ``ASID_DATA``.

    Raises:
        ImageError: The set is missing or damaged.
        ValueError: An image is smaller than the crop.
    """
    names, lrs, hrs = [], [], []
    for pair in find_pairs(source, scale, root):
        lr, hr, _ = read_pair(pair, scale, border)
        if min(lr.shape[:2]) < size:
            raise ValueError(f"expected LR images of at least {size}×{size}, {pair.name} of {source} is {lr.shape[:2]}")
        top, left, height, width = most_detailed_box(lr, size)
        names.append(pair.name)
        lrs.append(lr[top : top + height, left : left + width])
        hrs.append(hr[scale * top : scale * (top + height), scale * left : scale * (left + width)])
    return Crops(tuple(names), np.stack(lrs), np.stack(hrs))


@torch.no_grad()
def super_resolve(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Super-resolve a batch (N, H, W, 3), RGB, by one pass of the whole images: (N, sH, sW, 3), rounded and clipped.

    Args:
        model: See :func:`asid.interpret.gradients.forward`.
        images: uint8 (N, H, W, 3) RGB.
    """
    output = apply(model, torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    return output.float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def luma_errors(sr: NDArray[np.uint8], crops: Crops) -> NDArray[np.float64]:
    """The errors SR - HR that the protocol scores, of luma, cropped by s at each border: (N, h', w')."""
    pairs = [comparable(one, other, crops.scale) for one, other in zip(sr, crops.hr, strict=True)]
    return np.stack([a - b for a, b in pairs])


def psnr_by_image(model: nn.Module, crops: Crops) -> NDArray[np.float64]:
    """PSNR in dB by the default protocol, (N,)."""
    sr = super_resolve(model, crops.lr)
    return np.array([psnr(*comparable(one, other, crops.scale)) for one, other in zip(sr, crops.hr, strict=True)])
