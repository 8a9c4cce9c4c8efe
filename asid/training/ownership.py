"""A folder belongs to one training: its ``config.json`` says which."""

from pathlib import Path
from typing import Any

from asid.config import RunConfig
from asid.data.photographs import manifest_hash
from asid.data.sources import find_images
from asid.files import CONFIG, content_hash, read_json, write_json
from asid.model.find import find_checkpoint


def claim(folder: Path, config: RunConfig) -> None:
    """Write the configuration, with hashes of the files that the training reads, to ``config.json`` in ``folder``.

    Raises:
        ValueError: The folder holds another training. A different evaluation or checkpoint interval does not make it a
            different training (:meth:`asid.config.RunConfig.training_settings`).
        ImageError: Images are missing.
    """
    path = folder / CONFIG
    images = {
        "train": manifest_hash(find_images(config.data.train, split="train")),
        "validation": manifest_hash(find_images(config.data.validation)),
    }
    pretrained = content_hash(find_checkpoint(config.train.pretrained)) if config.train.pretrained else None
    content = {**config.to_dict(), "images": images, "pretrained": pretrained}
    before = read_json(path) if path.exists() else None
    if before is not None and _settings(before) != _settings(content):
        raise ValueError(f"{folder} holds another training (see {path}): choose another folder or delete it")
    if before != content:
        write_json(path, content)


def _settings(content: dict[str, Any]) -> dict[str, Any] | None:
    """What decides the weights and the curves, from ``config.json``; ``None`` if that is not a valid configuration."""
    files = {name: content.get(name) for name in ("images", "pretrained")}
    config = {name: value for name, value in content.items() if name not in files}
    try:
        return {**RunConfig.model_validate(config).training_settings(), **files}
    except ValueError:
        return None
