"""Reading and writing weights: our own (safetensors with the configuration) and the published ones (``.pth``).

Files come from strangers. What a file says is checked before a network of that size is built, and every way in which it
can be wrong is a :class:`CheckpointError`.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from asid.config import AnyNetwork, ModelConfig, NetworkConfig, describe_errors
from asid.files import atomic_write
from asid.model.base import Network, ValueRange
from asid.model.build import build_network

FORMAT = "asid/1"
PUBLISHED_RANGE: ValueRange = (-1.0, 1.0)
"""Value range of the images that the published weights were trained on: x / 127.5 - 1."""

CHECKSUM = "sha256"
"""Entry of the metadata: SHA-256 over the other entries and the tensors. Files of earlier versions do not have it."""

StateDict = dict[str, Tensor]
_CONFIG: TypeAdapter[NetworkConfig] = TypeAdapter(AnyNetwork)

# Published names to ours, in the order of application. In the published code, block0 makes the maps, and its IDB has
# one more wrapper.
_RENAMES: list[tuple[str, Any]] = [
    (r"^input\.", "shallow."),
    (r"^output\.", "deep."),
    (r"^up\.0\.", "upsample."),
    (r"^block(\d+)\.", r"groups.\1."),
    (r"\.res_end\.", ".project."),
    (r"\.residual_layer\.(0\.)?", ".block."),
    (r"\.esa\.conv1\.", ".esa.reduce."),
    (r"\.esa\.conv_f\.", ".esa.skip."),
    (r"\.esa\.conv2\.", ".esa.stride."),
    (r"\.esa\.conv3\.", ".esa.refine."),
    (r"\.esa\.conv4\.", ".esa.expand."),
    (r"\.LB(\d+)\.net\.fn\.0\.", lambda m: f".steps.{int(m[1]) - 1}.local.expand."),
    (r"\.LB(\d+)\.net\.fn\.2\.", lambda m: f".steps.{int(m[1]) - 1}.local.depthwise."),
    (r"\.LB(\d+)\.net\.fn\.4\.gate\.1\.", lambda m: f".steps.{int(m[1]) - 1}.local.gate.reduce."),
    (r"\.LB(\d+)\.net\.fn\.4\.gate\.3\.", lambda m: f".steps.{int(m[1]) - 1}.local.gate.expand."),
    (r"\.LB(\d+)\.net\.fn\.5\.", lambda m: f".steps.{int(m[1]) - 1}.local.project."),
    (r"\.SLA(\d+)\.", lambda m: f".steps.{int(m[1]) - 1}.spatial.0."),
    (r"\.SGA(\d+)\.", lambda m: f".steps.{int(m[1]) - 1}.spatial.1."),
    (r"\.pw(\d+)\.", lambda m: f".steps.{int(m[1]) - 1}.fuse."),
    (r"\.attn\.to_v\.", ".attention.value."),
    (r"\.attn\.to_out\.0\.", ".attention.out."),
    (r"\.attn\.rel_pos_bias\.weight$", ".attention.bias.table"),
    (r"\.attn\.", ".attention."),
    (r"\.BlockC\.canorm(\d)\.", lambda m: f".channel.{int(m[1]) - 1}.norm."),
    (r"\.BlockC\.cnorm(\d)\.", lambda m: f".channel.{int(m[1]) - 1}.ffn_norm."),
    (r"\.BlockC\.gfn(\d)\.", lambda m: f".channel.{int(m[1]) - 1}.ffn."),
    (r"\.BlockC\.cttn(\d)\.qkv\.", lambda m: f".channel.{int(m[1]) - 1}.attention.pointwise."),
    (r"\.BlockC\.cttn(\d)\.qkv_dwconv\.", lambda m: f".channel.{int(m[1]) - 1}.attention.depthwise."),
    (r"\.BlockC\.cttn(\d)\.project_out\.", lambda m: f".channel.{int(m[1]) - 1}.attention.out."),
    (r"\.BlockC\.cttn(\d)\.", lambda m: f".channel.{int(m[1]) - 1}.attention."),
    (r"\.cnorm\.", ".ffn_norm."),
    (r"\.gfn\.", ".ffn."),
    (r"\.ffn\.project_out\.", ".ffn.project."),
]  # fmt: skip

# Published tensors that we split along dimension 0: suffix of the name -> (suffix of ours, share of the rows), ...
_SPLITS = {
    ".to_qkv.weight": ((".query_key.weight", 2), (".value.weight", 1)),
    ".ffn.project_in.weight": ((".ffn.gate.pointwise.weight", 1), (".ffn.value.pointwise.weight", 1)),
    ".ffn.dwconv.weight": ((".ffn.gate.depthwise.weight", 1), (".ffn.value.depthwise.weight", 1)),
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or whose tensors do not fit the network."""


