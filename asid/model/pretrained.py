"""From a name to a network: packaged weights, a checkpoint file, or the folder of a run."""

from collections.abc import Iterable
from pathlib import Path

import torch

from asid.config import PRESETS
from asid.files import WEIGHTS
from asid.model.checkpoint import load_checkpoint
from asid.model.network import ASID

_PACKAGED = Path(__file__).parents[1] / "weights"


def packaged_models() -> list[str]:
    """Names of the networks that come with the package; ``asid/weights/README.md`` says how they were trained."""
    return sorted(path.stem for path in _PACKAGED.glob("*.safetensors"))


def find_checkpoint(model: str | Path) -> Path:
    """Find the checkpoint file of a model.

    Args:
        model: A checkpoint file (``.safetensors``, or a published ``.pth``), the name of packaged weights, or a run's
            folder. A preset's name is never taken for a folder: write ``./asid`` for one that is called ``asid``.

    Raises:
        FileNotFoundError: There is no such model; the message lists the packaged ones.
    """
    path = Path(model)
    if path.is_file():
        return path
    if model not in PRESETS and path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        raise FileNotFoundError(f"no trained network in {path}: expected {WEIGHTS} in a finished run's folder")
    if model in packaged_models():
        return _PACKAGED / f"{model}.safetensors"
    hint = f" (the preset {model} has no packaged weights)" if model in PRESETS else ""
    packaged = ", ".join(packaged_models())
    raise FileNotFoundError(
        f"no model {model}{hint}: expected a checkpoint file, the folder of a run, or one of {packaged}"
    )


def load_model(model: str | Path, device: str = "auto") -> ASID:
    """Load a trained network, in evaluation mode.

    Args:
        model: A checkpoint file (``.safetensors``, or a published ``.pth``), the name of packaged weights such as
            ``"asid-tiny"``, or the folder of a run.
        device: A PyTorch device such as ``"cpu"`` or ``"cuda:1"``; ``"auto"``: a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such model.
        CheckpointError: The file cannot be read, or its tensors do not fit the network that it describes.
        ValueError: The device cannot be used.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    network = load_checkpoint(find_checkpoint(model))
    try:
        return network.to(torch.device(chosen))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {device}: {str(error).splitlines()[0]}") from None


def common_scale(models: Iterable[ASID]) -> int:
    """The scale of networks that are compared with each other.

    Raises:
        ValueError: Their scales differ, or there are no networks.
    """
    scales = {model.config.scale for model in models}
    if len(scales) != 1:
        raise ValueError(f"expected networks of one scale, got scales {sorted(scales)}")
    return scales.pop()
