"""Errors by frequency: they sum to the mean squared error, and are in the band where they were put."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asid.data.images import RGBImage
from asid.evaluation.metrics import comparable, score
from asid.evaluation.spectrum import BANDS, band_power, error_by_band
from asid.interpret.crops import Crops
from asid.interpret.frequency import bicubic_spectrum, error_spectrum
from asid.interpret.lesions import Lesion, lesioned

RNG = np.random.default_rng(0)


def noise(*shape: int) -> RGBImage:
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("protocol", ["psnr-y/ssim-y crop=scale", "psnr-rgb/ssim-rgb crop=scale"])
@pytest.mark.parametrize("size", [(40, 40), (33, 50), (24, 31)])
def test_the_bands_sum_to_the_mean_squared_error_of_the_protocol(size: tuple[int, int], protocol: str) -> None:
    sr, hr = noise(*size), noise(*size)
    error, signal = error_by_band(sr, hr, 2, protocol)  # type: ignore[arg-type]
    assert error.shape == signal.shape == (BANDS,)
    a, b = comparable(sr, hr, 2, protocol)  # type: ignore[arg-type]
    assert error.sum() == pytest.approx(((a - b) ** 2).mean(), rel=1e-9)
    assert signal.sum() == pytest.approx(b.var(axis=(0, 1)).mean(), rel=1e-9)
    psnr, _ = score(sr, hr, 2, protocol)  # type: ignore[arg-type]
    assert 10 * np.log10(255**2 / error.sum()) == pytest.approx(psnr, abs=1e-9)


@pytest.mark.parametrize(
    ("cycles", "band"),
    [((0, 0), 0), ((0, 3), 1), ((4, 0), 2), ((8, 8), 5), ((0, 16), 8), ((32, 0), 15), ((32, 32), 15)],
)
def test_a_wave_is_in_the_band_of_its_frequency(cycles: tuple[int, int], band: int) -> None:
    """Of a 64×64 image: 2 cycles per image are 1/32 cycle per pixel, the width of a band."""
    rows, columns = np.indices((64, 64)) / 64
    power = band_power(np.cos(2 * np.pi * (cycles[0] * rows + cycles[1] * columns)))
    assert power[band] == pytest.approx(power.sum())


class Planted(nn.Module):
    """Repeats each LR pixel twice; ``wave``, a layer, is the only source of columns that alternate, 1/2 cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.wave = Wave()

    def forward(self, x: Tensor) -> Tensor:
        x = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return x + self.wave(x)


class Wave(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.1 * torch.cos(torch.pi * torch.arange(x.shape[-1])).expand_as(x)


def test_without_the_only_source_of_a_frequency_the_error_is_in_its_band() -> None:
    lr = (RNG.integers(100, 150, (2, 16, 16, 3))).astype(np.uint8)
    model = Planted()
    with torch.no_grad():
        hr = model(torch.from_numpy(lr).permute(0, 3, 1, 2) / 255).mul(255).round().to(torch.uint8)
    crops = Crops(("a", "b"), lr, hr.permute(0, 2, 3, 1).numpy())
    assert (error_spectrum(model, crops).error == 0).all()
    with lesioned(model, Lesion("wave", "wave", (("wave", "zero"),))):
        error = error_spectrum(model, crops).error
    np.testing.assert_allclose(error[:, 15] / error.sum(1), 1, atol=0.01)


def test_bicubic_has_less_error_than_signal_only_below_the_nyquist_frequency_of_lr(small_crops: Crops) -> None:
    spectrum = bicubic_spectrum(small_crops)
    assert spectrum.error.shape == (2, BANDS)
    assert spectrum.snr[1] > 15
    assert spectrum.snr[12:].max() < 5
