"""Checkpoints: the published format and architecture, ours, and files that are neither."""

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_network import ReferenceNetwork
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from asid.config import ModelConfig, preset
from asid.evaluation.verify import GOLDEN, formula_weights, published_shapes
from asid.model.checkpoint import CheckpointError, from_published, load_checkpoint, save_checkpoint
from asid.model.find import find_checkpoint, packaged_models
from asid.model.network import ASID

PUBLISHED = {"asid": "asid", "asid_d8": "asid-d8"}

Weights = dict[str, Tensor]


def random_weights(name: str, scale: int, seed: int = 0) -> Weights:
    """Weights under which every part of the network matters: sharp attention, large biases, gains far from one."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in sorted(published_shapes(name, scale).items()):
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        if key.endswith("temperature"):
            weights[key] = 4 + noise
        elif key.endswith("rel_pos_bias.weight"):
            weights[key] = noise
        elif len(shape) == 1:
            weights[key] = 0.3 * noise + (1 if key.endswith("weight") else 0)
        else:
            weights[key] = noise / np.prod(shape[1:]) ** 0.5
            if key.endswith("to_qkv.weight"):
                weights[key][: 2 * shape[1]] *= 2
    return weights


def write_published(folder: Path, weights: object) -> Path:
    path = folder / "published.pth"
    torch.save(weights, path)
    return path


def small_shapes() -> Weights:
    return {key: torch.zeros(shape) for key, shape in published_shapes("asid", 2).items()}


@pytest.mark.parametrize(("file", "name", "scale"), [("x2", "asid", 2), ("x4", "asid", 4), ("x3_d8", "asid_d8", 3)])
def test_golden_outputs(file: str, name: str, scale: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / f"golden_{file}.npz")
    path = write_published(tmp_path, formula_weights(published_shapes(name, scale), float(golden["phase"])))
    model = load_checkpoint(path)
    assert model.config == preset(PUBLISHED[name], scale=scale)
    assert not model.training
    with torch.no_grad():
        output = model.double()(torch.from_numpy(golden["input"]).double()).numpy()
    assert output.shape == golden["output"].shape
    # Relative to the largest value of the output (1.4, 5.7, 8.5), which is stored in single precision: a difference of
    # 6e-8. The bound is tight because these weights hardly exercise attention: a wrong window changes the outputs by
    # only 1e-5.
    assert np.abs(output - golden["output"]).max() <= 2e-7 * np.abs(golden["output"]).max()


@pytest.mark.parametrize(
    ("name", "scale", "size"),
    [
        ("asid", 2, (16, 24)),
        ("asid", 2, (19, 30)),
        ("asid", 4, (24, 16)),
        ("asid", 3, (5, 40)),
        ("asid_d8", 2, (16, 16)),
    ],
)
def test_network_equals_an_independent_one(name: str, scale: int, size: tuple[int, int]) -> None:
    weights = random_weights(name, scale)
    config, tensors = from_published(weights)
    assert config == preset(PUBLISHED[name], scale=scale)
    model = ASID(config).double()
    model.load_state_dict(tensors)
    x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        output, expected = model(x), ReferenceNetwork(weights)(x)
    assert output.shape == expected.shape == (1, 3, scale * size[0], scale * size[1])
    assert expected.std() > 0.1
    assert (output - expected).abs().max() <= 1e-9 * expected.abs().max().clamp_min(1)


@pytest.mark.parametrize(("name", "scale"), [("asid", 2), ("asid", 3), ("asid", 4), ("asid_d8", 2)])
def test_published_keys_fit(name: str, scale: int) -> None:
    published = {key: torch.empty(shape, device="meta") for key, shape in published_shapes(name, scale).items()}
    config, tensors = from_published(published)
    assert config == preset(PUBLISHED[name], scale=scale)
    with torch.device("meta"):
        expected = ASID(config).state_dict()
    assert {key: tensor.shape for key, tensor in tensors.items()} == {
        key: tensor.shape for key, tensor in expected.items()
    }


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [(None, ""), ("state_dict", ""), ("params", ""), ("params_ema", ""), ("model", "module."), (None, "module.")],
)
def test_wrapped_published_files_load(wrapper: str | None, prefix: str, tmp_path: Path) -> None:
    weights = formula_weights(published_shapes("asid", 2), 0.5)
    content = {prefix + key: tensor for key, tensor in weights.items()}
    model = load_checkpoint(write_published(tmp_path, {wrapper: content} if wrapper else content))
    assert model.value_range == (-1.0, 1.0)
    assert torch.equal(model.shallow.weight, weights["input.weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention_sharing": 2, "distillation_ratio": "1/8", "scale": 3},
        {"spatial_windows": ["meso"], "esa": False, "scale": 4},
    ],
)
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_round_trip(changes: dict[str, object], value_range: tuple[float, float], tmp_path: Path) -> None:
    model = ASID(preset("asid-tiny", num_groups=2, **changes), seed=3, value_range=value_range)
    path = save_checkpoint(model, tmp_path / "new" / "model.safetensors", run={"seed": 3})
    loaded = load_checkpoint(path)
    assert loaded.config == model.config
    assert loaded.value_range == value_range
    assert not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["run"]) == {"seed": 3}


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    network = ASID(preset("asid-tiny", num_groups=1), seed=1)
    files = [save_checkpoint(network, tmp_path / f"{index}", run={"note": "Zoë \x1f"}) for index in range(3)]
    assert len({path.read_bytes() for path in files}) == 1


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(ASID(preset("asid-tiny"), seed=1), tmp_path / "model.safetensors")
    before = path.read_bytes()

    write = Path.write_bytes

    def fail(self: Path, content: bytes) -> None:
        write(self, content[: len(content) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(ASID(preset("asid-tiny"), seed=2), path)
    assert path.read_bytes() == before


def drop(weights: Weights) -> None:
    del weights["block1.res_end.bias"]


def add(weights: Weights) -> None:
    weights["block1.extra.weight"] = torch.zeros(1)


def reshape(weights: Weights) -> None:
    weights["output.bias"] = torch.zeros(47)


def reshape_split(weights: Weights) -> None:
    weights["block0.residual_layer.0.SLA1.attn.to_qkv.weight"] = torch.zeros(107, 36)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop, ["missing (1): groups.1.project.bias"]),
        (add, ["unexpected (1): groups.1.extra.weight"]),
        (reshape, ["mis-shaped (1): deep.bias: expected (48,), got (47,)"]),
        (reshape_split, ["groups.0.block.steps.0.spatial.0.attention"]),
    ],
)
def test_tensors_that_do_not_fit_are_listed(
    damage: Callable[[Weights], None], words: list[str], tmp_path: Path
) -> None:
    weights = small_shapes()
    damage(weights)
    path = write_published(tmp_path, weights)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


def test_all_problems_of_a_checkpoint_are_listed_at_once(tmp_path: Path) -> None:
    weights = small_shapes()
    for damage in (drop, add, reshape):
        damage(weights)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(write_published(tmp_path, weights))
    assert all(word in str(caught.value) for word in ("missing (1)", "unexpected (1)", "mis-shaped (1)"))


def test_our_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    path = save_checkpoint(ASID(preset("asid-tiny")), tmp_path / "model.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    del metadata["sha256"]
    tensors["deep.bias"] = torch.zeros(3)
    del tensors["shallow.bias"]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"missing \(1\): shallow.bias\n.*mis-shaped \(1\): deep.bias"):
        load_checkpoint(path)


class Touch:
    """Unpickling this creates a file: code that a checkpoint must not be able to run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def with_entry(key: str, value: object, **weights: Tensor) -> Callable[[Path], Path]:
    """Our file with another entry of the metadata, or other tensors, and no checksum."""

    def write(folder: Path) -> Path:
        path = save_checkpoint(ASID(preset("asid-tiny", num_groups=1)), folder / "file.safetensors")
        with safe_open(path, framework="pt") as file:
            entries = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        del entries["sha256"]
        save_file(tensors | weights, path, metadata={**entries, key: json.dumps(value)})
        return path

    return write


