"""MATLAB's bicubic resize: bit for bit against its own images, and against the formula."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from asid.data.images import read_image
from asid.data.resize import bicubic_upscale, crop_to_multiple, downscale, imresize
from asid.data.sources import find_images

RNG_IMAGE = np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_downscale_equals_matlab_in_every_byte(border: str, scale: int, shared: Path) -> None:
    expected = sorted((shared / "data" / "Set5_LR" / border / f"x{scale}").glob("*.png"))
    originals = find_images(shared / "data" / "Set5")
    assert len(expected) == len(originals) == 5
    for original, path in zip(originals, expected, strict=True):
        assert path.name.startswith(original.name)
        lr = downscale(crop_to_multiple(original.read(), scale), scale, border)
        assert np.array_equal(lr, read_image(path)), path


def keys(x: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, equation 15)."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def resize_line(line: list[float], scale: Fraction, border: str) -> list[float]:
    """One row by the formula: the kernel, widened when shrinking, centred on each output pixel; normalised weights."""
    length = len(line)
    stretch = min(1.0, float(scale))
    result = []
    for i in range(-(-length * scale.numerator // scale.denominator)):
        centre = (i + 0.5) / float(scale) - 0.5
        total = weights = 0.0
        for p in range(-40, length + 40):
            weight = keys(stretch * (centre - p))
            q = p
            if border == "replicate":
                q = min(max(p, 0), length - 1)
            else:
                while not 0 <= q < length:
                    q = -1 - q if q < 0 else 2 * length - 1 - q
            total += weight * line[q]
            weights += weight
        result.append(total / weights)
    return result


def resize_slowly(image: np.ndarray, scale: Fraction, border: str) -> np.ndarray:
    def along_columns(a: np.ndarray) -> np.ndarray:
        out = np.array([resize_line(list(column), scale, border) for column in a.astype(float).T]).T
        return np.clip(np.floor(out + 0.5), 0, 255) if image.dtype == np.uint8 else out

    return along_columns(along_columns(image).T).T


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(3), Fraction(3, 2), Fraction(1)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_imresize_equals_the_formula(scale: Fraction, border: str, dtype: type) -> None:
    image = RNG_IMAGE[:7, :9, 0].astype(dtype)
    resized, expected = imresize(image, scale, border), resize_slowly(image, scale, border)
    assert resized.dtype == dtype
    assert resized.shape == expected.shape
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-9)


def test_borders_differ_at_the_border_only() -> None:
    symmetric, replicate = (downscale(RNG_IMAGE, 2, border).astype(int) for border in ("symmetric", "replicate"))
    assert (symmetric != replicate)[0].any()
    assert np.array_equal(symmetric[2:-2, 2:-2], replicate[2:-2, 2:-2])


@pytest.mark.parametrize("value", [0, 137, 255])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_flat_image_stays_flat(value: int, scale: int) -> None:
    flat = np.full((24, 36, 3), value, np.uint8)
    assert np.array_equal(downscale(flat, scale), np.full((24 // scale, 36 // scale, 3), value))
    assert np.array_equal(bicubic_upscale(flat, scale), np.full((24 * scale, 36 * scale, 3), value))


def test_channels_are_resized_independently() -> None:
    assert np.array_equal(downscale(RNG_IMAGE, 2)[..., 1], downscale(RNG_IMAGE[..., 1], 2))


@pytest.mark.parametrize(
    ("size", "scale", "expected"), [((7, 9), 2, (6, 8)), ((7, 9), 3, (6, 9)), ((8, 8), 4, (8, 8)), ((5, 5), 1, (5, 5))]
)
def test_crop_to_multiple(size: tuple[int, int], scale: int, expected: tuple[int, int]) -> None:
    image = RNG_IMAGE[: size[0], : size[1]]
    assert np.array_equal(crop_to_multiple(image, scale), image[: expected[0], : expected[1]])


def test_an_image_smaller_than_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 4×4 pixels.*got 3×9"):
        crop_to_multiple(RNG_IMAGE[:3, :9], 4)