def save_checkpoint(model: Network, path: str | Path, **metadata: Any) -> Path:
    """Write weights, configuration and value range to a safetensors file.

    Args:
        model: The network.
        path: The file; folders are created, and an existing file is replaced only by a complete new one.
        **metadata: More entries of the file's metadata, as JSON values.
    """
    header = {"format": FORMAT, "model": model.config.to_dict(), "value_range": list(model.value_range), **metadata}
    entries = {key: json.dumps(value) for key, value in header.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = _in_order(save(tensors, {**entries, CHECKSUM: _checksum(entries, tensors)}))
    with atomic_write(path) as partial:  # an unfinished write must not look like a checkpoint
        partial.write_bytes(content)
    return Path(path)


def _in_order(content: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata in alphabetical order.

    The library writes it in another order each time, and the files of equal networks are to be equal.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[begin:]


def load_checkpoint(path: str | Path) -> Network:
    """Build the network that a checkpoint describes and load its weights, on the CPU, in evaluation mode.

    Args:
        path: A ``.safetensors`` file written by :func:`save_checkpoint`, or a published ``.pth`` file. The latter is
            read as tensors only, so that no code in it is executed; its configuration follows from the names and shapes
            of the tensors.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file cannot be read or was changed, its tensors do not fit the network that it describes,
            or some are not finite; the message names them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: expected a .safetensors file of this package or a published .pth file"
        )
    if path.suffix == ".safetensors":
        config, value_range, tensors = _read_ours(path)
    else:
        config, value_range, tensors = _read_published(path)
    _check_values(tensors, path)
    _check_size(config, tensors, path)
    model = build_network(config, value_range=value_range)
    _check_fit(model.state_dict(), tensors, path)
    model.load_state_dict(tensors)
    return model.eval()


def from_published(tensors: Mapping[str, Tensor]) -> tuple[ModelConfig, StateDict]:
    """Translate a published state dict to ours, and derive its configuration from names and shapes.

    Raises:
        CheckpointError: It is not the state dict of an ASID network.
    """
    renamed: StateDict = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        suffix = next((suffix for suffix in _SPLITS if name.endswith(suffix)), None)
        unit = sum(share for _, share in _SPLITS[suffix]) if suffix else 1
        if suffix is None or tensor.ndim == 0 or tensor.shape[0] % unit:
            renamed[name] = tensor  # one that does not divide is reported by the check of the shapes
            continue
        parts = _SPLITS[suffix]
        pieces = tensor.split([tensor.shape[0] // unit * share for _, share in parts])
        renamed |= {name.removesuffix(suffix) + part: piece for (part, _), piece in zip(parts, pieces, strict=True)}
    return _read_config(renamed), renamed


def _read_config(tensors: StateDict) -> ModelConfig:
    """The configuration of a published network: C, G and s vary, everything else is the paper's."""
    first, last = tensors.get("shallow.weight"), tensors.get("upsample.weight")
    if first is None or last is None or not first.ndim or not last.ndim:
        raise CheckpointError(
            f"not a published ASID checkpoint: expected input.weight and up.0.weight, got {_some(tensors)}"
        )
    scale = round((last.shape[0] / 3) ** 0.5)
    groups = {int(match[1]) for name in tensors if (match := re.match(r"groups\.(\d+)\.", name))}
    try:
        return ModelConfig.model_validate({"scale": scale, "num_features": first.shape[0], "num_groups": len(groups)})
    except ValidationError as error:
        raise CheckpointError("not a published ASID checkpoint: " + "; ".join(describe_errors(error))) from None


def _read_ours(path: Path) -> tuple[NetworkConfig, ValueRange, StateDict]:
    try:
        with safe_open(path, framework="pt") as file:
            entries = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        checksum = entries.pop(CHECKSUM, None)
        header = {key: json.loads(value) for key, value in entries.items()}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint of this package: expected format {FORMAT!r}, got {header.get('format')!r}"
        )
    if checksum not in (None, _checksum(entries, tensors)):
        raise CheckpointError(f"{path} is damaged: its content does not have the checksum that was written with it")
    try:
        low, high = map(float, header["value_range"])
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ValueError(f"expected a value range [black, white] with black below white, got [{low}, {high}]")
        return _CONFIG.validate_python(header["model"]), (low, high), tensors
    except ValidationError as error:
        raise CheckpointError(f"{path}: " + "; ".join(describe_errors(error))) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} has a damaged header: {type(error).__name__} {error}") from None


