"""A small photograph for tests that need one to score."""

from asid.data.images import read_image
from asid.data.sources import find_images

PHOTO = read_image(find_images("samples")[0].path)[40:104, 60:124].copy()
"""A 64×64 crop, uint8 (64, 64, 3)."""
