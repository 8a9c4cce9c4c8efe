"""A small photograph for tests that need one to score."""

import numpy as np

from asid.data.sources import find_images

PHOTO = np.array(find_images("samples")[0].read()[40:104, 60:124])
"""A 64×64 crop, uint8 (64, 64, 3)."""
