"""Identity: what a training and an evaluation depend on, as hashes, so that neither is done twice. No torch in here.

- A **training** is its network, its training configuration, the bytes of its images and of the weights that it begins
  with, its seed, and the code that makes weights. Its validation belongs to it, because the curves do: they are stored
  with the weights.
- An **evaluation** is a training, one evaluation set with the bytes of its images, how the network is applied, the
  protocol, and the code that makes scores.

Where an image comes from is not part of an identity, its bytes are; how often a training saves a checkpoint and how
many processes load its patches change neither weights nor curves. Code enters by what it does
(:mod:`asid.runs.code_digest`).
"""

from functools import cache
from pathlib import Path, PurePath
from typing import Any

import asid
from asid.config import Config, RunConfig, digest, training_settings
from asid.data.pairs import describe_pairs
from asid.data.sources import find_pairs
from asid.runs.code_digest import CodeOf, code_digest
from asid.training.manifests import Manifests, training_manifests

PACKAGE = Path(asid.__file__).parent
_FINDS_FILES = ("data.benchmarks", "data.download", "data.layouts", "data.samples", "data.sources")
"""Modules that find the files of a data set. What they find enters as data: names and bytes, in order."""
_STORES_IMAGES = ("data.cache",)
"""What returns the bytes that it was given."""
WEIGHTS = CodeOf(
    entries=("training.train",),
    within=("config", "data", "model", "training"),
    without=(*_FINDS_FILES, *_STORES_IMAGES),
)
"""The code that makes weights: what a training uses. Its validation scores weights, but makes none."""
SCORES = CodeOf(
    entries=("evaluation.evaluate", "model.complexity"),
    within=("config", "data", "model", "evaluation"),
    without=(*_FINDS_FILES, *_STORES_IMAGES),
)
"""The code that makes the other numbers of a record: scores, and counts of operations."""


class Identity(Config):
    """The identity of a run: of its training, and of each of its evaluations."""

    training: str
    """Hash of everything that can change the weights and the curves."""
    evaluations: dict[str, str]
    """For each evaluation set, by its name: hash of everything that can change its scores."""

    @property
    def run_id(self) -> str:
        """One hash over all of it."""
        return self.digest()


class Code(Config):
    """The code that made a record, as hashes."""

    weights: str
    """Of its weights, see :data:`WEIGHTS`."""
    scores: str
    """Of its other numbers, see :data:`SCORES`."""


def run_identity(config: RunConfig, manifests: Manifests | None = None) -> Identity:
    """The identity of a run.

    Args:
        config: Configuration of the run.
        manifests: Its data as :func:`data_manifests` returns it, if already known; otherwise the images are read.

    Raises:
        ImageError: Images are missing.
    """
    return stored_identity(config.to_dict(), manifests or data_manifests(config), current_code())


def reference_identity(config: RunConfig, manifests: Manifests, upscaler: str) -> Identity:
    """The identity of the scores of a method without training.

    Args:
        config: Configuration of a run, of which scale and evaluation count.
        manifests: Its data.
        upscaler: The method and what it depends on, such as ``bicubic``.
    """
    return stored_identity(config.to_dict(), manifests, current_code(), upscaler)


def stored_identity(config: dict[str, Any], manifests: Manifests, code: Code, upscaler: str | None = None) -> Identity:
    """The identity that belongs to the content of a record, which another version of the package may have written.

    Args:
        config: Configuration of the run, as JSON values.
        manifests: Its data.
        code: The code that made it.
        upscaler: See :func:`reference_identity`; ``None`` for a training.

    Raises:
        KeyError: Something is missing.
    """
    if upscaler is None:
        upscaler = digest(
            {
                **training_settings(config),
                "images": {use: manifests[use]["manifest"] for use in ("train", "validation")},
                "pretrained": manifests["pretrained"]["manifest"] if "pretrained" in manifests else None,
                "code": code.weights,
            }
        )
    return Identity(training=upscaler, evaluations=_evaluation_ids(config, manifests, code, upscaler))


def _evaluation_ids(config: dict[str, Any], manifests: Manifests, code: Code, upscaler: str) -> dict[str, str]:
    """For each evaluation set, by its name: twelve hexadecimal digits over everything that can change its scores."""
    applied = {name: value for name, value in config["evaluate"].items() if name != "data"}
    ids = {}
    for source in config["evaluate"]["data"]:
        manifest = manifests[f"evaluate {source}"]
        ids[set_name(source)] = digest(
            {
                "upscaler": upscaler,
                "scale": config["model"]["scale"],
                "evaluate": applied,
                "set": set_name(source),
                "images": [manifest["manifest"], manifest["lr_manifest"]],
                "code": code.scores,
            }
        )
    return ids


def set_name(source: str) -> str:
    """Name of an evaluation set in scores and folders: the last part of its path."""
    return PurePath(source).name


def data_manifests(config: RunConfig) -> Manifests:
    """The files that each use of data in ``config`` reads, with hashes over their bytes.

    These are images, HR and, if any, LR; and the weights that a training begins with (``pretrained``), if any.

    Raises:
        ImageError: Images are missing.
        FileNotFoundError: There are no such weights.
    """
    manifests = training_manifests(config)
    for source in config.evaluate.data:
        manifests[f"evaluate {source}"] = {"source": source, **describe_pairs(find_pairs(source, config.model.scale))}
    return manifests


def check_identity(config: RunConfig, expected: str) -> None:
    """Check that a run is the one that was planned.

    Args:
        config: Configuration of the run.
        expected: :attr:`Identity.run_id` in the plan; empty if there is no plan.

    Raises:
        ValueError: Its identity is different.
    """
    if expected and expected != (run_id := run_identity(config).run_id):
        raise ValueError(
            f"this run has the identity {run_id}, expected {expected}: "
            "data, code or parameters changed since it was planned"
        )


@cache
def weights_code() -> str:
    """Hash of the code that makes weights, :data:`WEIGHTS`."""
    return code_digest(PACKAGE, **WEIGHTS)


@cache
def scores_code() -> str:
    """Hash of the code that makes the other numbers of a record from weights, :data:`SCORES`."""
    return code_digest(PACKAGE, **SCORES)


def current_code() -> Code:
    """The code of this installation."""
    return Code(weights=weights_code(), scores=scores_code())


def source_hash() -> str:
    """Hash of all code that makes numbers: installations of the package with the same hash make the same records."""
    return digest([weights_code(), scores_code()])
