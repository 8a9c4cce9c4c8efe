"""Loading networks by what a person types: packaged weights, a checkpoint file, the folder of a run."""

from pathlib import Path

import pytest
import torch

import asid
from asid.config import preset
from asid.files import WEIGHTS
from asid.model.find import find_checkpoint, packaged_models


@pytest.mark.parametrize("name", packaged_models())
def test_packaged_weights(name: str) -> None:
    model = asid.load_model(name, "cpu")
    assert not model.training
    assert model.config.num_features == 16
    assert sum(parameter.abs().sum() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file_and_the_folder_of_a_run(as_type: type, tmp_path: Path) -> None:
    saved = asid.ASID(preset("asid-tiny", num_groups=1, scale=3), seed=5)
    path = asid.save_checkpoint(saved, tmp_path / "runs" / "base" / WEIGHTS)
    for source in (path, path.parent):
        model = asid.load_model(as_type(source), "cpu")
        assert model.config == saved.config
        assert torch.equal(model.deep.weight, saved.deep.weight)


@pytest.mark.parametrize(
    ("model", "message"),
    [("nowhere", "one of asid-tiny"), ("asid-d8", "preset asid-d8 has no packaged"), (".", "finished run")],
)
def test_no_such_model(model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        asid.load_model(model)


def test_a_preset_is_not_the_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, ``asid`` is the folder of the package."""
    monkeypatch.chdir(tmp_path)
    path = asid.save_checkpoint(asid.ASID(preset("asid-tiny", num_groups=1)), Path("asid") / WEIGHTS)
    with pytest.raises(FileNotFoundError, match="preset asid has no packaged"):
        find_checkpoint("asid")
    assert find_checkpoint("./asid") == path


def test_no_such_device() -> None:
    with pytest.raises(ValueError, match="cannot use the device nothing"):
        asid.load_model("asid-tiny", "nothing")
