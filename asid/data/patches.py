"""Training patches: LR/HR pairs whose order depends only on (seed, sample index)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from asid.config import Border
from asid.data.images import ImageError, Photograph, RGBImage
from asid.data.resize import crop_to_multiple, downscale


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Random aligned patches: item ``i`` is the i-th sample of the whole training.

    Each item is a pair of LR (3, p, p) and HR (3, sp, sp), float32 in [0, 1]. LR images are made once, from whole
    images, and cropped afterwards, so that a patch has the same pixels as in the image.

    Args:
        photographs: HR images; all are decoded and held in memory.
        scale: Factor s.
        patch_size: Side p of the LR patches, in pixels.
        augment: Whether to flip and rotate at random.
        border: Border rule of the resize that makes the LR images.
        seed: Together with the index, determines the image, position, flip and rotation of a sample.

    Raises:
        ImageError: An image is smaller than a patch.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        *,
        scale: int,
        patch_size: int,
        augment: bool,
        border: Border,
        seed: int,
    ) -> None:
        self.scale, self.patch_size, self.augment, self.seed = scale, patch_size, augment, seed
        self.pairs = []
        for photograph in photographs:
            hr = crop_to_multiple(photograph.read(), scale)
            lr = downscale(hr, scale, border)
            if min(lr.shape[:2]) < patch_size:
                raise ImageError(
                    f"{photograph.path}: expected at least {patch_size * scale} pixels per side "
                    f"for LR patches of {patch_size} at ×{scale}, "
                    f"got {hr.shape[0]}×{hr.shape[1]}; lower data.patch_size or remove the image"
                )
            self.pairs.append((lr, hr))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, index))
        lr, hr = self.pairs[rng.integers(len(self.pairs))]
        size, scale = self.patch_size, self.scale
        top = rng.integers(lr.shape[0] - size + 1)
        left = rng.integers(lr.shape[1] - size + 1)
        patches = (
            lr[top : top + size, left : left + size],
            hr[scale * top : scale * (top + size), scale * left : scale * (left + size)],
        )
        turns, flip = (int(rng.integers(4)), bool(rng.integers(2))) if self.augment else (0, False)
        low, high = (np.rot90(patch[:, ::-1] if flip else patch, turns) for patch in patches)
        return _to_tensor(low), _to_tensor(high)


def _to_tensor(patch: RGBImage) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1).float() / 255


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
