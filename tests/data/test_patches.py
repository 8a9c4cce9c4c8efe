"""Training patches: aligned, augmented in the same way, and in an order that depends only on seed and index."""

from pathlib import Path
from typing import Any

import pytest
import torch

from asid.data.images import ImageError
from asid.data.patches import PatchDataset, ResumableSampler
from asid.data.resize import downscale
from asid.data.sources import find_images


def patches(crops: Path, **changes: Any) -> PatchDataset:
    options = {"scale": 2, "patch_size": 16, "augment": False, "border": "symmetric", "seed": 0, **changes}
    return PatchDataset(find_images(crops / "train"), **options)


@pytest.mark.parametrize("augment", [False, True])
def test_a_patch_is_a_function_of_seed_and_index(augment: bool, crops: Path) -> None:
    first, again, other = (patches(crops, augment=augment, seed=seed) for seed in (1, 1, 2))
    indices = [5, 3, 0, 4, 3]
    forwards = {index: first[index] for index in sorted(set(indices))}
    for index in indices:
        assert all(torch.equal(a, b) for a, b in zip(again[index], forwards[index], strict=True))
    assert len({pair[0].numpy().tobytes() for pair in forwards.values()}) == len(forwards)
    assert not all(torch.equal(first[index][0], other[index][0]) for index in indices)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_patches_are_aligned(scale: int, crops: Path) -> None:
    dataset, margin = patches(crops, scale=scale, patch_size=12), 3
    for index in range(10):
        lr, hr = dataset[index]
        assert (lr.dtype, lr.shape, hr.shape) == (torch.float32, (3, 12, 12), (3, 12 * scale, 12 * scale))
        assert lr.min() >= 0
        assert 0.2 < hr.max() <= 1
        pixels = (hr * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        expected = torch.from_numpy(downscale(pixels, scale)).permute(2, 0, 1) / 255
        inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
        torch.testing.assert_close(lr[inside], expected[inside], rtol=0, atol=1e-6)


def test_augmentation_is_the_same_turn_and_flip_of_both_patches(crops: Path) -> None:
    plain, augmented = patches(crops), patches(crops, augment=True)
    kinds = set()
    for index in range(100):
        pairs = list(zip(plain[index], augmented[index], strict=True))
        fitting = [
            (turns, flip)
            for turns in range(4)
            for flip in (False, True)
            if all(torch.equal(torch.rot90(p.flip(2) if flip else p, turns, (1, 2)), a) for p, a in pairs)
        ]
        assert len(fitting) == 1
        kinds.update(fitting)
    assert len(kinds) == 8


def test_patches_come_from_every_image_and_reach_every_border(crops: Path) -> None:
    dataset = patches(crops)
    origins = {}
    for number, (pixels, _) in enumerate(dataset.pairs):
        for top in range(17):
            for left in range(17):
                origins[pixels[top : top + 16, left : left + 16].tobytes()] = (number, top, left)
    seen = []
    for index in range(400):
        lr, _ = dataset[index]
        seen.append(origins[(lr * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().tobytes()])
    assert {(number, top) for number, top, _ in seen} == {(number, top) for number in range(3) for top in range(17)}
    assert {(number, left) for number, _, left in seen} == {(number, left) for number in range(3) for left in range(17)}


def test_images_smaller_than_a_patch_are_refused(crops: Path) -> None:
    with pytest.raises(ImageError, match=r"0\.png: .*at least 80 pixels per side.*got 64×64"):
        patches(crops, patch_size=40)


def test_the_sampler_resumes_where_training_stands() -> None:
    position = 0
    sampler = ResumableSampler(lambda: range(position, 6))
    assert list(sampler) == [0, 1, 2, 3, 4, 5]
    position = 4
    assert list(sampler) == [4, 5]
    assert len(sampler) == 2
