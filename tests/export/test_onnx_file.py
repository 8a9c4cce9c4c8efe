"""``asid export --to onnx``: the same values as the network at sizes that were not traced, or no file."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from command_line import Call

from asid.config import ModelConfig, PlainCNNConfig
from asid.export import onnx_file
from asid.export.onnx_file import check_onnx, write_onnx
from asid.model.base import Network
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.model.plain_cnn import PlainCNN

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")), reason="needs asid[onnx]"
)
SMALL = ModelConfig.model_validate(
    {"num_features": 8, "num_groups": 2, "scale": 3, "distillation_steps": 1, "local_module": False}
    | {"spatial_windows": ["global"], "channel_windows": ["global"]}  # those whose reshape depends on the size
)


def network(seed: int) -> Network:
    """Two groups, of which the second takes the maps of the first; images in [-1, 1]."""
    return ASID(SMALL, seed=seed, value_range=(-1, 1))


@needs_onnx
@pytest.mark.process
def test_any_size_and_batch(tmp_path: Path) -> None:
    import onnx

    file = tmp_path / "asid.onnx"
    checked = write_onnx(network(0), file)
    assert checked.difference < 1e-5
    assert min(height for height, _ in checked.sizes) < 15  # padded, as ESA needs
    (lr,), (sr,) = (part for part in (onnx.load(file).graph.input, onnx.load(file).graph.output))
    assert [axis.dim_param or axis.dim_value for axis in lr.type.tensor_type.shape.dim] == [
        "batch",
        3,
        "height",
        "width",
    ]
    assert (lr.name, sr.name) == ("lr", "sr")
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert metadata["scale"] == "3"
    assert metadata["value_range"] == "[0, 1]"
    assert json.loads(metadata["model"]) == SMALL.to_dict()
    with pytest.raises(ValueError, match="expected a difference"):
        check_onnx(network(1), file)


@needs_onnx
def test_the_command_says_what_it_checked(tmp_path: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, file = tmp_path / "plain.safetensors", tmp_path / "plain.onnx"
    save_checkpoint(PlainCNN(PlainCNNConfig(num_features=4, num_blocks=1)), checkpoint)
    ended = cli("export", checkpoint, "--to", "onnx", "--output", file)
    assert ended.status == 0
    assert "largest difference" in ended.words
    assert file.stat().st_size > 0
    file.unlink()
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    assert cli("export", checkpoint, "--to", "onnx", "--output", file).status == 2
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_without_the_extra_the_command_names_it(tmp_path: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    checkpoint = save_checkpoint(PlainCNN(PlainCNNConfig(num_features=4, num_blocks=1)), tmp_path / "a.safetensors")
    ended = cli("export", checkpoint, "--to", "onnx", "--output", tmp_path / "a.onnx")
    assert ended.status == 2
    assert "pip install 'asid[onnx]'" in ended.err


def test_a_study_is_not_a_network(tmp_path: Path, cli: Call) -> None:
    ended = cli("export", tmp_path, "--to", "onnx")
    assert ended.status == 2
    assert "no trained network" in ended.err
