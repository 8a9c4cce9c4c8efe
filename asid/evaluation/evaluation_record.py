"""An evaluation as files: the model, how it was applied, the protocol, and the scores."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from asid.config import EvalConfig, Protocol, digest
from asid.data.pairs import describe_pairs
from asid.data.sources import find_pairs
from asid.evaluation.evaluate import BANDS_OF_ERROR, BANDS_OF_IMAGE, UNIFORM, bicubic_upscaler, evaluate, mean_scores
from asid.files import IMAGES, WEIGHTS, write_json
from asid.model.find import find_checkpoint
from asid.model.pretrained import load_model

RECORD, PER_IMAGE = "evaluation.json", "per_image.csv"


def default_folder(model: str, config: EvalConfig, scale: int | None, uniform_maps: bool = False) -> Path:
    """Return the folder of an evaluation.

    It depends on the model, its weights, the configuration, and whether uniform maps are scored, so that no evaluation
    overwrites another.
    """
    content: dict[str, Any] = {"config": config.to_dict(), "scale": scale}
    if uniform_maps:
        content["uniform_maps"] = True
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
    uniform_maps: bool = False,
    device: str = "auto",
    batch_tiles: int = 1,
    save_images: bool = False,
    on_image: Callable[[int, int], None] | None = None,
    data_root: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate a model and write ``per_image.csv`` and ``evaluation.json``.

    Args:
        model: What :func:`asid.model.pretrained.load_model` accepts, or ``bicubic``.
        config: The evaluation sets, how the network is applied, and the protocol.
        folder: Where to write.
        scale: Factor s; required for ``bicubic``, otherwise that of the network.
        uniform_maps: Also score the network with uniform attention maps; see
            :func:`asid.evaluation.evaluate.evaluate`.
        device: Device of the network.
        batch_tiles: Number of tiles that go through the network at once.
        save_images: Whether to write the SR images, too.
        on_image: Called after each image with the number of images done and in total.
        data_root: Folder of the data sets, by default ``ASID_DATA``.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: The scale is missing, or is not that of the network.
        ImageError: As for :func:`asid.evaluation.evaluate.evaluate`.
    """
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
        uniform_maps=uniform_maps,
        save_to=folder / IMAGES if save_images else None,
        batch_tiles=batch_tiles,
        on_image=on_image,
        data_root=data_root,
    )
    record = {
        "model": model,
        "scale": scale,
        "inference": config.describe() if network else "bicubic",
        **summarise(evaluation.scores, config.protocol),
        "config": config.to_dict(),
        "network": network.config.to_dict() if network else None,
        "data": {data: describe_pairs(find_pairs(data, scale, data_root)) for data in config.data},
        "seconds": evaluation.seconds,
    }
    folder.mkdir(parents=True, exist_ok=True)
    evaluation.scores.drop(columns=[BANDS_OF_ERROR, BANDS_OF_IMAGE]).to_csv(folder / PER_IMAGE, index=False)
    write_json(folder / RECORD, record)
    return record


def summarise(scores: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """Summarise a table of scores as JSON values.

    Returns:
        ``protocol``; ``mean``: over all images; ``sets``: the mean of each set; ``images``: the scores of each image.
    """

    def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
        return [
            {str(name): value if isinstance(value, list) or pd.notna(value) else None for name, value in row.items()}
            for row in table.to_dict("records")
        ]

    measured = [name for name in ("psnr", "ssim", UNIFORM) if name in scores]
    (mean,) = rows(scores[measured].mean().to_frame().T)
    return {"protocol": protocol, "mean": mean, "sets": rows(mean_scores(scores)), "images": rows(scores)}
