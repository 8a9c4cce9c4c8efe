"""An evaluation as a file: which model, how it was applied, by which protocol, what it scored. And finding the model that is meant."""

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from asid.config import PRESETS, EvalConfig, Protocol, digest
from asid.data.benchmarks import find_pairs
from asid.data.pairs import describe_pairs
from asid.evaluate import bicubic, evaluate, mean_scores
from asid.files import IMAGES, WEIGHTS
from asid.model.checkpoint import load_checkpoint
from asid.model.network import ASID

RECORD, PER_IMAGE = "evaluation.json", "per_image.csv"


def find_checkpoint(model: str) -> Path:
    """The checkpoint that ``model`` means: a file, a preset with packaged weights, or a run's folder. ``./asid`` is a folder, not a preset.

    Raises ``FileNotFoundError`` with what was expected.
    """
    path = Path(model)
    if path.is_file():
        return path
    if model not in PRESETS and path.is_dir():
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
        raise FileNotFoundError(f"no trained network in {path}: expected {WEIGHTS} there; let the run finish")
    folder = resources.files("asid") / "weights"
    packaged = sorted(Path(str(file)).stem for file in folder.iterdir()) if folder.is_dir() else []
    if model in packaged:
        return Path(str(folder / f"{model}.safetensors"))
    expected = ", ".join(["a checkpoint", "the folder of a run", "bicubic", *packaged])
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


def default_folder(model: str, config: EvalConfig, scale: int | None) -> Path:
    """Where an evaluation is kept: one folder for each model, its bytes, and way to evaluate it, so that none overwrites another."""
    content: dict[str, Any] = {"config": config.to_dict(), "scale": scale}
    name = model
    if model != "bicubic":
        path = find_checkpoint(model)
        content["weights"] = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.parent.resolve().name if path.name == WEIGHTS else path.stem
    return Path("results") / "evaluations" / f"{name}-{digest(content)}"


def evaluate_and_record(
    model: str,
    config: EvalConfig,
    folder: str | Path,
    *,
    scale: int | None = None,
    device: str = "auto",
    batch_tiles: int = 1,
    save_images: bool = False,
    on_image: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate ``model`` (or ``bicubic``) and leave ``per_image.csv``, ``evaluation.json`` and, if wanted, SR images in ``folder``."""
    folder = Path(folder)
    network = None
    if model != "bicubic":
        network = load_model(model, device)
        if scale not in (None, network.config.scale):
            raise ValueError(f"{model} is a network for ×{network.config.scale}, got scale {scale}: leave the scale out")
        scale = network.config.scale
    elif scale is None:
        raise ValueError("bicubic needs a scale: add --scale 2, 3 or 4")
    assert scale is not None
    evaluation = evaluate(
        network or bicubic(scale, config),
        scale,
        config,
        save_to=folder / IMAGES if save_images else None,
        batch_tiles=batch_tiles,
        on_image=on_image,
    )
    record = {
        "model": model,
        "scale": scale,
        "inference": config.describe() if network else "bicubic",
        **summarise(evaluation.scores, config.protocol),
        "config": config.to_dict(),
        "network": network.config.to_dict() if network else None,
        "data": {data: describe_pairs(find_pairs(data, scale)) for data in config.data},
        "seconds": evaluation.seconds,
    }
    folder.mkdir(parents=True, exist_ok=True)
    evaluation.scores.to_csv(folder / PER_IMAGE, index=False)
    (folder / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    return record


def summarise(scores: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """Scores as JSON values: the protocol, the mean over all images, the mean of each set, the images. ``inf`` is written as text."""

    def plain(value: Any) -> Any:
        return "inf" if value == float("inf") else value

    def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
        return [{str(name): plain(value) for name, value in row.items()} for row in table.to_dict("records")]

    mean = {name: plain(float(scores[name].mean())) for name in ("psnr", "ssim")}
    return {"protocol": protocol, "mean": mean, "sets": rows(mean_scores(scores)), "images": rows(scores)}
