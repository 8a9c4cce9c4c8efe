"""The networks that the panels of a notebook show: loaded once for all of them, picked by study, variant and seed."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from asid.files import CHECKPOINTS, RECORD, WEIGHTS, read_json
from asid.interpret.crops import Crops, evaluation_crops
from asid.model.base import Network
from asid.model.find import find_checkpoint, packaged_models
from asid.model.pretrained import common_scale, load_model
from asid.panels.panel import RESULTS

Models = Sequence[str] | Mapping[str, str]
"""What :func:`asid.model.find.find_checkpoint` accepts: packaged weights, checkpoints, folders of runs; or by label."""


def open_model(model: str) -> Network:
    """The network of a packaged name, a checkpoint or a run's folder, on the CPU; the latest ones are kept."""
    path = find_checkpoint(model)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _load(path: Path, modified: int) -> Network:
    return load_model(path, "cpu")


@dataclass(frozen=True)
class FinishedRun:
    """A trained network under a folder of results."""

    folder: Path
    study: str
    """Path of the study below the results."""
    variant: str
    seed: int
    training: str
    """Identity of the training: it tells apart runs that differ in nothing else that is written here."""

    @property
    def label(self) -> str:
        """Study, variant and seed in one line."""
        return f"{self.study}: {self.variant}, seed {self.seed}"


def finished_runs(results: str | Path = RESULTS) -> list[FinishedRun]:
    """The finished runs under ``results`` that have their weights, by study, variant and seed.

    A run whose record cannot be read is left out: ``asid check`` says what is wrong with it.
    """
    folders = (Path(folder) for folder, _, files in os.walk(results, followlinks=True) if {RECORD, WEIGHTS} <= {*files})
    found = (_describe(folder, Path(results)) for folder in folders)
    return sorted(
        (run for run in found if run), key=lambda run: (run.study, run.variant, run.seed, run.training, run.folder)
    )


def _describe(folder: Path, results: Path) -> FinishedRun | None:
    record = folder / RECORD
    try:
        study, variant, seed, training = _read(record, record.stat().st_mtime_ns)
    except (ValueError, KeyError, TypeError):
        return None
    above = folder.parent.parent if folder.parent.name == "runs" else folder.parent
    if above.is_relative_to(results):
        place = above.relative_to(results).as_posix()
    else:
        place = above.name if above != folder.parent else "."
    return FinishedRun(folder, study if place == "." else place, variant, seed, training)


@lru_cache(maxsize=10_000)
def _read(record: Path, modified: int) -> tuple[str, str, int, str]:
    """Study, variant, seed and training of a record, which is not verified: that is what scores need, not a name."""
    content = read_json(record)
    return (
        str(content["study"]),
        str(content["variant"]),
        int(content["config"]["seed"]),
        str(content["identity"]["training"]),
    )


def _folder_of(model: str) -> Path:
    """The folder of a run that a path leads into; of another model, no folder of a run."""
    path = Path(model)
    return path.parent.parent if path.parent.name == CHECKPOINTS else path


def kept_part(model: str) -> str:
    """The part of the training after which a run kept this network; empty of the last one, and of another model."""
    path = Path(model)
    return path.stem if path.parent.name == CHECKPOINTS else ""


def network_name(model: str) -> str:
    """A short name for a title: of a run its study, variant and seed, and how far it was trained; else ``model``."""
    folder = _folder_of(model)
    if model in packaged_models() or not (folder / RECORD).is_file():
        return model
    run = _describe(folder, Path(RESULTS))
    if run is None:
        return model
    return run.label if folder == Path(model) else f"{run.label}, {float(Path(model).stem):.0%}"


def over_training(model: str) -> dict[str, str]:
    """The networks that a run kept on the way, and the last one, by the part of the training.

    Empty if ``model`` is no run, or kept none.
    """
    folder = _folder_of(model)
    kept = sorted((folder / CHECKPOINTS).glob("*.safetensors"), key=lambda path: float(path.stem))
    if model in packaged_models() or not kept:
        return {}
    return {**{f"{float(path.stem):.0%}": str(path) for path in kept}, "100%": str(folder)}


def shown_networks(model: str, other: str, training: bool) -> dict[str, str]:
    """What a panel shows, by its name: a network, another one to compare, or a run over its training."""
    if training and (parts := over_training(model)):
        return {f"{network_name(parts['100%'])}, {part}": path for part, path in parts.items()}
    return {network_name(name): name for name in (model, other) if name}


def other_seeds(model: str, results: str | Path = RESULTS) -> list[str]:
    """The finished runs of the same variant of the same study under ``results`` with other seeds; none of no run.

    Of a network that its run kept on the way: what those runs kept after the same part of the training.
    """
    runs = finished_runs(results)
    own = next((run for run in runs if str(run.folder) == str(_folder_of(model))), None)
    if own is None:
        return []
    same = Path(model).relative_to(own.folder)
    others = (run for run in runs if (run.study, run.variant) == (own.study, own.variant) and run.seed != own.seed)
    return [str(run.folder / same) for run in others if (run.folder / same).exists()]


