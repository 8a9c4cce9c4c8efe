"""PSNR and SSIM: the only implementation.

The default protocol, ``psnr-y/ssim-y crop=scale``, is the one of papers on classical super-resolution: Y of ITU-R
BT.601 in studio range, float64, not rounded; ``scale`` pixels cropped at each border; PSNR with peak 255; SSIM with an
11×11 Gaussian of σ 1.5 on the valid region (Wang et al. 2004); scores per image, then the mean over images.
``psnr-rgb/ssim-rgb crop=scale`` does the same on the three colours: PSNR of the mean squared error over all of them,
SSIM as their mean. See docs/evaluation.md.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from asid.config import Protocol

PROTOCOL: Protocol = "psnr-y/ssim-y crop=scale"
SSIM_SIDE = 11


def rgb_to_luma(image: NDArray[np.uint8] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert RGB (H, W, 3) in [0, 255] to luma Y, float64 (H, W) in [16, 235], not rounded.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.
    """
    return image @ (np.array([65.481, 128.553, 24.966]) / 255) + 16.0


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio in dB of two images of the same shape, peak 255; ``inf`` if they are identical."""
    error = np.mean((a - b) ** 2)
    return float(10 * np.log10(255.0**2 / error)) if error else float("inf")


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Structural similarity in [-1, 1] of two images (H, W) or (H, W, channels), averaged where the window fits."""
    _, similarity = structural_similarity(
        a,
        b,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
        channel_axis=2 if a.ndim == 3 else None,
    )
    margin = SSIM_SIDE // 2
    return float(similarity[margin:-margin, margin:-margin].mean())


def comparable(
    sr: NDArray[np.uint8], hr: NDArray[np.uint8], crop: int, protocol: Protocol = PROTOCOL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prepare two images for comparison by ``protocol``.

    Args:
        sr: uint8 RGB (H, W, 3).
        hr: uint8 RGB (H, W, 3).
        crop: Pixels to crop at each border.
        protocol: Whether luma or colours are compared.

    Returns:
        Both images cropped, float64: luma (h, w) or colours (h, w, 3).

    Raises:
        ValueError: The images differ in size, are not uint8, or are too small for SSIM.
    """
    if sr.shape != hr.shape:
        raise ValueError(f"expected two images of the same size, got {sr.shape} and {hr.shape}")
    if sr.dtype != np.uint8 or hr.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {sr.dtype} and {hr.dtype}")
    if min(sr.shape[:2]) - 2 * crop < SSIM_SIDE:
        raise ValueError(
            f"expected at least {SSIM_SIDE + 2 * crop} pixels per side to score at crop {crop}, "
            f"got {sr.shape[0]}×{sr.shape[1]}"
        )
    inside = slice(crop, -crop or None)
    a, b = sr[inside, inside], hr[inside, inside]
    return (rgb_to_luma(a), rgb_to_luma(b)) if protocol == PROTOCOL else (a.astype(np.float64), b.astype(np.float64))


def score(
    sr: NDArray[np.uint8], hr: NDArray[np.uint8], crop: int, protocol: Protocol = PROTOCOL
) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of two uint8 RGB images (H, W, 3) with ``crop`` pixels cropped at each border."""
    a, b = comparable(sr, hr, crop, protocol)
    return psnr(a, b), ssim(a, b)
