"""A small Set5 in each folder layout."""

from collections.abc import Callable
from pathlib import Path

import pytest
from skimage import data

from asid.data.images import write_image
from asid.data.resize import downscale

Build = Callable[..., tuple[Path, Path, Path]]
NAMES = ["baby", "bird", "butterfly", "head", "woman"]


@pytest.fixture
def build() -> Build:
    """``build(root, layout, form)``: see :func:`build_set5`."""
    return build_set5


def build_set5(root: Path, layout: str, form: str = "{}x2") -> tuple[Path, Path, Path]:
    """Write five HR images and their LR images at ×2; returns the folder to open, the HR folder and the LR folder.

    ``form`` is the name of an LR file for the name of its HR file.
    """
    folder, hr, lr, hr_form = {
        "flat": (root / "Set5", root / "Set5", root / "unused", "{}"),
        "folders": (root / "Set5", root / "Set5/HR", root / "Set5/LR_bicubic/X2", "{}"),
        "prefix": (root / "Set5_HR", root / "Set5_HR", root / "Set5_LR_bicubic/X2", "{}"),
        "srf": (root / "Set5", root / "Set5/image_SRF_2", root / "Set5/image_SRF_2", "{}_SRF_2_HR"),
    }[layout]
    form = "{}_SRF_2_LR" if layout == "srf" else form
    for index, name in enumerate(NAMES):
        image = data.astronaut()[60 + 9 * index : 92 + 9 * index, 200:224]
        write_image(hr / f"{hr_form.format(name)}.png", image)
        if layout != "flat":
            write_image(lr / f"{form.format(name)}.png", downscale(image, 2))
    return folder, hr, lr
