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
        model: A checkpoint file (``.safetensors``, or a published ``.pth``), a run's folder, or, as a text, the name of
            packaged weights. A text that is the name of a preset is never a path: write ``./asid`` or
            ``Path("asid")`` for a file or folder that is called ``asid``.

    Raises:
        FileNotFoundError: There is no such model; the message lists the packaged ones.
    """
    path, packaged, hint = Path(model), packaged_models(), ""
    if isinstance(model, str) and model in packaged:
        return _PACKAGED / f"{model}.safetensors"
    if isinstance(model, str) and model in PRESETS:
        hint = f" (the preset {model} has no packaged weights)"
    elif path.is_file():
        return path
    elif path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        raise FileNotFoundError(f"no trained network in {path}: expected {WEIGHTS} in a finished run's folder")
    elif isinstance(model, Path) and str(model) in packaged:
        hint = f" at this path (for the packaged weights give the text '{model}')"
    raise FileNotFoundError(
        f"no model {model}{hint}: expected a checkpoint file, the folder of a run, or one of {', '.join(packaged)}"
    )
