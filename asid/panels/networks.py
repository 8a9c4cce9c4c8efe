"""The networks that the panels of a notebook show: loaded once, also if several panels show them; runs to pick from."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import ipywidgets as widgets

from asid.files import RECORD, WEIGHTS
from asid.interpret.crops import Crops, evaluation_crops
from asid.model.base import Network
from asid.model.find import find_checkpoint
from asid.model.pretrained import load_model
from asid.panels.panel import RESULTS


def open_model(model: str) -> Network:
    """The network of a packaged name, a checkpoint or a run's folder, on the CPU; the latest ones are kept."""
    path = find_checkpoint(model)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _load(path: Path, modified: int) -> Network:
    return load_model(path, "cpu")


def finished_runs(results: str | Path) -> list[str]:
    """The folders of finished runs under ``results``, sorted."""
    return sorted(
        str(Path(folder))
        for folder, _, files in os.walk(results, followlinks=True)
        if RECORD in files and WEIGHTS in files
    )


def network_picker(models: Sequence[str], results: str | Path = RESULTS) -> widgets.Dropdown:
    """A dropdown of the given models, and below them the finished runs under ``results``."""
    runs = [(str(Path(run).relative_to(results)), run) for run in finished_runs(results) if run not in models]
    return widgets.Dropdown(options=[*((name, name) for name in models), *runs], description="network")


class CropCache:
    """The crops of an evaluation set for networks of any scale.

    Args:
        source: What :func:`asid.data.sources.find_pairs` accepts.
        size: Side of the LR crops in pixels.
    """

    def __init__(self, source: str, size: int) -> None:
        self.source, self.size = source, size
        self.at = lru_cache(maxsize=8)(self._at)

    def of(self, model: Network) -> Crops:
        """The crops at the scale of a network."""
        return self.at(model.config.scale)

    def _at(self, scale: int) -> Crops:
        return evaluation_crops(self.source, scale, self.size)
