"""At which frequencies networks are wrong: the error of evaluation crops in bands of the spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from asid.data.resize import bicubic_upscale
from asid.evaluation.spectrum import error_by_band, snr
from asid.interpret.crops import Crops, super_resolve


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of N images in the bands of :mod:`asid.evaluation.spectrum`."""

    error: NDArray[np.float64]
    """Power of the error in grey levels², (N, 16); sums to the mean squared error of each image."""
    signal: NDArray[np.float64]
    """Power of the HR image without its mean, (N, 16)."""

    @property
    def snr(self) -> NDArray[np.float64]:
        """Signal-to-noise ratio in dB of the means over images, (16,)."""
        return snr(self.signal.mean(0), self.error.mean(0))


def error_spectrum(model: nn.Module, crops: Crops) -> Spectrum:
    """The spectrum of a network's error.

    Args:
        model: Any network from (B, 3, H, W) to (B, 3, sH, sW).
        crops: The images.
    """
    return spectrum_of(super_resolve(model, crops.lr), crops)


def bicubic_spectrum(crops: Crops) -> Spectrum:
    """The spectrum of the error of bicubic enlargement."""
    return spectrum_of(np.stack([bicubic_upscale(lr, crops.scale) for lr in crops.lr]), crops)


def spectrum_of(sr: NDArray[np.uint8], crops: Crops) -> Spectrum:
    """The spectrum of the error of SR images (N, s·h, s·w, 3)."""
    bands = [error_by_band(one, other, crops.scale) for one, other in zip(sr, crops.hr, strict=True)]
    error, signal = (np.stack(powers) for powers in zip(*bands, strict=True))
    return Spectrum(error, signal)
