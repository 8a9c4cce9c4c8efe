"""One run from configuration to record: train, evaluate, count. The notebook of the grid and ``asid train`` both call this."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from asid.config import RunConfig
from asid.evaluation.evaluate import evaluate
from asid.files import IMAGES, LOCK
from asid.model.complexity import Complexity, measure_complexity
from asid.model.network import ASID
from asid.runs.record import Record, data_manifests, provenance, run_identity, to_rows, write_record
from asid.training.history import read_history
from asid.training.train import read_execution, train


@dataclass(frozen=True)
class Experiment:
    """A finished run that has no record yet."""

    config: RunConfig
    folder: Path
    model: ASID
    history: pd.DataFrame
    scores: pd.DataFrame
    complexity: Complexity
    manifests: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    execution: dict[str, Any]

    def image_path(self, name: str) -> Path:
        """The SR image of the image ``name`` in the first evaluation set."""
        return self.folder / IMAGES / Path(self.config.evaluate.data[0]).name / f"{name}.png"

    def write_record(self, study: str, variant: str) -> Record:
        """Write the run's record, the last thing to be done: from then on the run counts as done."""
        record = Record(
            study=study,
            variant=variant,
            run_id=run_identity(self.config, self.manifests),
            config=self.config,
            protocol=self.config.evaluate.protocol,
            data=self.manifests,
            complexity=self.complexity.to_dict(),
            scores=to_rows(self.scores),
            history=to_rows(self.history),
            seconds=self.seconds,
            execution=self.execution,
            provenance=provenance(),
        )
        rank_zero_only(write_record)(record, self.folder)  # in a distributed training, once
        return record


def run_experiment(
    config: RunConfig,
    folder: str | Path,
    *,
    progress: bool = True,
    on_history: Callable[[Path], None] | None = None,
    wait: float = 10,
) -> Experiment:
    """Train, evaluate and count one variant in ``folder``; an interrupted run goes on where it stopped.

    ``on_history`` is called as :func:`asid.training.train.train` says. ``wait`` is the time in seconds that another process at work in ``folder``
    is given to end. Raises ``ValueError`` where it does not, and what :func:`asid.training.train.train` and :func:`asid.evaluation.evaluate.evaluate` raise.
    """
    folder = Path(folder)
    # Cheap, and fails early: nothing is trained where images are missing or a network cannot be counted.
    manifests = data_manifests(config)
    complexity = measure_complexity(config.model)
    with _alone_in(folder, wait):
        model = train(config, folder, progress=progress, on_history=on_history)
        history = read_history(folder)
        evaluation = evaluate(model, config.model.scale, config.evaluate, save_to=folder / IMAGES)
        execution = {"exit": "done", **read_execution(folder)}
    seconds = {
        "train": float(history["seconds"].iloc[-1]),
        "evaluate": evaluation.seconds["total"],
        "upscale": evaluation.seconds["model"],
    }
    return Experiment(config, folder, model, history, evaluation.scores, complexity, manifests, seconds, execution)


@contextmanager
def _alone_in(folder: Path, wait: float) -> Iterator[None]:
    """Hold ``folder`` for this process, and for those of a distributed training that it leads.

    The lock is the operating system's, which lets go of it when the process dies.
    """
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / LOCK).acquire(timeout=wait)
    except Timeout:
        raise ValueError(
            f"another process is training in {folder}, and did not end within {wait:g} s: wait until it is done, or choose another folder"
        ) from None
    with held:
        yield
