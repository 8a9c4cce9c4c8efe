"""The photographs that ship inside scikit-image: data for everybody, without a download."""

from pathlib import Path

TRAIN_SAMPLES = ("astronaut.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")
VALIDATION_SAMPLES = ("chelsea.png", "coffee.png")
"""The everyday colour photographs of scikit-image, split once and for all. The two motorcycle pictures are one scene from two sides
and so stand on the same side of the split."""


def sample_paths(split: str) -> list[Path]:
    """The files of the samples for ``train``, else those for validation."""
    from skimage import data

    folder = Path(data.__file__).parent
    return [folder / name for name in (TRAIN_SAMPLES if split == "train" else VALIDATION_SAMPLES)]
