"""Crops of evaluation images, as one batch, and what a network scores on them: for experiments with many passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from asid.config import Border
from asid.data.crops import cut_pair
from asid.data.images import RGBImage
from asid.data.layouts import Pair
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
    return _join([_cut(pair, scale, size, border) for pair in find_pairs(source, scale, root)])


def crop_of(image: str | Path, scale: int, size: int = 48, *, border: Border = "symmetric") -> Crops:
    """Cut the most detailed square out of one HR image file; see :func:`evaluation_crops`."""
    return _join([_cut(Pair(Path(image).stem, Path(image), None), scale, size, border)])


def _cut(pair: Pair, scale: int, size: int, border: Border) -> tuple[str, RGBImage, RGBImage]:
    lr, hr, _ = read_pair(pair, scale, border)
    if min(lr.shape[:2]) < size:
        raise ValueError(
            f"expected an LR image of at least {size}×{size}, that of {pair.hr} is {lr.shape[0]}×{lr.shape[1]}: "
            "choose a smaller size"
        )
    return pair.name, *cut_pair(lr, hr, size)


def _join(cuts: Sequence[tuple[str, RGBImage, RGBImage]]) -> Crops:
    names, lrs, hrs = zip(*cuts, strict=True)
    return Crops(names, np.stack(lrs), np.stack(hrs))


def box_around(pixel: tuple[int, int], scale: int, side: int, size: Sequence[int]) -> tuple[int, int, int, int]:
    """The square (top, left, side, side) in SR pixels around an LR pixel, moved into an SR image of ``size``."""
    top, left = (
        int(np.clip(scale * at - side // 2, 0, max(0, length - side))) for at, length in zip(pixel, size, strict=True)
    )
    return top, left, side, side


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
