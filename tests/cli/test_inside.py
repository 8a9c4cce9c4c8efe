"""The commands lam, erf, cem and frequency, with packaged networks and with anyone's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Call
from safetensors.torch import save_file

from asid.model.foreign import find_scale, open_network

pytestmark = pytest.mark.process

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.conv(x))

class OnlyMultiplesOf64(Net):
    def forward(self, x):
        return super().forward(x).view(-1, 3, *(128 * (side // 64) for side in x.shape[2:]))

def classifier():
    return nn.Flatten()

def needs(scale): ...
def number(): return 3
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with somebody's module, which is the current folder."""
    (tmp_path / "theirs.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "theirs", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def photograph(crops: Path) -> Path:
    return crops / "train" / "0.png"


def test_anyones_network_is_looked_into(theirs: Path, crops: Path, photograph: Path, cli: Call) -> None:
    common = ["--model", "theirs:Net", "--size", 32]
    for command, more in (("lam", ["--steps", 3]), ("erf", []), ("cem", ["--samples", 1, "--passes", 20])):
        ended = cli(command, photograph, *common, *more)
        assert ended.status == 0, ended.err
        with np.load(theirs / f"results/inside/{command}.npz") as saved:
            name = {"lam": "signed", "erf": "field", "cem": "effect"}[command]
            assert saved[name].shape == (32, 32)
            assert np.count_nonzero(saved[name]) > 0
        assert (theirs / f"results/inside/{command}.png").is_file()
    with np.load(theirs / "results/inside/erf.npz") as saved:
        rows, columns = saved["field"].nonzero()
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 17, 15, 17), "a 3×3 convolution"
    ended = cli("frequency", crops / "train", "--model", "asid-tiny", "--value-range", -1, 1, *common)
    assert ended.status == 0, ended.err
    assert "bicubic" in ended.out
    with np.load(theirs / "results/inside/frequency.npz") as saved:
        assert saved["theirs:Net.error"].shape == (3, 16)


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"params_ema": s}, lambda s: {"module." + k: v for k, v in s.items()}]
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_are_found_in_the_files_of_training_programs(theirs: Path, wrap: object, ending: str) -> None:
    first, second = open_network("theirs:Net"), open_network("theirs:Net")
    content = wrap(second.state_dict())  # type: ignore[operator]
    if ending == "pth":
        torch.save(content, theirs / "w.pth")
    elif "params_ema" in content:
        pytest.skip("safetensors files have no containers")
    else:
        save_file(content, theirs / "w.safetensors")
    loaded = open_network("theirs:Net", theirs / f"w.{ending}", (-1, 1))
    assert torch.equal(loaded.conv.weight, second.conv.weight)  # type: ignore[union-attr,arg-type]
    assert not torch.equal(loaded.conv.weight, first.conv.weight)  # type: ignore[union-attr,arg-type]
    assert loaded.value_range == (-1, 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "nothere.at_all:Net"], "cannot import nothere.at_all:Net"),
        (["--model", "theirs:Missing"], "cannot import theirs:Missing"),
        (["--model", "theirs:needs"], "without arguments"),
        (["--model", "theirs:number"], "torch.nn.Module, got a int"),
        (["--model", "theirs:classifier"], "expected a network from"),
        (["--model", "theirs:Net", "--weights", "no.pth"], "no weights at no.pth"),
        (["--model", "theirs:Net", "--weights", "bad.pth"], "bad.pth: cannot be read as tensors alone"),
        (["--model", "theirs:Net", "--weights", "other.pth"], "does not fit the network"),
        (["--model", "theirs:Net", "--weights", "code.pth"], "code in a file is not executed"),
        (["--model", "theirs:OnlyMultiplesOf64"], "choose another --size"),
        (["--model", "theirs:Net", "--size", "640"], "smaller size"),
        (["--model", "theirs:Net", "--row", "99"], "row and a column below 16"),
        (["--model", "asid-tiny", "--weights", "x.pth"], "has its own weights"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_what_is_wrong_with_a_network_is_said_in_a_line(
    theirs: Path, photograph: Path, cli: Call, words: list[str], says: str
) -> None:
    (theirs / "bad.pth").write_bytes(b"not weights")
    torch.save({"conv.weight": torch.zeros(1)}, theirs / "other.pth")
    torch.save({"net": torch.nn.Flatten()}, theirs / "code.pth")
    ended = cli("erf", photograph, "--size", 16, *words)
    assert ended.status == 2
    assert says in " ".join(ended.err.split())


def test_the_scale_is_that_of_the_output() -> None:
    assert find_scale(open_network("asid-tiny")) == 2
