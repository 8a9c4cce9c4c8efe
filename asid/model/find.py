"""From a name to a checkpoint file: packaged weights, a file, or the folder of a run. No torch in here."""

from pathlib import Path

from asid.config import PRESETS
from asid.files import WEIGHTS

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