def truncated_safetensors(folder: Path) -> Path:
    path = save_checkpoint(ASID(preset("asid-tiny")), folder / "file.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    return path


def truncated_published(length: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = write_published(folder, small_shapes())
        path.write_bytes(path.read_bytes()[:length])
        return path

    return write


def foreign(metadata: dict[str, str] | None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save_file({"weight": torch.zeros(2)}, folder / "file.safetensors", metadata=metadata)
        return folder / "file.safetensors"

    return write


def text(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def published(content: object) -> Callable[[Path], Path]:
    return lambda folder: write_published(folder, content)


MODEL = json.dumps(ModelConfig().to_dict())
SMALL = preset("asid-tiny", num_groups=1).to_dict()
GIANT = {**SMALL, "num_features": 512, "num_groups": 64, "distillation_ratio": "0", "distillation_steps": 16}
"""15 GB: the network must not be built before the tensors are compared with it."""


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(truncated_safetensors, id="truncated safetensors"),
        pytest.param(truncated_published(-100), id="truncated pth"),
        pytest.param(truncated_published(500_000), id="truncated pth in the middle"),
        pytest.param(truncated_published(50_000), id="truncated pth in the names"),
        pytest.param(truncated_published(3), id="truncated pth in the header"),
        pytest.param(text("file.safetensors", b"not a checkpoint\n"), id="text as safetensors"),
        pytest.param(text("file.pth", b"not a checkpoint\n"), id="text as pth"),
        pytest.param(text("file.safetensors", b""), id="empty safetensors"),
        pytest.param(text("file.pth", b""), id="empty pth"),
        pytest.param(foreign(None), id="foreign safetensors"),
        pytest.param(foreign({"format": "pt"}), id="foreign safetensors with metadata"),
        pytest.param(foreign({"format": '"asid/2"', "model": MODEL}), id="another version"),
        pytest.param(foreign({"format": '"asid/1"'}), id="header without a configuration"),
        pytest.param(foreign({"format": '"asid/1"', "model": MODEL}), id="header without a value range"),
        pytest.param(
            foreign({"format": '"asid/1"', "model": '{"scale": 5}', "value_range": "[0, 1]"}), id="bad configuration"
        ),
        pytest.param(with_entry("value_range", [0, 0]), id="black is white"),
        pytest.param(with_entry("value_range", "x" * 3), id="no value range"),
        pytest.param(with_entry("model", GIANT), id="a giant"),
        pytest.param(with_entry("model", {**SMALL, "channel_windows": ["meso"] * 20_000}), id="20 000 windows"),
        pytest.param(with_entry("run", {}, **{"deep.bias": torch.full((16,), math.nan)}), id="NaN"),
        pytest.param(with_entry("run", {}, **{"deep.bias": torch.zeros(16, dtype=torch.int64)}), id="integers"),
        pytest.param(text("file.pth", b"epoch 3\n" * 99), id="lines as pth"),
        pytest.param(published({"input.weight": torch.full((48, 3, 3, 3), math.inf)}), id="published, infinite"),
        pytest.param(published({"input.weight": torch.zeros(48, 3).to_sparse()}), id="published, sparse"),
        pytest.param(published({"input.weight": torch.zeros(48, 3, device="meta")}), id="published, without values"),
        pytest.param(published([torch.zeros(2)]), id="a list"),
        pytest.param(published({"epoch": 3}), id="a number"),
        pytest.param(published({0: torch.zeros(2)}), id="numbered tensors"),
        pytest.param(published({}), id="nothing"),
        pytest.param(published({"conv.weight": torch.zeros(2, 2)}), id="another network"),
        pytest.param(
            published({"input.weight": torch.zeros(48, 3, 3, 3), "up.0.weight": torch.zeros(75, 48, 3, 3)}),
            id="scale 5",
        ),
    ],
)
def test_a_file_that_is_not_a_checkpoint_raises(write: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert "weights_only=False" not in str(caught.value), "the hint would run the code in the file"


def test_no_changed_bit_goes_unnoticed(tmp_path: Path) -> None:
    path = save_checkpoint(ASID(preset("asid-tiny", num_groups=1)), tmp_path / "file.safetensors", run={"seed": 3})
    content = path.read_bytes()
    for position in np.random.default_rng(0).integers(len(content), size=60):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@pytest.mark.parametrize("name", packaged_models())
def test_packaged_weights_have_a_checksum(name: str) -> None:
    with safe_open(find_checkpoint(name), framework="pt") as file:
        assert len(file.metadata()["sha256"]) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"distillation_ratio": "0", "distillation_steps": 5, "spatial_windows": ["meso"] * 4},
        {"spatial_windows": [], "channel_windows": [], "esa": False, "local_module": False, "distillation_steps": 3},
        {"attention_sharing": "none", "channel_windows": ["global"] * 3, "distillation_ratio": "1/8"},
    ],
)
def test_no_network_is_taken_for_one_that_describes_a_larger_one(changes: dict[str, object], tmp_path: Path) -> None:
    model = ASID(preset("asid-tiny", **changes))
    assert load_checkpoint(save_checkpoint(model, tmp_path / "model.safetensors")).config == model.config


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(how: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "file.pth", tmp_path / "trace"
    content = {"input.weight": Touch(trace)}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match="tensors only"):
        load_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if how == "torch" else pickle.loads(path.read_bytes())
    assert trace.exists()  # the file was able to


@pytest.mark.parametrize("name", ["none.safetensors", "none.pth"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        load_checkpoint(tmp_path / name)
