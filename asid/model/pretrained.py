"""Finding the network that somebody means: packaged weights by name, a checkpoint, or the folder of a run."""

from collections.abc import Iterable
from pathlib import Path

import torch

from asid.config import PRESETS
from asid.files import WEIGHTS
from asid.model.checkpoint import load_checkpoint
from asid.model.network import ASID

_FOLDER = Path(__file__).parents[1] / "weights"


def packaged_models() -> list[str]:
    """Names of the networks whose weights come with the package; ``asid/weights/README.md`` says how they were trained."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def find_checkpoint(model: str) -> Path:
    """The checkpoint that ``model`` means: a file, the name of packaged weights, or a run's folder. ``./asid`` is a folder, not a preset.

    Raises ``FileNotFoundError`` with what was expected.
    """
    path = Path(model)
    if path.is_file():
        return path
    if model not in PRESETS and path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        raise FileNotFoundError(f"no trained network in {path}: expected {WEIGHTS} there; let the run finish")
    packaged = {path.stem: path for path in _FOLDER.glob("*.safetensors")}
    if model in packaged:
        return packaged[model]
    expected = ", ".join(["a checkpoint", "the folder of a run", "bicubic", *sorted(packaged)])
    hint = f" (the preset {model} has no packaged weights)" if model in PRESETS else ""
    raise FileNotFoundError(f"no model {model}{hint}: expected {expected}")


def load_model(model: str, device: str = "auto") -> ASID:
    """The network that ``model`` means (see :func:`find_checkpoint`), on ``device`` (``auto``: a GPU where there is one)."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    network = load_checkpoint(find_checkpoint(model))
    try:
        return network.to(torch.device(chosen))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {device}: {str(error).splitlines()[0]}") from None


def common_scale(models: Iterable[ASID]) -> int:
    """The scale of networks that are to be compared. Raises ``ValueError`` where they have several, or there is none."""
    scales = {model.config.scale for model in models}
    if len(scales) != 1:
        raise ValueError(f"expected networks of one scale, got scales {sorted(scales)}: compare those of one scale")
    return scales.pop()
