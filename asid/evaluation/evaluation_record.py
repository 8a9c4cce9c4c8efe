"""An evaluation as a file: which model, how it was applied, by which protocol, what it scored."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from asid.config import EvalConfig, Protocol, digest
from asid.data.pairs import describe_pairs
from asid.data.sources import find_pairs
from asid.evaluation.evaluate import bicubic_upscaler, evaluate, mean_scores
from asid.files import IMAGES, WEIGHTS, write_json
from asid.model.pretrained import find_checkpoint, load_model

RECORD, PER_IMAGE = "evaluation.json", "per_image.csv"


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
            raise ValueError(
                f"{model} is a network for ×{network.config.scale}, got scale {scale}: leave the scale out"
            )
        scale = network.config.scale
    elif scale is None:
        raise ValueError("bicubic needs a scale: add --scale 2, 3 or 4")
    assert scale is not None
    evaluation = evaluate(
        network or bicubic_upscaler(scale, config),
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
    write_json(folder / RECORD, record)
    return record


def summarise(scores: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """The protocol, the mean over all images, the mean of each set, and the scores of the images, as values for JSON."""

    def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
        return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

    mean = {name: float(scores[name].mean()) for name in ("psnr", "ssim")}
    return {"protocol": protocol, "mean": mean, "sets": rows(mean_scores(scores)), "images": rows(scores)}
