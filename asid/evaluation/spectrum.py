"""The error of an image by spatial frequency: in which bands of the spectrum quality is lost.

The bands are rings of equal width 1/32 cycle per pixel in the plane of frequencies. The last one also holds the corners
beyond 1/2 cycle per pixel, so that nothing is left out: the powers of the bands sum to the mean square (Parseval). The
Nyquist frequency of an LR image at scale s is 1/(2s) cycle per HR pixel, the lower edge of band 16/s, from 0: what is
above it, the LR image does not contain.
"""

import numpy as np
from numpy.typing import NDArray

from asid.config import Protocol
from asid.evaluation.metrics import PROTOCOL, comparable

BANDS = 16


def band_edges() -> NDArray[np.float64]:
    """Lower edges of the bands, and the Nyquist frequency, in cycles per pixel: (17,)."""
    return np.linspace(0, 0.5, BANDS + 1)


def band_power(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """The power of an image (h, w) in each band, (16,): the share of its mean square; their sum is the mean square.

    Divided by the number of frequencies in the band, it is the radially averaged power. The discrete Fourier transform
    continues the image periodically; where its borders do not fit, this adds a little to the high bands.
    """
    height, width = image.shape
    rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
    radius = np.hypot(rows[:, None], columns[None, :])
    band = np.minimum((radius * 2 * BANDS).astype(int), BANDS - 1)
    power = np.abs(np.fft.fft2(image) / image.size) ** 2
    return np.bincount(band.ravel(), power.ravel(), BANDS).astype(np.float64)


def error_by_band(
    sr: NDArray[np.uint8], hr: NDArray[np.uint8], crop: int, protocol: Protocol = PROTOCOL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The power of the error SR - HR and of the image HR in each band, (16,) each, in grey levels².

    Args:
        sr: uint8 RGB (H, W, 3).
        hr: uint8 RGB (H, W, 3).
        crop: Pixels to crop at each border.
        protocol: Whether luma or colours are compared; the powers of colours are averaged.

    Returns:
        The error, whose bands sum to the mean squared error behind PSNR; and the image without its mean, whose bands
        sum to its variance.

    Raises:
        ValueError: The images cannot be compared.
    """
    a, b = (image.reshape(*image.shape[:2], -1) for image in comparable(sr, hr, crop, protocol))
    planes = range(a.shape[2])
    error = np.mean([band_power(a[..., plane] - b[..., plane]) for plane in planes], axis=0)
    signal = np.mean([band_power(b[..., plane] - b[..., plane].mean()) for plane in planes], axis=0)
    return error, signal


def snr(signal: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signal-to-noise ratio in dB; infinite where there is no error, NaN where there is no signal either."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(signal / error)
