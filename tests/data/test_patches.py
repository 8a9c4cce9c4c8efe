"""Training patches: aligned, augmented in the same way, and in an order that depends only on seed and index."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asid.data.cache import FOLDER_VARIABLE
from asid.data.images import ImageError
from asid.data.patches import PatchDataset, ResumableSampler, collate, detail
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
        assert all(np.array_equal(a, b) for a, b in zip(again[index], forwards[index], strict=True))
    assert len({pair[0].tobytes() for pair in forwards.values()}) == len(forwards)
    assert not all(np.array_equal(first[index][0], other[index][0]) for index in indices)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_patches_are_aligned(scale: int, crops: Path) -> None:
    dataset, margin = patches(crops, scale=scale, patch_size=12), 3
    for index in range(10):
        lr, hr = dataset[index]
        assert (lr.dtype, lr.shape, hr.shape) == (np.uint8, (12, 12, 3), (12 * scale, 12 * scale, 3))
        inside = (slice(margin, -margin), slice(margin, -margin))
        assert np.array_equal(lr[inside], downscale(hr, scale)[inside])


def test_the_most_detailed_candidate_is_taken(crops: Path) -> None:
    drawn, chosen = patches(crops, candidates=1), patches(crops, candidates=3)
    for index in range(5):
        rng = np.random.default_rng((0, index))
        candidates = [drawn._draw(rng)[1] for _ in range(3)]
        most = max(detail(hr, 2) for hr in candidates)
        assert detail(chosen[index][1], 2) == most
    assert detail(np.repeat(np.repeat(candidates[0][::2, ::2], 2, 0), 2, 1), 2) == 0


def test_a_batch_is_the_patches_as_contiguous_floats(crops: Path) -> None:
    items = [patches(crops, augment=True)[index] for index in range(3)]
    for batch, images in zip(collate(items), zip(*items, strict=True), strict=True):
        assert batch.is_contiguous()
        expected = [torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in images]
        assert torch.equal(batch, torch.stack(expected))


def test_augmentation_is_the_same_turn_and_flip_of_both_patches(crops: Path) -> None:
    plain, augmented = patches(crops), patches(crops, augment=True)
    kinds = set()
    for index in range(100):
        pairs = list(zip(plain[index], augmented[index], strict=True))
        fitting = [
            (turns, flip)
            for turns in range(4)
            for flip in (False, True)
            if all(np.array_equal(np.rot90(p[:, ::-1] if flip else p, turns), a) for p, a in pairs)
        ]
        assert len(fitting) == 1
        kinds.update(fitting)
    assert len(kinds) == 8


def test_patches_come_from_every_image_and_reach_every_border(crops: Path) -> None:
    dataset = patches(crops)
    origins = {}
    for number, (image, _) in enumerate(dataset.pairs):
        pixels = image.pixels()
        for top in range(17):
            for left in range(17):
                origins[pixels[top : top + 16, left : left + 16].tobytes()] = (number, top, left)
    seen = []
    for index in range(400):
        lr, _ = dataset[index]
        seen.append(origins[lr.tobytes()])
    assert {(number, top) for number, top, _ in seen} == {(number, top) for number in range(3) for top in range(17)}
    assert {(number, left) for number, _, left in seen} == {(number, left) for number in range(3) for left in range(17)}


def test_images_smaller_than_a_patch_are_refused(crops: Path) -> None:
    with pytest.raises(ImageError, match=r"0\.png: .*at least 80 pixels per side.*got 64×64"):
        patches(crops, patch_size=40)


def test_what_the_cache_lacks_is_made_before_the_first_patch(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    files = [tmp_path / image.name for pair in patches(crops).pairs for image in pair]
    for path in (files[0], files[3]):  # an LR and another HR image
        path.unlink()
    patches(crops)
    assert all(path.is_file() for path in files)


def test_the_sampler_resumes_where_training_stands() -> None:
    position = 0
    sampler = ResumableSampler(lambda: range(position, 6))
    assert list(sampler) == [0, 1, 2, 3, 4, 5]
    position = 4
    assert list(sampler) == [4, 5]
    assert len(sampler) == 2
