"""Reading HR and LR images together, and comparing the LR files of a whole set with our resize."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from asid.config import Border
from asid.data.benchmarks import find_benchmark
from asid.data.images import ImageError, RGBImage, read_image, refuse_profile
from asid.data.layouts import Pair
from asid.data.photographs import Photograph, manifest_hash
from asid.data.resize import downscale
from asid.data.sources import find_pairs


def read_pair(pair: Pair, scale: int, border: Border = "symmetric") -> tuple[RGBImage, RGBImage, str]:
    """Read an LR and an HR image.

    Args:
        pair: The files.
        scale: Factor between the two.
        border: Border rule of our resize; only used if there is no LR file.

    Returns:
        LR, uint8 (h, w, 3); HR, uint8 (scale · h, scale · w, 3), the file cropped at the right and bottom; and the
        origin of the LR image: ``file``, or for our resize ``bicubic symmetric`` or ``bicubic replicate``.

    Raises:
        ImageError: A file is unreadable or has other colours than sRGB, or the LR file has the wrong size.
    """
    refuse_profile(pair.hr)
    photograph = Photograph(pair.hr)
    if pair.lr is None:
        return *photograph.pair(scale, border), f"bicubic {border}"
    refuse_profile(pair.lr)
    hr = photograph.crop(scale)
    return _read_lr(pair.lr, hr, scale), hr, "file"


def describe_pairs(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Describe the files of an evaluation set for a record.

    Returns:
        ``images``: file names of the HR images; ``hashes``: SHA-256 of each; ``manifest``: hash of all HR files;
        ``lr_manifest``: hash of the LR files, or ``None``.
    """
    hr = [Photograph(pair.hr) for pair in pairs]
    lr = [Photograph(pair.lr) for pair in pairs if pair.lr is not None]
    return {
        "images": [photograph.path.name for photograph in hr],
        "hashes": [photograph.content for photograph in hr],
        "manifest": manifest_hash(hr),
        "lr_manifest": manifest_hash(lr) if lr else None,
    }


def _read_lr(path: Path, hr: RGBImage, scale: int) -> RGBImage:
    lr = read_image(path)
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    if lr.shape[:2] != (height, width):
        raise ImageError(
            f"{path}: expected {height}×{width} pixels, 1/{scale} of the HR image, got {lr.shape[0]}×{lr.shape[1]}"
        )
    return lr


def check_source(source: str | Path, scale: int, root: str | Path | None = None) -> dict[str, Any]:
    """Read every image of a source and summarise it.

    Args:
        source: A benchmark, a folder, or ``samples``.
        scale: Factor of the LR files.
        root: Folder of the data sets, by default ``ASID_DATA``.

    Returns:
        JSON values. ``images``: their number; ``smallest`` and ``largest``: [H, W] of the HR files, by area;
        ``manifest``: hash of the HR files, as in the records of runs; ``lr``: ``None`` if there are no LR files,
        otherwise their ``manifest`` and, for each border rule, how many of them are ``equal`` in every byte to our
        resize.

    Raises:
        ImageError: At the first file that is unreadable or does not fit.
    """
    pairs = find_pairs(source, scale, root)
    sizes = []
    equal = dict.fromkeys(get_args(Border), 0)
    for pair in pairs:
        photograph = Photograph(pair.hr)
        sizes.append(list(photograph.hr().shape[:2]))
        hr = photograph.crop(scale)
        if pair.lr is not None:
            lr = _read_lr(pair.lr, hr, scale)
            for border in equal:
                equal[border] += int(np.array_equal(lr, downscale(hr, scale, border)))
    files = describe_pairs(pairs)
    benchmark = find_benchmark(source)
    return {
        "source": benchmark.name if benchmark else str(source),
        "scale": scale,
        "images": len(pairs),
        "smallest": min(sizes, key=np.prod),
        "largest": max(sizes, key=np.prod),
        "manifest": files["manifest"],
        "lr": {"manifest": files["lr_manifest"], "equal": equal} if files["lr_manifest"] else None,
    }
