"""Training patches: LR/HR pairs whose order depends only on (seed, sample index)."""

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from asid.config import Border
from asid.data.images import ImageError, RGBImage
from asid.data.linear import even_sample
from asid.data.photographs import Photograph

Patch = RGBImage
"""uint8 (p, p, 3), RGB."""


class PatchDataset(Dataset[tuple[Patch, Patch]]):
    """Random aligned patches: item ``i`` is the i-th sample of the whole training.

    Each item is a pair of LR (p, p, 3) and HR (sp, sp, 3), uint8; :func:`collate` makes a batch of them. LR images are
    made once, from whole images, and cropped afterwards, so that a patch has the same pixels as in the image.

    Args:
        photographs: HR images. What the cache lacks of them and their LR images is made now.
        scale: Factor s.
        patch_size: Side p of the LR patches, in pixels.
        candidates: Random patches of which a sample is the most detailed one (:func:`detail`).
        augment: Whether to flip and rotate at random.
        border: Border rule of the resize that makes the LR images.
        seed: Together with the index, determines the image, position, flip and rotation of a sample.

    Raises:
        ImageError: An image is unreadable, or smaller than a patch.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        *,
        scale: int,
        patch_size: int,
        candidates: int = 1,
        augment: bool,
        border: Border,
        seed: int,
    ) -> None:
        self.scale, self.patch_size, self.candidates = scale, patch_size, candidates
        self.augment, self.seed = augment, seed
        self.pairs = [(photograph.lr(scale, border), photograph.hr()) for photograph in photographs]
        """LR and HR images; the HR images are not cropped to a multiple of the scale."""
        # Runs that start together share the work: each begins with another image, and finds what the others have made.
        for pair in random.Random().sample(self.pairs, len(self.pairs)):
            for image in pair:  # the HR image, too: the cache may have dropped it, and a step should not wait for it
                image.prepare()
        for photograph, (lr, hr) in zip(photographs, self.pairs, strict=True):
            if min(lr.shape[:2]) < patch_size:
                raise ImageError(
                    f"{photograph.path}: expected at least {patch_size * scale} pixels per side "
                    f"for LR patches of {patch_size} at ×{scale}, "
                    f"got {hr.shape[0]}×{hr.shape[1]}; lower data.patch_size or remove the image"
                )

    def __getitem__(self, index: int) -> tuple[Patch, Patch]:
        rng = np.random.default_rng((self.seed, index))
        drawn = [self._draw(rng) for _ in range(self.candidates)]
        patches = max(drawn, key=lambda pair: detail(pair[1], self.scale)) if len(drawn) > 1 else drawn[0]
        turns, flip = (int(rng.integers(4)), bool(rng.integers(2))) if self.augment else (0, False)
        # Copies: the files are mapped no longer than this call.
        low, high = (np.rot90(patch[:, ::-1] if flip else patch, turns).copy() for patch in patches)
        return low, high

    def _draw(self, rng: np.random.Generator) -> tuple[Patch, Patch]:
        """An LR and HR patch at a random position of a random image: views of mapped files."""
        lr, hr = self.pairs[rng.integers(len(self.pairs))]
        size, scale = self.patch_size, self.scale
        top = rng.integers(lr.shape[0] - size + 1)
        left = rng.integers(lr.shape[1] - size + 1)
        return (
            lr.pixels()[top : top + size, left : left + size],
            hr.pixels()[scale * top : scale * (top + size), scale * left : scale * (left + size)],
        )

    def sample(self) -> list[tuple[RGBImage, RGBImage]]:
        """Some whole LR and HR images, :func:`asid.data.linear.even_sample`."""
        pairs = [(lr.pixels(), hr.pixels()) for lr, hr in even_sample(self.pairs)]
        return [(lr, hr[: self.scale * lr.shape[0], : self.scale * lr.shape[1]]) for lr, hr in pairs]


def detail(hr: Patch, scale: int) -> float:
    """How much of an HR patch its LR patch cannot hold, in levels of 255; 0 at ×1.

    The mean absolute deviation of the green pixels in a block of s×s from the mean of the block.
    """
    height, width = (side // scale for side in hr.shape[:2])
    blocks = hr[..., 1].reshape(height, scale, width, scale).astype(np.float32)
    return float(np.abs(blocks - blocks.mean((1, 3), keepdims=True)).mean())


def collate(pairs: Sequence[tuple[Patch, Patch]]) -> tuple[Tensor, Tensor]:
    """A batch: LR (B, 3, p, p) and HR (B, 3, sp, sp), float32 in [0, 1]."""
    low, high = (np.stack(patches).transpose(0, 3, 1, 2) for patches in zip(*pairs, strict=True))
    return _to_float(low), _to_float(high)


def _to_float(patches: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(patches)).float().div_(255)


class ResumableSampler(Sampler[int]):
    """Sample indices in order, resuming at the current training step.

    Args:
        remaining: Returns the indices that are still to come; called at the start of each iteration.
    """

    def __init__(self, remaining: Callable[[], range]) -> None:
        self.remaining = remaining

    def __iter__(self) -> Iterator[int]:
        return iter(self.remaining())

    def __len__(self) -> int:
        return len(self.remaining())
