"""Attention maps as images: where they are zero, what they sum to, and what is told about a pixel that is not there."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asid.config import preset
from asid.interpret.attention import spatial_attention
from asid.model.network import ASID

PIXELS = [(0, 0), (13, 22), (31, 39)]


def build(**changes: Any) -> ASID:
    return ASID(preset("asid-tiny", **changes)).eval()


@pytest.fixture(scope="module")
def model() -> ASID:
    return build()


def photograph(height: int = 32, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_attention_sums_to_one_without_padding(pixel: tuple[int, int], layer: int, step: int, model: ASID) -> None:
    attention = spatial_attention(model, photograph(), pixel, layer=layer, step=step)
    assert (attention.shape, attention.dtype) == ((32, 40), np.float32)
    assert attention.min() >= 0
    assert attention.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("layer", [0, 1])
def test_with_padding_a_part_falls_outside_the_image(layer: int, model: ASID) -> None:
    attention = spatial_attention(model, photograph(27, 37), (26, 36), layer=layer)
    assert attention.shape == (27, 37)
    assert 0 < attention.sum() < 1 - 1e-4


@pytest.mark.parametrize("pixel", PIXELS)
def test_meso_attention_stays_in_the_window_of_the_query(pixel: tuple[int, int], model: ASID) -> None:
    attention = spatial_attention(model, photograph(), pixel, layer=0)
    top, left = pixel[0] // 8 * 8, pixel[1] // 8 * 8
    expected = np.zeros((32, 40), bool)
    expected[top : top + 8, left : left + 8] = True
    np.testing.assert_array_equal(attention > 0, expected)


@pytest.mark.parametrize("pixel", PIXELS)
def test_global_attention_is_on_a_grid_over_the_whole_image(pixel: tuple[int, int], model: ASID) -> None:
    attention = spatial_attention(model, photograph(), pixel, layer=1)
    rows, columns = 32 // 8, 40 // 8
    expected = np.zeros((32, 40), bool)
    expected[pixel[0] % rows :: rows, pixel[1] % columns :: columns] = True
    assert expected.sum() == 64
    np.testing.assert_array_equal(attention > 0, expected)


def test_a_larger_window_is_a_window() -> None:
    attention = spatial_attention(build(global_kind="window", global_size=16), photograph(32, 48), (20, 17), layer=1)
    expected = np.zeros((32, 48), bool)
    expected[16:32, 16:32] = True
    np.testing.assert_array_equal(attention > 0, expected)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_numbers_are_those_of_the_network(layer: int, model: ASID) -> None:
    """The map of the network, taken apart by hand: the window of the pixel and its place in it."""
    image, (row, column) = photograph(), (13, 22)
    lr = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        _, maps = model(lr, return_attention=True)
    if layer == 0:
        window, place = (row // 8) * (40 // 8) + column // 8, (row % 8) * 8 + column % 8
    else:
        window, place = (row % 4) * (40 // 8) + column % 5, (row // 4) * 8 + column // 5
    expected = maps.spatial[0][0][layer][window, place].numpy()
    attention = spatial_attention(model, image, (row, column), layer=layer)
    np.testing.assert_allclose(attention[attention > 0], expected, rtol=1e-4)  # both in the order of rows and columns


def test_a_group_that_shares_has_the_map_of_the_first(model: ASID) -> None:
    first, second, third = (spatial_attention(model, photograph(), (13, 22), group=group, step=1, layer=1) for group in range(3))
    np.testing.assert_array_equal(second, first)
    np.testing.assert_array_equal(third, first)


def test_a_group_that_does_not_share_has_a_map_of_its_own() -> None:
    model = build(attention_sharing="none")
    first, second = (spatial_attention(model, photograph(), (13, 22), group=group) for group in range(2))
    assert not np.allclose(first, second, atol=1e-4)


def test_steps_and_pixels_have_maps_of_their_own(model: ASID) -> None:
    maps = [spatial_attention(model, photograph(), (13, column), step=step) for column in (21, 22) for step in (0, 1)]
    for position, one in enumerate(maps):
        for other in maps[:position]:
            assert not np.allclose(one, other, atol=1e-4)


def test_weights_of_another_value_range_see_the_same_image() -> None:
    """The range of the weights decides what the network is given: not the same map."""
    image = photograph()
    unit, symmetric = ASID(preset("asid-tiny")), ASID(preset("asid-tiny"), value_range=(-1.0, 1.0))
    assert not np.allclose(spatial_attention(unit, image, (13, 22)), spatial_attention(symmetric, image, (13, 22)), atol=1e-5)


def test_the_image_is_not_written_to(model: ASID) -> None:
    image = photograph()
    image.setflags(write=False)
    spatial_attention(model, image, (0, 0))
    np.testing.assert_array_equal(image, photograph())


@pytest.mark.parametrize(
    ("pixel", "place", "message"),
    [
        ((32, 0), {}, "expected a row from 0 to 31, got 32"),
        ((-1, 0), {}, "expected a row from 0 to 31, got -1"),
        ((0, 40), {}, "expected a column from 0 to 39, got 40"),
        ((0, 0), {"group": 3}, "expected a group from 0 to 2, got 3"),
        ((0, 0), {"step": 3}, "expected a step from 0 to 2, got 3"),
        ((0, 0), {"layer": 2}, "expected a layer from 0 to 1, got 2"),
        ((0, 0), {"layer": -1}, "expected a layer from 0 to 1, got -1"),
    ],
)
def test_a_place_that_is_not_there_is_told_with_those_that_are(
    pixel: tuple[int, int], place: dict[str, int], message: str, model: ASID
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        spatial_attention(model, photograph(), pixel, **place)


def test_a_network_without_spatial_attention_is_told() -> None:
    """There is no valid range of layers to name."""
    with pytest.raises(ValueError, match="no spatial attention"):
        spatial_attention(build(spatial_windows=[]), photograph(), (0, 0))
