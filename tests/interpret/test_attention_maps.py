"""Attention maps of an image: where they are zero, what they sum to, and which pixels and layers exist."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asid.config import PlainCNNConfig, preset
from asid.interpret.attention_maps import (
    entropy,
    extract_attention_maps,
    mean_distance,
    uniform_distance,
)
from asid.model.attention import WindowAttention
from asid.model.network import ASID
from asid.model.plain_cnn import PlainCNN

PIXELS = [(0, 0), (13, 22), (31, 39)]


def build(**changes: Any) -> ASID:
    return ASID(preset("asid-tiny", **changes)).eval()


@pytest.fixture(scope="module")
def model() -> ASID:
    return build()


def photograph(height: int = 32, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spatial_attention(
    model: ASID, image: NDArray[np.uint8], pixel: tuple[int, int], **layer: int
) -> NDArray[np.float32]:
    return extract_attention_maps(model, image).spatial(pixel, **layer)


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
    """Against the map of the network, with the window of the pixel and its token computed by hand."""
    image, (row, column) = photograph(), (13, 22)
    lr = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        _, maps = model(lr, return_attention=True)
    if layer == 0:
        window, token = (row // 8) * (40 // 8) + column // 8, (row % 8) * 8 + column % 8
    else:
        window, token = (row % 4) * (40 // 8) + column % 5, (row // 4) * 8 + column // 5
    expected = maps.spatial[0][0][layer][window, token].numpy()
    attention = spatial_attention(model, image, (row, column), layer=layer)
    np.testing.assert_allclose(attention[attention > 0], expected, rtol=1e-4)  # both in the order of rows and columns


def test_a_group_that_shares_has_the_map_of_the_first(model: ASID) -> None:
    first, second, third = (
        spatial_attention(model, photograph(), (13, 22), group=group, step=1, layer=1) for group in range(3)
    )
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


def test_the_image_is_mapped_to_the_value_range_of_the_weights() -> None:
    """Another range is another input, and so another map."""
    image = photograph()
    unit, symmetric = ASID(preset("asid-tiny")), ASID(preset("asid-tiny"), value_range=(-1.0, 1.0))
    assert not np.allclose(
        spatial_attention(unit, image, (13, 22)), spatial_attention(symmetric, image, (13, 22)), atol=1e-5
    )


def test_the_image_is_not_written_to(model: ASID) -> None:
    image = photograph()
    image.setflags(write=False)
    spatial_attention(model, image, (0, 0))
    np.testing.assert_array_equal(image, photograph())


@pytest.mark.parametrize(
    ("pixel", "layer", "keyword"),
    [
        ((32, 0), {}, "row from 0 to 31"),
        ((-1, 0), {}, "row from 0 to 31"),
        ((0, 40), {}, "column from 0 to 39"),
        ((0, 0), {"group": 3}, "group from 0 to 2"),
        ((0, 0), {"step": 3}, "step from 0 to 2"),
        ((0, 0), {"layer": 2}, "layer from 0 to 1"),
        ((0, 0), {"layer": -1}, "layer from 0 to 1"),
    ],
)
def test_a_missing_pixel_or_layer_is_reported_with_the_valid_range(
    pixel: tuple[int, int], layer: dict[str, int], keyword: str, model: ASID
) -> None:
    with pytest.raises(ValueError, match=keyword):
        spatial_attention(model, photograph(), pixel, **layer)


def test_a_network_without_spatial_attention() -> None:
    """It has no valid range of layers to report."""
    with pytest.raises(ValueError, match="no spatial attention"):
        spatial_attention(build(spatial_windows=[]), photograph(), (0, 0))


def test_rows_of_all_maps_sum_to_one() -> None:
    attention = extract_attention_maps(build(attention_sharing=2), photograph(27, 37))
    assert len(attention.spatial_maps) == len(attention.channel_maps) == 3
    for array in [layer for group in attention.spatial_maps for step in group for layer in step] + [
        a for g in attention.channel_maps for a in g
    ]:
        assert array.min() >= 0
        np.testing.assert_allclose(array.sum(-1), 1, atol=1e-5)


def test_a_shared_map_is_stored_once_and_its_source_is_known() -> None:
    attention = extract_attention_maps(build(attention_sharing=2, num_groups=4), photograph())
    assert [attention.source_group(group) for group in range(4)] == [0, 0, 2, 2]
    assert attention.spatial_maps[1][2][1] is attention.spatial_maps[0][2][1]
    assert attention.spatial_maps[2][2][1] is not attention.spatial_maps[0][2][1]


def test_relative_attention_counts_the_whole_window() -> None:
    """Uniform attention is 1 everywhere, even if most of the window is padding."""
    attention = extract_attention_maps(scored(build(), 0, torch.zeros(225)), photograph(27, 37))
    for pixel in ((0, 0), (26, 36)):
        for layer in (0, 1):
            relative = attention.relative(pixel, layer=layer)
            np.testing.assert_allclose(relative[attention.window(pixel, layer=layer)], 1, rtol=1e-5)
    assert attention.spatial((26, 36)).sum() == pytest.approx(3 * 5 / 64)


def test_the_mode_of_the_model_is_restored() -> None:
    model = build().train()
    extract_attention_maps(model, photograph())
    assert model.training


@pytest.mark.parametrize("layer", [0, 1])
def test_the_window_is_where_attention_is(layer: int, model: ASID) -> None:
    attention = extract_attention_maps(model, photograph(27, 37))
    np.testing.assert_array_equal(attention.window((13, 22), layer=layer), attention.spatial((13, 22), layer=layer) > 0)


def test_channel_maps_are_those_of_the_window_of_the_pixel(model: ASID) -> None:
    attention = extract_attention_maps(model, photograph())
    np.testing.assert_array_equal(
        attention.channel((13, 22), group=1), attention.channel_maps[1][0][1 * 5 + 2]
    )  # meso: window (1, 2) of 4×5
    np.testing.assert_array_equal(
        attention.channel((13, 22), group=1, layer=1), attention.channel_maps[1][1][5 * 8 + 6]
    )  # 13 % 8, 22 % 8
    assert not np.array_equal(attention.channel((13, 22)), attention.channel((13, 22), group=1))


@pytest.mark.parametrize(("pixel", "layer"), [((0, 0), {"layer": 2}), ((32, 0), {}), ((0, 0), {"group": 3})])
def test_a_missing_channel_map_is_reported(pixel: tuple[int, int], layer: dict[str, int], model: ASID) -> None:
    with pytest.raises(ValueError, match=r"(row|group|layer) from"):
        extract_attention_maps(model, photograph()).channel(pixel, **layer)
    with pytest.raises(ValueError, match="no channel attention"):
        extract_attention_maps(build(channel_windows=[]), photograph()).channel((0, 0))


def scored(model: ASID, query_key: float, bias: torch.Tensor | None = None) -> ASID:
    """Set q = k = a multiple of the normed features, so that similar pixels attend to each other, and the biases."""
    for module in model.modules():
        if isinstance(module, WindowAttention):
            eye = torch.eye(module.value.in_features)
            module.query_key.weight.data = query_key * torch.cat([eye, eye])
            if bias is not None:
                module.bias.table.data[:, 0] = bias
    return model


def only(offset_y: int, offset_x: int) -> torch.Tensor:
    """Biases with which each pixel attends to the one at this offset, if it is in the window."""
    table = torch.zeros(15, 15)
    table[7 - offset_y, 7 - offset_x] = 100
    return table.flatten()


def test_entropy_and_distance_of_uniform_attention() -> None:
    attention = extract_attention_maps(scored(build(), 0, torch.zeros(225)), photograph(32, 40))
    np.testing.assert_allclose(entropy(attention), 1, atol=1e-6)
    np.testing.assert_allclose(
        mean_distance(attention), np.broadcast_to(uniform_distance(attention), (3, 3, 2)), rtol=1e-5
    )
    y, x = np.indices((8, 8)).reshape(2, -1)
    local = np.hypot(y[:, None] - y, x[:, None] - x).mean()
    grid = np.hypot(4 * (y[:, None] - y), 5 * (x[:, None] - x)).mean()
    np.testing.assert_allclose(uniform_distance(attention), [local, grid], rtol=1e-5)


def test_entropy_and_distance_of_attention_to_one_pixel() -> None:
    attention = extract_attention_maps(scored(build(), 0, only(0, 0)), photograph(27, 37))
    np.testing.assert_allclose(entropy(attention), 0, atol=1e-6)
    np.testing.assert_allclose(mean_distance(attention), 0, atol=1e-6)


def test_the_distance_is_that_of_the_pixel_attended_to() -> None:
    attention = extract_attention_maps(scored(build(), 0, only(0, 1)), photograph(8, 40))
    rows = attention.spatial_maps[0][0][0].reshape(-1, 8, 8, 8, 8)  # (n, y, x, y', x') of the meso window
    assert rows[:, 3, 2, 3, 3] == pytest.approx(1)
    assert attention.spatial((3, 10))[3, 11] == pytest.approx(1)
    y, x = np.indices((8, 8))
    last = np.mean(
        [np.hypot(y - row, x - 7).mean() for row in range(8)]
    )  # the last column has nothing to its right: uniform attention
    expected = (7 * 1 + last) / 8
    assert mean_distance(attention)[0, 0, 0] == pytest.approx(expected, rel=1e-4)


def test_pixels_on_padding_do_not_count() -> None:
    """Pixels of the image may attend to padding, but padding is never a query."""
    image = photograph(27, 37)
    attention = extract_attention_maps(build(), image)
    by_hand = []
    for row in range(27):
        for column in range(37):
            window, token = (row // 8) * 5 + column // 8, (row % 8) * 8 + column % 8
            a = attention.spatial_maps[0][1][0][window, token].astype(float)
            by_hand.append(-(a * np.log(a)).sum() / np.log(64))
    assert attention.padded == (32, 40)
    assert entropy(attention)[0, 1, 0] == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_the_attention_around_a_pixel_is_that_of_all_groups_and_steps_in_its_window() -> None:
    attention = extract_attention_maps(build(attention_sharing="none"), photograph())
    pixel = attention.size[0] - 1, attention.size[1] - 2
    for layer in (0, 1):
        rows, columns, relative = attention.around(pixel, layer=layer)
        window = attention.window(pixel, layer=layer)
        np.testing.assert_array_equal(np.argwhere(window), [(row, column) for row in rows for column in columns])
        for group, step in ((0, 0), (2, 1)):
            expected = attention.relative(pixel, group=group, step=step, layer=layer)[np.ix_(rows, columns)]
            np.testing.assert_array_equal(relative[group, step], expected)


def planted() -> tuple[NDArray[np.uint8], tuple[int, int], list[tuple[int, int]]]:
    """Noise with a 3×3 texture at one pixel, and copies of it in other meso windows, on the grid of that pixel."""
    rng = np.random.default_rng(1)
    image = rng.integers(90, 130, (64, 64, 3), dtype=np.uint8)
    texture = np.array(
        [
            [[250, 0, 0], [0, 250, 0], [250, 0, 0]],
            [[0, 0, 250], [255, 255, 0], [0, 0, 250]],
            [[250, 0, 0], [0, 250, 0], [250, 0, 0]],
        ]
    )
    query, copies = (20, 28), [(20, 52), (44, 4), (60, 60), (4, 36)]
    for row, column in [query, *copies]:
        image[row - 1 : row + 2, column - 1 : column + 2] = texture
    return image, query, copies


def test_the_grid_attends_to_copies_of_a_texture_and_the_meso_window_does_not() -> None:
    image, query, copies = planted()
    attention = extract_attention_maps(scored(build(position_bias=False), 2.0), image)
    meso, grid = (attention.spatial(query, layer=layer) for layer in (0, 1))
    copied = tuple(np.array([query, *copies]).T)
    others = attention.window(query, layer=1)
    others[copied] = False
    assert grid[copied].min() > 5 * grid[others].max(), (
        "a copy of the texture gets more than any other pixel of the grid"
    )
    assert grid[copied].sum() > 0.5
    assert all(meso[copy] == 0 for copy in copies), "copies lie in other windows"
    assert meso[query] == meso.max()


def test_a_network_without_attention_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PlainCNN.* no attention maps"):
        extract_attention_maps(PlainCNN(PlainCNNConfig(num_features=4)), np.zeros((9, 9, 3), np.uint8))
