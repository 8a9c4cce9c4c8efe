"""The runs that a study stands for, each with its identity and its folder."""

from dataclasses import dataclass
from pathlib import Path

from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.runs.record import RecordError, read_record, run_identity


@dataclass(frozen=True)
class Run:
    """One cell of the grid with one seed."""

    study: str
    variant: str
    seed: int
    run_id: str
    config: RunConfig
    folder: Path

    @property
    def label(self) -> str:
        return f"{self.variant} seed {self.seed}"

    def is_done(self) -> bool:
        """Whether the complete record of this very run exists."""
        try:
            read_record(self.folder, self.run_id)
        except (FileNotFoundError, RecordError):
            return False
        return True


def plan(study: StudyConfig, output: str | Path) -> list[Run]:
    """The runs of a study, in the order of its file. A run's folder carries its identity: a changed run gets a new folder."""
    runs = []
    for variant in study.cells:
        for seed in study.seeds:
            config = study.config(variant, seed)
            run_id = run_identity(config)
            folder = Path(output) / "runs" / f"{variant}-seed{seed}-{run_id}"
            runs.append(Run(study.name, variant, seed, run_id, config, folder))
    return runs
