"""The photographs that ship with scikit-image: data for everyone, without a download."""

from pathlib import Path

TRAIN_SAMPLES = ("astronaut.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")
VALIDATION_SAMPLES = ("chelsea.png", "coffee.png")
"""The everyday colour photographs of scikit-image in a fixed split. The two motorcycle pictures are a stereo pair of
one scene, so both are in the same half."""


def sample_paths(split: str) -> list[Path]:
    """Return the files of the split ``train``, or of the validation split for any other value."""
    from skimage import data

    folder = Path(data.__file__).parent
    return [folder / name for name in (TRAIN_SAMPLES if split == "train" else VALIDATION_SAMPLES)]
