"""Fixtures of all tests: commands, development data, tiny photographs, configurations of very short trainings."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Call, run_command
from paths import ROOT
from photographs import PHOTO
from skimage import data

from asid.ablation.engine.notebook import without_iri_checks
from asid.config import RunConfig, preset
from asid.data.cache import FOLDER_VARIABLE
from asid.data.images import write_image

torch.set_num_threads(1)
with without_iri_checks():
    import jsonschema  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take seconds come first: else a worker is left with a long one when the others have ended."""
    long = {item.path for item in items if item.get_closest_marker("process")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache of photographs alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``cli("complexity", "--preset", "asid-tiny")``: a command in this process, as from a shell."""
    return partial(run_command, monkeypatch, capsys)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Development data: benchmarks, MATLAB's LR images, RCAN's results. Not part of the repository."""
    folder = Path(os.environ.get("ASID_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no development data at {folder}: set ASID_SHARED")
    return folder


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train`` (three 64×64 crops of a photograph) and ``validation`` (one 48×48 crop)."""
    folder = tmp_path_factory.mktemp("crops")
    photograph = data.astronaut()
    for index, (top, left) in enumerate([(100, 180), (20, 200), (300, 60)]):
        write_image(folder / "train" / f"{index}.png", photograph[top : top + 64, left : left + 64])
    write_image(folder / "validation" / "face.png", photograph[60:108, 200:248])
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """SR and HR images, paired by name."""
    for name in ("baby", "bird", "bird2"):
        write_image(tmp_path / "hr" / f"{name}.png", PHOTO)
    write_image(tmp_path / "sr" / "baby_RCAN_x2.png", PHOTO)
    write_image(tmp_path / "sr" / "birdx2.png", 255 - PHOTO)
    write_image(tmp_path / "sr" / "bird2.png", PHOTO)
    return tmp_path / "sr", tmp_path / "hr"


@pytest.fixture
def tiny_run(crops: Path) -> Callable[..., RunConfig]:
    """Trainings of one second: ``tiny_run(model={...}, seed=1, steps=10, ...)``; other keywords are fields of train.

    ``model`` is a change over a small ASID network, or another network.
    """

    def make(*, model: dict[str, Any] | None = None, seed: int = 0, **train: Any) -> RunConfig:
        changes = model or {}
        network = changes if "network" in changes else preset("asid-tiny", **{"num_groups": 1, **changes}).to_dict()
        settings = {"steps": 6, "batch_size": 2, "validate_every": 3, "checkpoint_every": 2, "accelerator": "cpu"}
        return RunConfig.model_validate(
            {
                "model": network,
                "data": {"train": str(crops / "train"), "validation": str(crops / "validation"), "patch_size": 16},
                "train": {**settings, **train},
                "evaluate": {"data": [str(crops / "validation")]},
                "seed": seed,
            }
        )

    return make
