"""Loading networks by what a person types: packaged weights, a checkpoint file, the folder of a run."""

from pathlib import Path

import pytest
import torch
from paths import ROOT

import asid
from asid.config import preset
from asid.data.linear import fit_linear_filters, linear_upscale
from asid.data.sources import find_images
from asid.evaluation.metrics import comparable, psnr
from asid.files import WEIGHTS
from asid.model.find import find_checkpoint, packaged_models
from asid.runs.record import read_record


@pytest.mark.parametrize("name", packaged_models())
def test_packaged_weights(name: str) -> None:
    model = asid.load_model(name, "cpu")
    assert not model.training
    assert model.config.num_features == (48 if "tiny" not in name else 16)
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
    [("nowhere", "one of asid, asid-tiny"), ("asid-d8", "preset asid-d8 has no packaged"), (".", "finished run")],
)
def test_no_such_model(model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        asid.load_model(model)


def test_a_text_may_be_a_packaged_name_and_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, ``asid`` is the folder of the package."""
    monkeypatch.chdir(tmp_path)
    network = asid.ASID(preset("asid-tiny", num_groups=1))
    for name in ("asid", "asid-d8"):
        path = asid.save_checkpoint(network, Path(name) / WEIGHTS)
        assert find_checkpoint(f"./{name}") == find_checkpoint(Path(name)) == path
    Path("asid-tiny").write_bytes(path.read_bytes())
    assert find_checkpoint(Path("asid-tiny")) == Path("asid-tiny")
    for name in ("asid", "asid-tiny"):
        assert find_checkpoint(name).parent == Path(asid.__file__).parent / "weights"
    with pytest.raises(FileNotFoundError, match="preset asid-d8 has no packaged"):
        find_checkpoint("asid-d8")
    Path("asid-tiny").unlink()
    with pytest.raises(FileNotFoundError, match=r"the packaged weights.*text 'asid-tiny'"):
        find_checkpoint(Path("asid-tiny"))


def test_the_record_of_the_published_network_is_of_this_network() -> None:
    record = read_record(ROOT / "results" / "reference" / "weights" / "asid")
    assert record.config.model == asid.load_model("asid", "cpu").config


def test_the_published_network_is_far_above_the_linear_filter() -> None:
    photograph = find_images("samples")[0]
    lr, hr = photograph.pair(2, "symmetric")
    filters = fit_linear_filters(
        [photograph.pair(2, "symmetric") for photograph in find_images("samples", split="train")], 2
    )
    network = psnr(*comparable(asid.upscale(asid.load_model("asid", "cpu"), lr), hr, crop=2))
    assert network > psnr(*comparable(linear_upscale(lr, filters, 2), hr, crop=2)) + 0.5


def test_no_such_device() -> None:
    with pytest.raises(ValueError, match="cannot use the device nothing"):
        asid.load_model("asid-tiny", "nothing")
