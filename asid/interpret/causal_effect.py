"""Causal effect maps (CEM, arXiv 2407.19789): which LR pixels help to restore a box of the SR image, which harm it.

A patch of the LR image is replaced by other content. If the PSNR of the box falls, the patch has helped; if it rises,
the patch was harmful. Unlike a gradient, that is the effect of a real change, with a sign, in dB.

Large patches come first. Those with the strongest effects are then split into four, until the patches are small or the
budget of passes is spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from asid.data.images import RGBImage, check_image
from asid.evaluation.metrics import psnr, rgb_to_luma
from asid.interpret.gradients import apply
from asid.interpret.local_attribution import Box, check_box

_PERFECT = 100.0
"""PSNR in dB beyond which an error is one of rounding, and its change says nothing."""


@dataclass(frozen=True)
class CausalEffect:
    """The result of :func:`causal_effect_map`."""

    effect: NDArray[np.float64]
    """(H, W) in dB for each cell of the finest patches: the fall of the box's PSNR when the cell's patch is replaced;
    that of a larger patch is spread evenly over its cells. Positive: it helps. Negative: it harms."""
    side: NDArray[np.int64]
    """(H, W), side of the patch with which the effect was measured, in LR pixels."""
    psnr: float
    """PSNR of the box for the untouched LR image, of luma that is not rounded, in dB."""
    passes: int
    """Number of changed images that went through the network."""


@dataclass(frozen=True)
class _Patch:
    top: int
    left: int
    side: int

    @property
    def area(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)

    def quarters(self, height: int, width: int) -> "list[_Patch]":
        half = self.side // 2
        corners = ((self.top + down * half, self.left + right * half) for down in (0, 1) for right in (0, 1))
        return [_Patch(top, left, half) for top, left in corners if top < height and left < width]


def causal_effect_map(
    model: nn.Module,
    lr: RGBImage,
    hr: RGBImage,
    box: Box,
    *,
    coarse: int = 16,
    fine: int = 4,
    samples: int = 2,
    most: int = 160,
    donors: Sequence[RGBImage] = (),
    batch: int = 8,
    seed: int = 0,
) -> CausalEffect:
    """Measure what each patch of the LR image does to the PSNR of a box.

    Args:
        model: From a batch (B, 3, H, W) to (B, 3, sH, sW); see :func:`asid.interpret.gradients.apply`.
        lr: LR image, uint8 (H, W, 3) RGB.
        hr: HR image, uint8 (sH, sW, 3) RGB.
        box: (top, left, height, width) in output pixels.
        coarse: Side of the first patches in LR pixels: ``fine`` times a power of two.
        fine: Side of the smallest patches.
        samples: Number of patches that replace each one, drawn at random; the effect is their mean.
        most: Largest number of changed images. It bounds the time.
        donors: Images from which the replacing patches are drawn, by default ``lr``.
        batch: Images that go through the network at once.
        seed: Seed of the draw.

    Raises:
        ValueError: The images do not fit each other or the box, the sides are not as described, the coarse patches
            alone need more passes than ``most``, or the box has no error to be changed.
    """
    for image in (lr, hr, *donors):
        check_image(image)
    height, width = lr.shape[:2]
    sides = _sides(coarse, fine)
    patches = [_Patch(top, left, coarse) for top in range(0, height, coarse) for left in range(0, width, coarse)]
    if samples < 1 or len(patches) * samples > most:
        raise ValueError(
            f"expected at least one sample, and at least {len(patches) * max(samples, 1)} passes, which patches of "
            f"{coarse} in an image of {height}×{width} need; got {samples} samples and at most {most} passes"
        )
    pool = [image for image in donors or (lr,) if min(image.shape[:2]) >= coarse]
    if not pool:
        raise ValueError(f"expected images of at least {coarse}×{coarse} to take patches from: lower coarse")
    rng = np.random.default_rng(seed)

    def measure(candidates: Sequence[_Patch]) -> list[float]:
        changed = [_replace(lr, patch, pool, rng) for patch in candidates for _ in range(samples)]
        falls = _falls(model, lr, changed, hr, box, batch)
        return list(falls.reshape(len(candidates), samples).mean(1))

    effect, used_side = np.zeros((height, width)), np.zeros((height, width), np.int64)
    passes = 0
    for level, side in enumerate(sides):
        effects = measure(patches)
        passes += len(patches) * samples
        for patch, value in zip(patches, effects, strict=True):
            effect[patch.area] = value * fine**2 / effect[patch.area].size  # smaller at the border of the image
            used_side[patch.area] = side
        if level == len(sides) - 1:
            break
        # What is left of the budget is shared evenly by the finer levels.
        split = (most - passes) // (len(sides) - 1 - level) // (4 * samples)
        strongest = np.argsort(-np.abs(effects), kind="stable")[:split]
        patches = [quarter for i in strongest if effects[i] for quarter in patches[i].quarters(height, width)]
        if not patches:
            break
    return CausalEffect(effect, used_side, _psnr_of_box(_output(model, lr[None])[0], hr, box), passes)


def _sides(coarse: int, fine: int) -> list[int]:
    sides = [coarse]
    while fine >= 1 and sides[-1] > fine:
        sides.append(sides[-1] // 2)
    if sides[-1] != fine or any(side * 2 != larger for larger, side in pairwise(sides)):
        raise ValueError(f"expected coarse to be fine times a power of two, got coarse {coarse} and fine {fine}")
    return sides


def _replace(lr: RGBImage, patch: _Patch, pool: Sequence[RGBImage], rng: np.random.Generator) -> RGBImage:
    """The image with a patch of another place."""
    donor = pool[int(rng.integers(len(pool)))]
    top, left = (int(rng.integers(side - patch.side + 1)) for side in donor.shape[:2])
    changed = lr.copy()
    height, width = changed[patch.area].shape[:2]  # smaller at the border of the image
    changed[patch.area] = donor[top : top + height, left : left + width]
    return changed


def _falls(
    model: nn.Module, lr: RGBImage, changed: Sequence[RGBImage], hr: RGBImage, box: Box, batch: int
) -> NDArray[np.float64]:
    """By how much the PSNR of the box falls for each changed image.

    The untouched image goes through the network in each batch: a batch of another size may be rounded differently.
    """
    falls = []
    for first in range(0, len(changed), batch):
        untouched, *others = _output(model, np.stack([lr, *changed[first : first + batch]]))
        before = _psnr_of_box(untouched, hr, box)
        if before > _PERFECT:
            raise ValueError(f"the box {box} is restored without an error: choose one with detail")
        falls += [before - _psnr_of_box(other, hr, box) for other in others]
    return np.array(falls)


@torch.no_grad()
def _output(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Images (B, H, W, 3) to (B, sH, sW, 3) in [0, 255], clipped but not rounded: effects are small."""
    output = apply(model, torch.tensor(images).permute(0, 3, 1, 2).float() / 255)
    return output.double().cpu().clamp(0, 1).mul(255).permute(0, 2, 3, 1).numpy()


def _psnr_of_box(sr: NDArray[np.float64], hr: RGBImage, box: Box) -> float:
    if sr.shape != hr.shape:
        raise ValueError(f"expected an HR image of the size of the output, {sr.shape[:2]}, got {hr.shape[:2]}")
    check_box(box, sr.shape[0], sr.shape[1])
    top, left, height, width = box
    area = slice(top, top + height), slice(left, left + width)
    return psnr(rgb_to_luma(sr[area]), rgb_to_luma(hr[area]))
