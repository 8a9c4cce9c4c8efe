"""Training photographs among those of validation or evaluation: found by their pixels, refused before training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.preflight import prepare
from asid.ablation.study.expand import expand
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.data.images import ImageError, read_image
from asid.data.overlap import check_overlap, find_overlap
from asid.data.sources import find_images
from asid.runs.run import train_and_score


@pytest.fixture
def tests(crops: Path, tmp_path: Path) -> Path:
    """An evaluation set with a training photograph under another name and in another format, and one of its size."""
    folder = tmp_path / "Set2"
    folder.mkdir()
    pixels = read_image(crops / "train" / "1.png")
    Image.fromarray(pixels).save(folder / "renamed.bmp")
    Image.fromarray(255 - pixels).save(folder / "other.png")
    return folder


def test_photographs_are_compared_by_their_pixels(crops: Path, tests: Path) -> None:
    training, evaluated = find_images(crops / "train"), find_images(tests)
    ((mine, other),) = find_overlap(training, evaluated)
    assert (mine.path.name, other.path.name) == ("1.png", "renamed.bmp")
    assert find_overlap(training, find_images(crops / "validation")) == []


def test_the_samples_have_no_photograph_in_both_parts() -> None:
    check_overlap(RunConfig())


@pytest.mark.parametrize("use", ["validation", "evaluation"])
def test_overlap_is_refused_before_training_unless_it_is_allowed(
    use: str, tests: Path, tiny_run: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny_run()
    data = config.data.to_dict()
    if use == "validation":
        config = config.override(data={**data, "validation": str(tests)})
    else:
        config = config.override(evaluate={"data": [str(tests)]})
    with pytest.raises(ImageError, match=rf"also in the {use}: .*1.png \(renamed.bmp in .*allow_overlap=true"):
        train_and_score(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    allowed = config.override(data={**config.data.to_dict(), "allow_overlap": True})
    check_overlap(allowed)
    assert allowed.training_settings() == config.training_settings(), "it changes no weights"


def test_a_study_is_refused_before_its_first_run(crops: Path, tests: Path, tmp_path: Path) -> None:
    content = {
        "name": "overlap",
        "question": "Why?",
        "preset": "asid-tiny",
        "base": {"evaluate": {"data": [str(tests)]}},
        "variants": {"base": {}, "more": {"data": {"train": str(crops / "train"), "patch_size": 16}}},
    }
    with pytest.raises(ImageError, match=r"renamed\.bmp"):
        prepare(expand(StudyConfig.model_validate(content)), tmp_path, ClusterConfig())


def test_damaged_images_are_named(crops: Path, tests: Path) -> None:
    (tests / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        find_overlap(find_images(crops / "train"), find_images(tests))


def test_grey_and_colour_of_equal_pixels_are_one_photograph(tmp_path: Path) -> None:
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    for name, pixels in (("a/x.png", grey), ("b/y.png", np.repeat(grey[..., None], 3, 2))):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
    assert len(find_overlap(find_images(tmp_path / "a"), find_images(tmp_path / "b"))) == 1
