"""One run from configuration to record: train, score, count. The training notebook and ``asid train`` call this."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.utilities import rank_zero_only

from asid.config import RunConfig
from asid.data.overlap import check_overlap
from asid.evaluation.evaluate import add_checkpoints, check_sets, evaluate
from asid.files import CHECKPOINTS, IMAGES, RECORD, WEIGHTS
from asid.model.base import Network
from asid.model.checkpoint import load_checkpoint
from asid.model.complexity import Complexity
from asid.runs.counted import complexity_once
from asid.runs.identity import Identity, current_code, data_manifests, run_identity, set_name
from asid.runs.lock import check_free, exclusive
from asid.runs.record import Record, bind_files, provenance, read_record, to_rows, write_record
from asid.runs.reuse import has_its_weights
from asid.training.checkpoints import part_checkpoint, read_execution
from asid.training.history import read_history
from asid.training.manifests import Manifests
from asid.training.train import train


@dataclass(frozen=True)
class Run:
    """A run that is trained and scored, and has no record yet."""

    config: RunConfig
    folder: Path
    model: Network
    history: pd.DataFrame
    """Training curves (:data:`asid.training.history.COLUMNS`)."""
    scores: pd.DataFrame
    """Scores of each image (:data:`asid.evaluation.evaluate.SCORES`), also with uniform attention maps."""
    complexity: Complexity
    manifests: Manifests
    seconds: dict[str, float]
    """As in the record."""
    previous: Record | None
    """The record of the same training that was in the folder before."""

    def image_path(self, name: str) -> Path:
        """The SR image of the image ``name`` in the first evaluation set."""
        return self.folder / IMAGES / set_name(self.config.evaluate.data[0]) / f"{name}.png"

    def write_record(self, study: str, variant: str) -> Record:
        """Write the run's record, the last step: from then on the run counts as done."""
        identity, before = run_identity(self.config, self.manifests), self.previous
        now = provenance(self.config.train.accelerator)
        counts: Any = self.complexity.to_dict()
        record = Record(
            study=study,
            variant=variant,
            origin=before.origin if before else None,
            identity=identity,
            code=current_code(),
            config=self.config,
            protocol=self.config.evaluate.protocol,
            data=self.manifests,
            complexity=counts,
            scores=to_rows(self.scores),
            history=to_rows(self.history),
            seconds=self.seconds,
            execution={"exit": "done", **read_execution(self.folder)},
            provenance=before.provenance if before else now,
            later=_later_provenance(identity, before, now) if before else {},
        )
        record = bind_files(record, self.folder)
        rank_zero_only(write_record)(record, self.folder)  # in a distributed training, once
        return record


def train_and_score(
    config: RunConfig,
    folder: str | Path,
    *,
    progress: bool = True,
    on_history: Callable[[Path], None] | None = None,
    wait: float = 10,
) -> Run:
    """Train, score and count one variant in ``folder``. An interrupted run resumes where it stopped.

    Nothing is done twice: a trained network is not trained again, and if ``folder`` has a record of the same training,
    only those evaluation sets are scored that it lacks, or that were evaluated differently.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        progress: Whether to show progress bars.
        on_history: See :func:`asid.training.train.train`.
        wait: Seconds to wait for another process that is working in ``folder``.

    Raises:
        ValueError: Another process is working in ``folder``, or it holds another training, or other weights than its
            record was made with.
        TrainingDivergedError: See :func:`asid.training.train.train`.
        MemoryError: See :func:`asid.training.train.train`.
        ImageError: Images are missing, damaged or too small, or the training photographs are among those of validation
            or evaluation.
    """
    folder = Path(folder)
    is_first = not rank_zero_only.rank  # type: ignore[attr-defined]
    if is_first:
        check_free(folder, wait)  # before a large data set is read
    _check_parts(config)
    # Cheap, and fails early: nothing is trained if images are missing or the operations of a network cannot be counted.
    manifests = data_manifests(config)
    identity = run_identity(config, manifests)
    check_sets(config.evaluate, config.model.scale)
    check_overlap(config)
    complexity = complexity_once(config.model)
    # The processes of a distributed training share the folder.
    with exclusive(folder, wait) if is_first else nullcontext():
        previous = _previous_record(folder, identity.training)
        if previous and (folder / WEIGHTS).exists() and not has_its_weights(folder, previous):
            raise ValueError(
                f"the weights in {folder} ({WEIGHTS}, {CHECKPOINTS}/) are not those that {RECORD} was made with: "
                "restore them, or delete them and the record to train again"
            )
        model = train(config, folder, progress=progress, on_history=on_history)
        history = read_history(folder)
        if previous and not has_its_weights(folder, previous):  # they were lost, and another machine made others
            previous = None
        parts = [_load_part(folder, part) for part in config.train.checkpoints]
        seconds, scores = {"train": float(history["seconds"].iloc[-1])}, []
        for source in config.evaluate.data:
            name = set_name(source)
            if previous and _has(previous, name, identity.evaluations[name]):
                scores.append(previous.score_table.query("data == @name"))
                seconds |= {key: value for key, value in previous.seconds.items() if key.partition(" ")[2] == name}
                continue
            images = folder / IMAGES if is_first else None
            if images:
                shutil.rmtree(images / name, ignore_errors=True)  # these may be links to the images of another study
            evaluation = evaluate(
                model,
                config.model.scale,
                config.evaluate.override(data=[source]),
                uniform_maps=True,
                save_to=images,
            )
            scores.append(add_checkpoints(evaluation.scores, parts, config.evaluate.override(data=[source])))
            seconds |= {f"evaluate {name}": evaluation.seconds["total"], f"upscale {name}": evaluation.seconds["model"]}
    table = pd.concat(scores, ignore_index=True)
    return Run(config, folder, model, history, table, complexity, manifests, seconds, previous)


def _check_parts(config: RunConfig) -> None:
    ends = [round(part * config.train.steps) for part in config.train.checkpoints]
    if len(set(ends)) != len(ends) or 0 in ends:
        raise ValueError(
            f"expected train.checkpoints that end with different steps from 1 on, got {list(config.train.checkpoints)} "
            f"of {config.train.steps} steps, which end with {ends}"
        )


def _load_part(folder: Path, part: float) -> Network:
    path = part_checkpoint(folder, part)
    if not path.is_file():
        raise ValueError(f"{path} is missing: restore it, or delete {folder / WEIGHTS} to train again")
    return load_checkpoint(path)


def _later_provenance(identity: Identity, before: Record, now: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Provenance of the evaluation sets that were scored after the run that trained: ``now``, or as in ``before``."""
    scored = {}
    for name, evaluation in identity.evaluations.items():
        if not _has(before, name, evaluation):
            scored[name] = now
        elif name in before.later:
            scored[name] = before.later[name]
    return scored


def _has(record: Record, name: str, evaluation: str) -> bool:
    """Whether ``record`` has the scores of the evaluation set ``name`` with the identity ``evaluation``."""
    return record.identity.evaluations.get(name) == evaluation


def _previous_record(folder: Path, training: str) -> Record | None:
    try:
        record = read_record(folder)
    except (FileNotFoundError, ValueError):
        return None
    return record if record.identity.training == training else None
