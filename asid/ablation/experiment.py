"""One run from configuration to record: train, evaluate, count. The notebook of the grid and ``asid train`` both call this."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from asid.ablation.records import Record, data_manifests, provenance, run_identity, to_rows, write_record
from asid.complexity import Complexity, measure_complexity
from asid.config import RunConfig
from asid.evaluate import evaluate
from asid.files import IMAGES
from asid.model.network import ASID
from asid.train import read_history, train


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
            provenance=provenance(),
        )
        write_record(record, self.folder)
        return record


def run_experiment(config: RunConfig, folder: str | Path, *, progress: bool = True) -> Experiment:
    """Train, evaluate and count one variant in ``folder``; an interrupted run goes on where it stopped.

    Raises what :func:`asid.train.train` and :func:`asid.evaluate.evaluate` raise.
    """
    folder = Path(folder)
    # Cheap, and fails early: nothing is trained where images are missing or a network cannot be counted.
    manifests = data_manifests(config)
    complexity = measure_complexity(config.model)
    model = train(config, folder, progress=progress)
    history = read_history(folder)
    evaluation = evaluate(model, config.model.scale, config.evaluate, save_to=folder / IMAGES)
    seconds = {"train": float(history["seconds"].iloc[-1]), "evaluate": evaluation.seconds["total"]}
    return Experiment(config, folder, model, history, evaluation.scores, complexity, manifests, seconds)
