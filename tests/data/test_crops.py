"""Crops: the most detailed square, and what happens at the border."""

from pathlib import Path

import numpy as np

from asid.data.crops import cut_pair, detailed_crops, most_detailed_box
from asid.data.sources import find_images


def test_the_most_detailed_box_contains_the_only_texture() -> None:
    image = np.full((64, 96, 3), 100, np.uint8)
    image[40:48, 56:64] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    top, left, height, width = most_detailed_box(image, 16)
    assert (height, width) == (16, 16)
    assert top <= 40 <= 48 <= top + height
    assert left <= 56 <= 64 <= left + width


def test_the_box_of_a_small_image_is_its_shorter_side() -> None:
    assert most_detailed_box(np.zeros((20, 30, 3), np.uint8), 64)[2:] == (20, 20)


def test_crops_are_the_whole_image_where_it_is_small(crops: Path) -> None:
    ((lr, hr),) = detailed_crops(find_images(crops / "validation"), 2, 64).values()
    assert (lr.shape, hr.shape) == ((24, 24, 3), (48, 48, 3))


def test_both_crops_are_of_the_same_region() -> None:
    lr = np.zeros((32, 32, 3), np.uint8)
    lr[8:24, 16:32] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    hr = lr.repeat(3, axis=0).repeat(3, axis=1)
    crop, reference = cut_pair(lr, hr, 16)
    np.testing.assert_array_equal(crop, lr[8:24, 16:32])
    np.testing.assert_array_equal(reference, crop.repeat(3, axis=0).repeat(3, axis=1))
