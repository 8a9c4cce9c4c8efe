"""The plan of a study, ``study.json``: what is to be run, and the folder and identity of each run. No torch in here."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asid.ablation.study.study import StudyConfig
from asid.ablation.study.variants import Dropped, describe_delta
from asid.config import Config, RunConfig, describe_errors
from asid.files import STUDY, read_json, write_json
from asid.runs.record import RecordError, data_manifests, read_record, run_identity, source_hash


class PlannedRun(Config):
    """One variant with one seed."""

    study: str
    """Name of the study."""
    variant: str
    """Name of the variant."""
    seed: int
    """Seed of the run."""
    run_id: str
    """Identity: a hash of everything that can change the numbers."""
    config: RunConfig
    """Full configuration of the run."""
    data: dict[str, str]
    """For each use (train, validation, evaluate …) the hash over the bytes of its images."""
    source: str
    """Hash of the code that makes the numbers."""
    folder: Path
    """Folder of the run; in ``study.json`` relative to the study's folder, which can be moved."""

    @property
    def label(self) -> str:
        """Name of the run as it is shown, e.g. ``no-sharing seed 0``."""
        return f"{self.variant} seed {self.seed}"

    def is_done(self) -> bool:
        """Whether the complete record of this run exists."""
        try:
            read_record(self.folder, self.run_id)
        except (FileNotFoundError, RecordError):
            return False
        return True


class Plan(Config):
    """What a study is going to run, as stored in ``study.json``: the report needs nothing else from the study file."""

    name: str
    """Name of the study."""
    question: str
    """What the study asks, in one sentence."""
    profile: str | None = None
    """Profile of the study file that was chosen."""
    preset: str
    """Preset of the base network."""
    base: str
    """Name of the variant without changes, against which all others are compared."""
    references: tuple[str, ...]
    """Rows for comparison that need no training."""
    margin: float
    """Change of PSNR, in dB, below which two variants count as equivalent."""
    command: str | None = None
    """Shell command that runs the study."""
    variants: dict[str, str]
    """Every variant with its change over the base as text."""
    factors: tuple[str, ...]
    """Fields of which all combinations were run, without their sections."""
    levels: dict[str, dict[str, str]]
    """For each variant that is such a combination: the value of each factor, as text."""
    matched: dict[str, str]
    """Controls of matched size, each with the variant that it controls."""
    dropped: tuple[Dropped, ...]
    """Variants that an exclude rule took out."""
    runs: tuple[PlannedRun, ...]
    """Every run, in the order of the study."""
    notebook: Path
    """Notebook that executes one run; in ``study.json`` relative to the study's folder."""
    study: dict[str, Any]
    """The study as it was read (:class:`~asid.ablation.study.study.StudyConfig` as JSON values), for resuming it."""


def plan_runs(study: StudyConfig, output: str | Path) -> tuple[PlannedRun, ...]:
    """The runs of a study, in the order of its file. A folder's name contains the run's identity: a changed run gets a new folder."""
    source = source_hash()
    runs = []
    for variant in study.cells:
        for seed in study.seeds:
            config = study.config(variant, seed)
            manifests = data_manifests(config)
            run_id = run_identity(config, manifests)
            runs.append(
                PlannedRun(
                    study=study.name,
                    variant=variant,
                    seed=seed,
                    run_id=run_id,
                    config=config,
                    data={use: manifest["manifest"] for use, manifest in manifests.items()},
                    source=source,
                    folder=Path(output) / "runs" / f"{variant}-seed{seed}-{run_id}",
                )
            )
    return tuple(runs)


def plan_study(study: StudyConfig, output: str | Path, notebook: Path, command: str | None = None) -> Plan:
    """The plan of a study whose results go to the folder ``output``.

    Args:
        study: The study.
        output: Folder of the study.
        notebook: Notebook that executes one run.
        command: Shell command that runs the study, for the report.
    """
    return Plan(
        name=study.name,
        question=study.question,
        profile=study.profile,
        preset=study.preset,
        base=study.base_name,
        references=study.references,
        margin=study.margin,
        command=command,
        variants={name: describe_delta(cell.delta) for name, cell in study.cells.items()},
        factors=tuple(name.rpartition(".")[2] for name in study.factors),
        levels={name: cell.levels for name, cell in study.cells.items() if cell.levels},
        matched={name: cell.control_of for name, cell in study.cells.items() if cell.control_of},
        dropped=tuple(study.dropped),
        runs=plan_runs(study, output),
        notebook=notebook,
        study=study.to_dict(),
    )


def write_plan(plan: Plan, folder: str | Path) -> Path:
    """Write ``study.json`` atomically; paths in it are relative to ``folder``."""
    folder = Path(folder)
    content = plan.to_dict()
    for run, described in zip(plan.runs, content["runs"], strict=True):
        described["folder"] = run.folder.relative_to(folder).as_posix()
    content["notebook"] = Path(os.path.relpath(plan.notebook.resolve(), folder.resolve())).as_posix()
    return write_json(folder / STUDY, content)


def read_plan(folder: str | Path) -> Plan:
    """Read the plan in a study's folder.

    Raises:
        FileNotFoundError: There is no study in ``folder``.
        ValueError: ``study.json`` is damaged.
    """
    folder = Path(folder)
    path = folder / STUDY
    if not path.is_file():
        raise FileNotFoundError(f"no study in {folder}: expected {STUDY} there; 'asid ablate run' writes it")
    try:
        plan = Plan.model_validate(read_json(path))
    except ValidationError as error:
        problem = f"{path} is damaged: " + "; ".join(describe_errors(error))
    except ValueError as error:
        problem = str(error)
    else:
        runs = tuple(run.model_copy(update={"folder": folder / run.folder}) for run in plan.runs)
        return plan.model_copy(update={"runs": runs, "notebook": folder / plan.notebook})
    raise ValueError(f"{problem}; run the study file again")
