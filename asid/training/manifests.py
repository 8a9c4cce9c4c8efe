"""The files that a training reads, with hashes over their bytes. No torch in here."""

from typing import Any

from asid.config import RunConfig
from asid.data.photographs import manifest_hash
from asid.data.sources import find_images
from asid.files import content_hash
from asid.model.find import find_checkpoint

Manifests = dict[str, dict[str, Any]]
"""For each use of data (``train``, ``validation``, ``pretrained``, ``evaluate <source>``): its source, its images, and
their hashes."""


def training_manifests(config: RunConfig) -> Manifests:
    """The photographs of ``train`` and ``validation``, and, if any, the weights of ``pretrained``.

    Raises:
        ImageError: Images are missing.
        FileNotFoundError: There are no such weights.
    """
    manifests = {}
    for use, source in (("train", config.data.train), ("validation", config.data.validation)):
        photographs = find_images(source, split=use)
        names = [photograph.path.name for photograph in photographs]
        manifests[use] = {"source": source, "images": names, "manifest": manifest_hash(photographs)}
    if config.train.pretrained:
        path = find_checkpoint(config.train.pretrained)
        manifests["pretrained"] = {"source": config.train.pretrained, "images": [], "manifest": content_hash(path)[:12]}
    return manifests