def _read_published(path: Path) -> tuple[ModelConfig, ValueRange, StateDict]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                    raise ValueError("its parts are compressed, which torch.save does not do")
                if damaged := archive.testzip():  # PyTorch does not compare the checksums
                    raise ValueError(f"its part {damaged} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"cannot read {path} as tensors only: {error}") from None
    except Exception as error:  # whatever an unpickler makes of strange bytes; its hints are about running their code
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}, damaged or another kind of file"
        raise CheckpointError(f"cannot read {path} as tensors only: {reason}") from None
    for wrapper in ("state_dict", "params_ema", "params", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(
            f"{path} does not hold a state dict: expected names and tensors, got {type(content).__name__}"
        )
    _check_values(content, path)
    try:
        config, tensors = from_published({name.removeprefix("module."): tensor for name, tensor in content.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return config, PUBLISHED_RANGE, tensors


def _checksum(entries: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the metadata and, by name, the type, shape and bytes of the tensors."""
    total = hashlib.sha256(json.dumps(entries, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not plain numbers, or not finite: one NaN gives a black image."""
    strange = [
        name
        for name, tensor in tensors.items()
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or not tensor.is_floating_point()
    ]
    if strange:
        raise CheckpointError(f"{path}: expected dense tensors of floating-point numbers, not so: {_some(strange)}")
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError(f"{path}: expected finite numbers, NaN or infinite are some in {_some(broken)}")


def _check_size(config: NetworkConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a file that has too few numbers for the network that it describes, before that is built."""
    numbers = sum(tensor.numel() for tensor in tensors.values())
    if isinstance(config, ModelConfig):
        spatial = sum(width**2 for width in config.step_widths) * len(config.spatial_windows)  # projections of values
        channel = 3 * config.num_features**2 * len(config.channel_windows)  # those of queries, keys and values
        least = config.num_groups * (spatial + channel + config.distillation_steps)
    else:
        least = 18 * config.num_features**2 * config.num_blocks  # the convolutions of the blocks
    if numbers < least:
        raise CheckpointError(
            f"{path} does not fit the network it describes: expected at least {least:,} numbers, got {numbers:,}"
        )


def _check_fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    shapes = [
        f"{name}: expected {tuple(expected[name].shape)}, got {tuple(tensors[name].shape)}"
        for name in expected
        if name in tensors and expected[name].shape != tensors[name].shape
    ]
    if missing or unexpected or shapes:
        problems = [("missing", missing), ("unexpected", unexpected), ("mis-shaped", shapes)]
        lines = [f"  {kind} ({len(names)}): {_some(names)}" for kind, names in problems if names]
        raise CheckpointError(f"{path} does not fit the network it describes:\n" + "\n".join(lines))


def _some(names: Iterable[str], most: int = 5) -> str:
    """The first names, for a message."""
    every = [name if len(name) <= 200 else f"{name[:200]}…" for name in names]
    shown = ", ".join(every[:most])
    return f"{shown}, …" if len(every) > most else shown or "nothing"
