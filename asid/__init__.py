"""ASID, attention-sharing information distillation for lightweight image super-resolution, and the suite to study it.

Importing the package is fast: each name below imports its module when it is first used. Its one side effect is a
default for how idle threads wait.
"""

import os
from importlib import import_module, metadata
from typing import Any

# Read when torch is loaded. By default idle threads spin, and take the cores from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = metadata.version("asid")

_EXPORTS = {
    "load_model": "asid.model.pretrained",
    "upscale": "asid.evaluation.inference",
    "ASID": "asid.model.network",
    "AttentionMaps": "asid.model.network",
    "ModelConfig": "asid.config",
    "RunConfig": "asid.config",
    "preset": "asid.config",
    "save_checkpoint": "asid.model.checkpoint",
    "measure_complexity": "asid.model.complexity",
    "results": "asid.ablation.report.frame",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'asid' has no attribute {name!r}")
    module, _, attribute = _EXPORTS[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
