"""PSNR and SSIM on luma: published digits from published images, and values known in closed form."""

from pathlib import Path

import numpy as np
import pytest

from asid.config import EvalConfig
from asid.data.images import read_image
from asid.data.resize import crop_to_multiple
from asid.data.sources import find_images
from asid.evaluation.evaluate import bicubic_upscaler, evaluate
from asid.evaluation.metrics import comparable, psnr, rgb_to_luma, score, ssim

NOISE = np.random.default_rng(0).integers(60, 190, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize(("scale", "expected"), [(2, (38.274, 0.9614)), (3, (34.742, 0.9299)), (4, (32.634, 0.9002))])
def test_published_images_score_the_published_digits(scale: int, expected: tuple[float, float], shared: Path) -> None:
    scores = []
    for photograph in find_images(shared / "data" / "Set5"):
        sr = read_image(shared / "data" / "Set5_RCAN" / f"x{scale}" / f"{photograph.name}_RCAN_x{scale}.png")
        scores.append(score(sr, crop_to_multiple(photograph.read(), scale), crop=scale))
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    assert (round(mean_psnr, 3), round(mean_ssim, 4)) == expected


@pytest.mark.parametrize(("scale", "expected"), [(2, 33.67), (3, 30.40), (4, 28.43)])
def test_bicubic_scores_the_published_digits(scale: int, expected: float, shared: Path) -> None:
    scores = evaluate(bicubic_upscaler(scale), scale, EvalConfig(data=(str(shared / "data" / "Set5"),))).scores
    assert len(scores) == 5
    assert round(scores["psnr"].mean(), 2) == expected


@pytest.mark.parametrize(
    ("colour", "luma"),
    [
        ((255, 255, 255), 235.0),
        ((0, 0, 0), 16.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((51, 102, 204), 16 + 0.2 * 65.481 + 0.4 * 128.553 + 0.8 * 24.966),
    ],
)
def test_luma_of_known_colours(colour: tuple[int, int, int], luma: float) -> None:
    result = rgb_to_luma(np.full((2, 3, 3), colour, np.uint8))
    assert result.shape == (2, 3)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, luma, rtol=0, atol=1e-9)


def test_identical_images() -> None:
    assert score(NOISE, NOISE.copy(), crop=2) == (float("inf"), pytest.approx(1.0, abs=1e-12))


@pytest.mark.parametrize("levels", [1, 10, 50])
def test_psnr_of_a_constant_error(levels: int) -> None:
    error = levels * (65.481 + 128.553 + 24.966) / 255
    result, _ = score(NOISE + np.uint8(levels), NOISE, crop=2)
    assert result == pytest.approx(20 * np.log10(255 / error), abs=1e-9)
    assert psnr(np.zeros((4, 4)), np.full((4, 4), float(levels))) == pytest.approx(
        20 * np.log10(255 / levels), abs=1e-12
    )


@pytest.mark.parametrize("crop", [0, 1, 2, 3, 4])
def test_exactly_the_border_is_cropped(crop: int) -> None:
    border = NOISE.copy()
    border[:crop] = border[:, :crop] = 0
    border[40 - crop :] = border[:, 50 - crop :] = 255
    assert score(border, NOISE, crop)[0] == float("inf")
    for y, x in [(crop, crop), (39 - crop, crop), (crop, 49 - crop), (39 - crop, 49 - crop)]:
        inside = NOISE.copy()
        inside[y, x] = 0
        assert score(inside, NOISE, crop)[0] < 60


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, window by window: Gaussian 11×11 of σ 1.5, K 0.01 and 0.03, weighted population moments."""
    g = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight = np.outer(g, g) / g.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
            cov = (weight * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_ssim_equals_its_definition() -> None:
    a = rgb_to_luma(NOISE)
    b = a + np.random.default_rng(1).normal(0, 20, a.shape)
    assert ssim(a, b) == pytest.approx(ssim_by_hand(a, b), abs=1e-9)
    assert 0.1 < ssim(a, b) < 0.95


def test_scores_are_symmetric() -> None:
    other = NOISE[::-1].copy()
    assert score(NOISE, other, 2) == pytest.approx(score(other, NOISE, 2), abs=1e-12)


@pytest.mark.parametrize(
    ("sr", "hr", "crop", "message"),
    [
        (NOISE, NOISE[:-1], 2, r"same size, got \(40, 50, 3\) and \(39, 50, 3\)"),
        (NOISE, NOISE.astype(np.float32), 2, "uint8 images, got uint8 and float32"),
        (NOISE.astype(np.uint16), NOISE, 2, "uint8 images, got uint16 and uint8"),
        (NOISE[:14], NOISE[:14], 2, "at least 15 pixels per side to score at crop 2, got 14×50"),
    ],
)
def test_pairs_that_cannot_be_scored(sr: np.ndarray, hr: np.ndarray, crop: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        comparable(sr, hr, crop)


def test_the_smallest_pair_that_can_be_scored() -> None:
    assert np.isfinite(score(NOISE[:15, :15], NOISE[:15, :15] // 2, crop=2)).all()
