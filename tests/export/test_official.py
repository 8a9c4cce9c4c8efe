"""``asid export --to official``: the published names, shapes and values."""

from pathlib import Path

import pytest
import torch
from command_line import Call

from asid.config import PlainCNNConfig, preset
from asid.evaluation.verify import formula_weights, published_shapes
from asid.export.official import to_published
from asid.files import CHECKPOINTS
from asid.model.checkpoint import from_published, load_checkpoint, save_checkpoint
from asid.model.find import find_checkpoint
from asid.model.network import ASID
from asid.model.plain_cnn import PlainCNN


@pytest.mark.parametrize(("name", "scale"), [("asid", 2), ("asid", 3), ("asid_d8", 4)])
def test_published_weights_come_back_unchanged(name: str, scale: int) -> None:
    published = formula_weights(published_shapes(name, scale), 0.5)
    config, tensors = from_published(published)
    network = ASID(config)
    network.load_state_dict(tensors)
    back = to_published(network)
    assert list(back) == [key for key in published_shapes(name, scale) if key in back]  # their order
    assert back.keys() == published.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in published.items())


@pytest.mark.parametrize("value_range", [(-1, 1), (0, 1)])
def test_our_weights_are_read_back(value_range: tuple[float, float], tmp_path: Path, cli: Call) -> None:
    """Of any width; a file has no value range, and what it is read with is that of the published weights."""
    ours, file = tmp_path / "ours.safetensors", tmp_path / "exported.pth"
    save_checkpoint(ASID(preset("asid-tiny"), value_range=value_range), ours)
    ended = cli("export", ours, "--to", "official", "--output", file)
    assert ended.status == 0
    assert f"images in [{value_range[0]}, {value_range[1]}]" in ended.words
    network, read = load_checkpoint(ours), load_checkpoint(file)
    assert (read.config, read.value_range) == (network.config, (-1, 1))
    assert all(torch.equal(read.state_dict()[key], tensor) for key, tensor in network.state_dict().items())


def test_a_kept_part_is_named_after_its_run(tmp_path: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("one", "two"):
        part = tmp_path / run / CHECKPOINTS / "0.5.safetensors"
        save_checkpoint(load_checkpoint(find_checkpoint("asid-tiny")), part)
        assert cli("export", part, "--to", "official").status == 0
    names = {path.name for path in (tmp_path / "results" / "export").iterdir()}
    assert names == {"one-0.5-official.pth", "two-0.5-official.pth"}


@pytest.mark.parametrize(
    "network",
    [ASID(preset("asid-tiny", attention_sharing="none")), ASID(preset("asid-tiny", padding="reflect")),
     PlainCNN(PlainCNNConfig())],
    ids=["names differ", "same names, another network", "no ASID"],
)  # fmt: skip
def test_what_the_published_code_does_not_have_is_refused(network: ASID) -> None:
    with pytest.raises(ValueError, match="expected"):
        to_published(network)
