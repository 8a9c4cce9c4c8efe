"""Crops of a photograph, and small networks, for experiments with many passes."""

import numpy as np
import pytest

from asid.data.images import RGBImage
from asid.data.resize import downscale
from asid.data.sources import find_images
from asid.interpret.crops import Crops


@pytest.fixture(scope="session")
def small_crops() -> Crops:
    """Two LR crops of 16×16 for ×2."""
    photograph: RGBImage = find_images("samples")[0].read()
    hr = np.stack([photograph[top : top + 32, 200:232] for top in (100, 180)])
    return Crops(("one", "other"), np.stack([downscale(image, 2) for image in hr]), hr)