def labelled(models: Models) -> dict[str, str]:
    """Models by label; the label of a run says its study, variant and seed."""
    return dict(models) if isinstance(models, Mapping) else {network_name(model): model for model in models}


def one_scale(networks: Mapping[str, Network]) -> int:
    """The scale of networks that are shown together, by name.

    Raises:
        ValueError: Their scales differ.
    """
    try:
        return common_scale(networks.values())
    except ValueError as error:
        got = ", ".join(f"{name} ×{network.config.scale}" for name, network in networks.items())
        raise ValueError(f"{error} ({got}): choose a network of the same scale as the others") from None


def network_options(models: Models, results: str | Path = RESULTS) -> list[tuple[str, str]]:
    """Options of a list to select several networks from: the given ones, then the finished runs under ``results``."""
    given = labelled(models)
    runs = ((f"{run.study}: {run.variant}, seed {seed}", str(run.folder)) for run, seed in _runs(results, given))
    return [*given.items(), *runs]


def _runs(results: str | Path, given: Mapping[str, str]) -> list[tuple[FinishedRun, str]]:
    """The finished runs that are not given, and what their seed is called: it also tells apart what is alike else."""
    runs = [run for run in finished_runs(results) if str(run.folder) not in given.values()]
    labels, trainings = Counter(run.label for run in runs), Counter((run.label, run.training) for run in runs)
    named = []
    for run in runs:
        marks = [run.training] if labels[run.label] > 1 else []
        if trainings[run.label, run.training] > 1:  # one is a copy of the other
            marks.append(run.folder.relative_to(results).as_posix())
        named.append((run, f"{run.seed} ({', '.join(marks)})" if marks else f"{run.seed}"))
    return named


_Choice = tuple[str, str, str, str]
"""Network or study, variant, seed and part of the training; empty from where there is nothing to choose."""


class NetworkPicker(widgets.HBox):
    """Dropdowns that pick one network: a given one, other packaged weights, or a run by study, variant and seed.

    A run that kept weights on the way has one more dropdown, for the part of the training. Dropdowns with nothing to
    choose are hidden. ``value`` is what :func:`open_model` accepts; set it to pick a network by program.

    Args:
        models: The networks to offer first; the first of them is picked.
        results: Where finished runs are looked for.
        description: Label of the first dropdown.
        nothing: Label of an option for no network, with the value ``""``; it is then offered and picked first.
    """

    value = traitlets.Unicode()

    def __init__(
        self, models: Models, results: str | Path = RESULTS, *, description: str = "network", nothing: str = ""
    ) -> None:
        self._choices = dict(_choices(labelled(models), results, nothing))
        names = (description, *_LEVELS)
        self._levels = [widgets.Dropdown(description=name, layout={"width": "max-content"}) for name in names]
        for level in self._levels:
            level.style.description_width = "initial"
        self._filling = False
        first = next(iter(self._choices))
        super().__init__(self._levels, layout=widgets.Layout(flex_flow="row wrap"), value=first)
        self._fill(self._choices[first])
        for level in self._levels:
            level.observe(lambda _: self._follow(), names="value")

    @traitlets.validate("value")
    def _check(self, proposal: Any) -> str:
        if proposal["value"] not in self._choices:
            raise traitlets.TraitError(f"expected one of {', '.join(self._choices)}, got {proposal['value']!r}")
        return str(proposal["value"])

    @traitlets.observe("value")
    def _show(self, change: Any) -> None:
        self._fill(self._choices[change["new"]])

    def _follow(self) -> None:
        """Take over what was chosen in a dropdown."""
        if not self._filling:
            self._fill(tuple(level.value or "" for level in self._levels))  # type: ignore[arg-type]

    def _fill(self, wanted: _Choice) -> None:
        """Offer what there is below each level, choose what is wanted or else the first; of the parts the last."""
        self._filling = True
        left = dict(self._choices)
        for index, level in enumerate(self._levels):
            options = list(dict.fromkeys(choice[index] for choice in left.values()))
            chosen = wanted[index] if wanted[index] in options else options[-1 if index == 3 else 0]
            if list(level.options) != options:
                level.options = options
            level.value = chosen
            level.layout.display = "none" if options == [""] else "flex"
            left = {model: choice for model, choice in left.items() if choice[index] == chosen}
        self._filling = False
        (self.value,) = left


_LEVELS = ("variant", "seed", "trained")


def _choices(given: Mapping[str, str], results: str | Path, nothing: str) -> Iterator[tuple[str, _Choice]]:
    if nothing:
        yield "", (nothing, "", "", "")
    for label, model in given.items():
        yield model, (label, "", "", "")
    for model in packaged_models():
        if model not in given.values():
            yield model, (model, "", "", "")
    for run, seed in _runs(results, given):
        for part, model in (over_training(str(run.folder)) or {"": str(run.folder)}).items():
            yield model, (f"study {run.study}", run.variant, seed, part)


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
