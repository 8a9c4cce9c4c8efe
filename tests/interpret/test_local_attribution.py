"""Local attribution maps of networks with a known answer, and the diffusion index."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asid.config import preset
from asid.data.sources import find_images
from asid.interpret.local_attribution import blur, detected_detail, diffusion_index, gini, local_attribution
from asid.model.network import ASID

Image = NDArray[np.uint8]
BOX = (10, 12, 6, 4)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def edge() -> Image:
    """Black, and white from column 14 on."""
    image = np.zeros((24, 32, 3), dtype=np.uint8)
    image[:, 14:] = 255
    return image


def test_identity_attributes_to_the_box_and_the_pixels_its_differences_reach(image: Image) -> None:
    result = local_attribution(nn.Identity(), image, BOX, steps=4)
    expected = np.zeros((24, 32), dtype=bool)
    expected[10:17, 12:17] = True  # forward differences: one pixel more below and to the right …
    expected[16, 16] = False  # … but not diagonally
    np.testing.assert_array_equal(result.signed != 0, expected)


def test_a_convolution_reaches_one_pixel_further(image: Image) -> None:
    torch.manual_seed(0)
    result = local_attribution(nn.Conv2d(3, 3, 3, padding=1), image, BOX, steps=4)
    expected = np.zeros((24, 32), dtype=bool)
    expected[9:18, 11:18] = True
    expected[17, 17] = False
    np.testing.assert_array_equal(result.signed != 0, expected)


def test_an_edge_is_attributed_to_the_two_columns_beside_it() -> None:
    """The detail of a vertical edge is the step between two columns: in closed form, each of them has half of it."""
    result = local_attribution(nn.Identity(), edge(), (8, 13, 5, 1), steps=3)
    blurred = blur(edge() / 255, 1.2)
    rise = blurred[0, 14, 0] - blurred[0, 13, 0]
    assert result.detail == pytest.approx(5 * 3)  # rows, colours
    assert result.blurred_detail == pytest.approx(5 * 3 * rise, rel=1e-5)
    np.testing.assert_allclose(result.signed[8:13, 13:15], 3 * (1 - rise) / 2, rtol=1e-5)
    assert np.count_nonzero(result.signed[13:]) == np.count_nonzero(result.signed[:8]) == 0


def test_the_value_range_of_the_weights_does_not_change_the_units() -> None:
    class Signed(nn.Identity):
        value_range = (-1.0, 1.0)

    box = (8, 13, 5, 1)
    plain, signed = (local_attribution(model, edge(), box, steps=3) for model in (nn.Identity(), Signed()))
    assert signed.detail == pytest.approx(plain.detail)
    np.testing.assert_allclose(signed.signed, plain.signed, atol=1e-6)


def test_attributions_sum_to_the_change_of_detail_with_enough_steps(crops: Path) -> None:
    image = find_images(crops / "validation")[0].read()[:24, :24]
    model = ASID(preset("asid-tiny", num_groups=1))
    few, many = (local_attribution(model, image, (16, 16, 16, 16), steps=steps) for steps in (2, 24))
    assert many.signed.sum() == pytest.approx(many.detail - many.blurred_detail, rel=0.01)
    assert many.completeness_error < min(0.01, few.completeness_error)
    assert (many.absolute == np.abs(many.signed)).all()
    assert many.diffusion_index == diffusion_index(many.absolute)


def test_detail_of_a_ramp_is_its_slope_and_zero_beyond_the_border() -> None:
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    ramp = (3 * rows + 4 * columns).expand(1, 3, 6, 8)
    assert detected_detail(ramp, (1, 1, 2, 3)).item() == pytest.approx(3 * 6 * 5)
    assert detected_detail(ramp, (5, 7, 1, 1)).item() == 0
    assert detected_detail(ramp, (5, 0, 1, 1)).item() == pytest.approx(3 * 4)


def test_a_flat_image_gives_no_attribution_and_no_nan() -> None:
    flat = torch.zeros(1, 3, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(detected_detail(flat, (1, 1, 3, 3)), flat)
    assert torch.equal(gradient, torch.zeros_like(flat))
    with pytest.raises(ValueError, match="choose a box with more detail"):
        local_attribution(nn.Identity(), np.full((20, 20, 3), 7, dtype=np.uint8), (4, 4, 4, 4), steps=2)


def test_no_blur_is_the_image_and_blur_preserves_the_mean(image: Image) -> None:
    pixels = image / 255
    np.testing.assert_array_equal(blur(pixels, 0, 2), pixels)
    soft = blur(pixels, 2)
    assert soft.mean() == pytest.approx(pixels.mean(), abs=1e-3)
    assert soft.std() < 0.3 * pixels.std()
    assert soft[..., 0].std() > 0  # colours are not blurred into each other
    grey = np.zeros((9, 9, 3))
    grey[4, 4, 0] = 1
    assert blur(grey, 1)[..., 1:].max() == 0


def test_gini_in_closed_form() -> None:
    assert gini(np.full((4, 5), 3.0)) == pytest.approx(0)
    one = np.zeros((4, 5))
    one[2, 3] = 7
    assert gini(one) == pytest.approx(1 - 1 / 20)
    # 1, 2, …, n: (n² - 1) / 3n over n + 1 is (n - 1) / 3n.
    assert gini(np.arange(1.0, 11)) == pytest.approx(9 / 30)
    values = np.random.default_rng(1).random(50)
    assert gini(values) == pytest.approx(np.abs(values[:, None] - values).sum() / (2 * 50**2 * values.mean()))


def test_the_diffusion_index_is_100_for_equal_pixels_and_small_for_one() -> None:
    assert diffusion_index(np.ones((10, 10))) == pytest.approx(100)
    one = np.zeros((10, 10))
    one[0, 0] = -2
    assert diffusion_index(one) == pytest.approx(1)


@pytest.mark.parametrize("values", [np.zeros(3), np.array([1.0, -1.0])])
def test_gini_refuses_negative_and_all_zero_values(values: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        gini(values)


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 0, 4), (21, 0, 4, 4), (0, 29, 4, 4)])
def test_a_box_outside_the_output_is_refused(image: Image, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="inside the output of 24×32"):
        local_attribution(nn.Identity(), image, box, steps=1)


@pytest.mark.parametrize(("sigma", "steps"), [(0, 4), (1.2, 0)])
def test_a_path_needs_a_blur_and_a_step(image: Image, sigma: float, steps: int) -> None:
    with pytest.raises(ValueError, match="expected sigma above 0 and at least one step"):
        local_attribution(nn.Identity(), image, BOX, sigma=sigma, steps=steps)


def test_the_mode_of_the_model_is_restored_even_after_an_error(image: Image) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            raise RuntimeError("no")

    model = Fails().train()
    with pytest.raises(RuntimeError, match="no"):
        local_attribution(model, image, BOX, steps=1)
    assert model.training
