"""Effective receptive fields of networks with a known answer, and the numbers that summarise a field."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asid.config import ModelConfig, preset
from asid.interpret.receptive_field import (
    effective_receptive_field,
    nonzero_share,
    pixels_holding,
    radius_holding,
    summarise_field,
    tile_around,
)
from asid.model.attention import SpatialAttentionLayer
from asid.model.network import ASID

Image = NDArray[np.uint8]


class AttentionAlone(nn.Module):
    """The attention of one layer on the colours of the image, without its feed-forward (whose 3×3 reaches further)."""

    def __init__(self, kind: Any, **changes: Any) -> None:
        super().__init__()
        self.layer = SpatialAttentionLayer(ModelConfig(**changes), 3, kind, makes_maps=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens, _ = self.layer.attention(self.layer.window.split(self.layer.norm(x)), None)
        return x + self.layer.window.merge(tokens, like=x)


class Enlarge(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_identity_reaches_the_pixel_alone(image: Image) -> None:
    field = effective_receptive_field(nn.Identity(), image, (5, 30))
    assert field.shape == (32, 48)
    assert field[5, 30] == 1
    assert np.count_nonzero(field) == 1


@pytest.mark.parametrize("pixel", [(10, 20), (11, 21), (10, 21)])
def test_the_pixel_is_in_output_coordinates(image: Image, pixel: tuple[int, int]) -> None:
    field = effective_receptive_field(Enlarge(), image, pixel)
    assert field[5, 10] == 1


def test_a_convolution_gives_the_absolute_values_of_its_weights(image: Image) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 3, 3, padding=1)
    weights = convolution.weight.detach().double().abs().sum((0, 1)).numpy()
    field = effective_receptive_field(convolution, image, (7, 40))
    assert np.count_nonzero(field) == 9
    np.testing.assert_allclose(field[6:9, 39:42], weights / weights.sum(), rtol=1e-5)
    corner = effective_receptive_field(convolution, image, (0, 0))
    np.testing.assert_allclose(corner[:2, :2], weights[1:, 1:] / weights[1:, 1:].sum(), rtol=1e-5)
    assert np.count_nonzero(corner) == 4


def test_channels_do_not_cancel(image: Image) -> None:
    convolution = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 0]])[..., None, None])
    assert effective_receptive_field(convolution, image, (3, 4))[3, 4] == 1


@pytest.mark.parametrize(("changes", "side"), [({}, 8), ({"global_kind": "window", "global_size": 16}, 16)])
def test_a_window_layer_reaches_exactly_its_window(image: Image, changes: dict[str, Any], side: int) -> None:
    torch.manual_seed(0)
    kind = "global" if changes else "meso"
    field = effective_receptive_field(AttentionAlone(kind, **changes), image, (17, 39))
    expected = np.zeros((32, 48), dtype=bool)
    top, left = 17 // side * side, 39 // side * side
    expected[top : top + side, left : left + side] = True
    np.testing.assert_array_equal(field > 0, expected)


def test_a_grid_layer_reaches_exactly_its_grid_points(image: Image) -> None:
    torch.manual_seed(0)
    field = effective_receptive_field(AttentionAlone("global"), image, (17, 39))
    expected = np.zeros((32, 48), dtype=bool)
    expected[17 % 4 :: 4, 39 % 6 :: 6] = True  # 8×8 points, 32/8 by 48/8 pixels apart
    np.testing.assert_array_equal(field > 0, expected)
    assert nonzero_share(field) == pytest.approx(64 / (32 * 48))


def test_several_pixels_and_images_have_equal_weight(image: Image) -> None:
    field = effective_receptive_field(nn.Identity(), [image, image.copy()], [(1, 2), (3, 4)])
    assert field[1, 2] == field[3, 4] == 0.5


def test_the_image_is_mapped_to_the_value_range_of_the_weights(image: Image) -> None:
    """This network expects images in [-1, 1] and clips negative values, the darker half."""

    class Positive(nn.Module):
        value_range = (-1.0, 1.0)

        def forward(self, x: Tensor) -> Tensor:
            return x.clamp_min(0)

    image[0, 0], image[0, 1] = 200, 50
    assert effective_receptive_field(Positive(), image, (0, 0))[0, 0] == 1
    with pytest.raises(ValueError, match="depends on no pixel"):
        effective_receptive_field(Positive(), image, (0, 1))


def test_a_whole_network_is_unchanged_and_its_field_sums_to_one(image: Image) -> None:
    model = ASID(preset("asid-tiny", num_groups=1)).train()
    field = effective_receptive_field(model, image[:20, :17], (39, 33))
    assert field.shape == (20, 17)
    assert field.sum() == pytest.approx(1)
    assert field.argmax() == 20 * 17 - 1
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_radius_and_pixels_of_a_disc_are_those_of_the_disc() -> None:
    rows, columns = np.indices((41, 41))
    disc = (np.hypot(rows - 20, columns - 20) <= 10).astype(float)
    assert radius_holding(disc, (20, 20), 1.0) == 10
    assert radius_holding(disc, (20, 20), 0.5) == pytest.approx(10 / np.sqrt(2), abs=0.3)
    assert pixels_holding(disc, 1.0) == disc.sum()
    assert pixels_holding(disc, 0.5) == np.ceil(disc.sum() / 2)
    assert summarise_field(disc, (20, 20))["reached %"] == pytest.approx(100 * disc.sum() / 41**2)


def test_a_single_point_has_radius_zero_and_one_pixel() -> None:
    point = np.zeros((6, 8))
    point[2, 3] = 0.3
    assert radius_holding(point, (2, 3), 0.95) == 0
    assert radius_holding(point, (2, 0), 0.95) == 3
    assert pixels_holding(point, 0.95) == 1


@pytest.mark.parametrize(
    ("pixel", "corner"),
    [((0, 0), (0, 0)), ((127, 127), (64, 64)), ((64, 64), (40, 40)), ((40, 100), (0, 64))],
)
def test_the_tile_is_that_of_tiled_inference_with_the_nearest_centre(
    pixel: tuple[int, int], corner: tuple[int, int]
) -> None:
    rows, columns = tile_around(pixel, 128, 128, 64)  # tiles begin at 0, 40 and 64
    assert (rows.start, columns.start) == corner
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)


def test_a_small_image_is_one_tile() -> None:
    assert tile_around((3, 3), 20, 100, 64) == (slice(0, 20), slice(0, 64))


@pytest.mark.parametrize("pixel", [(32, 0), (0, 48), (-1, 0)])
def test_a_pixel_outside_the_output_is_refused(image: Image, pixel: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected an output pixel from \(0, 0\) to \(31, 47\)"):
        effective_receptive_field(nn.Identity(), image, pixel)


def test_unsupported_images_and_models_are_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="expected a uint8 RGB image"):
        effective_receptive_field(nn.Identity(), image[..., :2], (0, 0))
    with pytest.raises(ValueError, match="expected a uint8 RGB image"):
        effective_receptive_field(nn.Identity(), image / 255, (0, 0))
    with pytest.raises(ValueError, match="expected a model that returns one RGB image"):
        effective_receptive_field(nn.Conv2d(3, 1, 1), image, (0, 0))
