"""A folder belongs to one training: its ``config.json`` says which."""

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import safe_open

from asid.config import RunConfig
from asid.files import CHECKPOINT, CONFIG, WEIGHTS, read_json, write_json
from asid.training.manifests import training_manifests

LOGGER = logging.getLogger(__name__)


def claim(folder: Path, config: RunConfig) -> None:
    """Write the configuration, with hashes of the files that the training reads, to ``config.json`` in ``folder``.

    Raises:
        ValueError: The folder holds another training. A different evaluation or checkpoint interval does not make it a
            different training (:meth:`asid.config.RunConfig.training_settings`).
        ImageError: Images are missing.
    """
    path = folder / CONFIG
    hashes = {use: manifest["manifest"] for use, manifest in training_manifests(config).items()}
    pretrained = hashes.pop("pretrained", None)
    content = {**config.to_dict(), "images": hashes, "pretrained": pretrained}
    try:
        before = read_json(path) if path.exists() else None
    except ValueError as error:  # weights and checkpoints say themselves what they belong to
        LOGGER.warning("%s: written again", error)
        before = None
    if before is not None and _settings(before) != _settings(content):
        raise ValueError(f"{folder} holds another training (see {path}): choose another folder or delete it")
    if before != content:
        write_json(path, content)


def check_weights(folder: Path, config: RunConfig) -> None:
    """Raise ``ValueError`` if the weights in ``folder`` are those of another training, by what their file says."""
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            trained = RunConfig.model_validate(json.loads((file.metadata() or {})["run"])).training_settings()
    except Exception:  # damaged, or written by something else
        trained = None
    if trained != config.training_settings():
        raise ValueError(
            f"{path} does not hold the weights of this training: delete it to train again "
            f"(from {CHECKPOINT}, if that exists), or choose another folder"
        )


def _settings(content: dict[str, Any]) -> dict[str, Any] | None:
    """What decides the weights and the curves, from ``config.json``; ``None`` if that is not a valid configuration."""
    files = {name: content.get(name) for name in ("images", "pretrained")}
    config = {name: value for name, value in content.items() if name not in files}
    try:
        return {**RunConfig.model_validate(config).training_settings(), **files}
    except ValueError:
        return None
