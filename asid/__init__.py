"""ASID: attention-sharing information distillation for lightweight image super-resolution, and the suite to study it.

Importing the package is quick and has no effect; the names below load what they need when they are first used.
"""

from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("asid")

_EXPORTS = {
    "ASID": "asid.model.network",
    "AttentionMaps": "asid.model.network",
    "load_checkpoint": "asid.model.checkpoint",
    "save_checkpoint": "asid.model.checkpoint",
    "ModelConfig": "asid.config",
    "RunConfig": "asid.config",
    "preset": "asid.config",
    "upscale": "asid.evaluation.inference",
    "measure_complexity": "asid.model.complexity",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'asid' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
