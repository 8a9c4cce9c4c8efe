"""The plan of a study, ``study.json``: its runs with their folders and identities. Free of torch."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from asid.ablation.study.expand import Study
from asid.ablation.study.references import Reference
from asid.ablation.study.study import StudyConfig
from asid.ablation.study.variants import Dropped, describe_delta
from asid.config import Config, RunConfig, describe_errors
from asid.files import STUDY, read_sealed, write_sealed
from asid.runs.identity import Identity, data_manifests, run_identity, source_hash
from asid.runs.record import Record, RecordError, read_record
from asid.runs.reuse import run_folder


class PlannedRun(Config):
    """One variant, or one trained reference, with one seed."""

    study: str
    """Name of the study, with its profile."""
    variant: str
    """Name of the variant or of the reference."""
    seed: int
    """Seed of the run."""
    identity: Identity
    """What its weights and scores depend on, as hashes."""
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

    @property
    def run_id(self) -> str:
        """One hash over the identity of the training and of all evaluations."""
        return self.identity.run_id

    def record(self) -> Record | None:
        """The complete record of this run; ``None`` if it is not done."""
        try:
            return read_record(self.folder, self.run_id)
        except (FileNotFoundError, RecordError):
            return None

    def is_done(self) -> bool:
        """Whether the complete record of this run exists."""
        return self.record() is not None


class Plan(Config):
    """What a study is going to run, as stored in ``study.json``: the report needs nothing else from the study file."""

    study: StudyConfig
    """The study as written, with its profile applied."""
    command: str | None = None
    """Shell command that runs the study; empty if no single one does."""
    notebook: Path
    """Notebook that executes one run; in ``study.json`` relative to the study's folder."""
    variants: dict[str, str]
    """Every variant with its change over the base as text."""
    levels: dict[str, dict[str, str]]
    """For each variant that is such a combination: the value of each factor, as text."""
    matched: dict[str, str]
    """Controls of matched size, each with the variant that it controls."""
    dropped: tuple[Dropped, ...]
    """Variants that an exclude rule took out."""
    runs: tuple[PlannedRun, ...]
    """Every run, in the order of the study, trained references last."""
    finished_before_looks: Annotated[int, Field(ge=0)] = 0
    """Runs that were finished, here or in another study, when the looks were declared or last changed: should be 0."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def question(self) -> str:
        """What the study asks, in one sentence."""
        return self.study.question

    @property
    def profile(self) -> str | None:
        """Profile of the study file that was applied."""
        return self.study.profile

    @property
    def base(self) -> str:
        """Name of the variant without changes, against which all others are compared."""
        return self.study.base_name

    @property
    def references(self) -> tuple[Reference, ...]:
        """Rows for comparison that are not tested."""
        return self.study.references

    @property
    def margin(self) -> float:
        """Change of PSNR, in dB, below which two variants count as equivalent."""
        return self.study.margin

    @property
    def factors(self) -> tuple[str, ...]:
        """Fields of which all combinations are run, without their sections."""
        return tuple(name.rpartition(".")[2] for name in self.study.factors)


def plan_runs(study: Study, output: str | Path) -> tuple[PlannedRun, ...]:
    """The runs of a study, variants in the order of its file, for results in the folder ``output``."""
    source = source_hash()
    runs = []
    for variant in study.run_names:
        for seed in study.config.seeds:
            config = study.run_config(variant, seed)
            manifests = data_manifests(config)
            identity = run_identity(config, manifests)
            runs.append(
                PlannedRun(
                    study=study.config.full_name,
                    variant=variant,
                    seed=seed,
                    identity=identity,
                    config=config,
                    data={use: manifest["manifest"] for use, manifest in manifests.items()},
                    source=source,
                    folder=run_folder(output, variant, seed, identity),
                )
            )
    return tuple(runs)


def plan_study(study: Study, output: str | Path, notebook: Path, command: str | None = None) -> Plan:
    """The plan of a study whose results go to the folder ``output``.

    Args:
        study: The study.
        output: Folder of the study.
        notebook: Notebook that executes one run.
        command: Shell command that runs the study, for the report.
    """
    return Plan(
        study=study.config,
        command=command,
        notebook=notebook,
        variants={name: describe_delta(variant.delta) for name, variant in study.variants.items()},
        levels={name: variant.levels for name, variant in study.variants.items() if variant.levels},
        matched={name: variant.control_of for name, variant in study.variants.items() if variant.control_of},
        dropped=tuple(study.dropped),
        runs=plan_runs(study, output),
    )


def write_plan(plan: Plan, folder: str | Path) -> Path:
    """Write ``study.json`` with a digest of its content, atomically; paths in it are relative to ``folder``."""
    folder = Path(folder)
    content = plan.to_dict()
    for run, described in zip(plan.runs, content["runs"], strict=True):
        described["folder"] = run.folder.relative_to(folder).as_posix()
    content["notebook"] = Path(os.path.relpath(plan.notebook.resolve(), folder.resolve())).as_posix()
    return write_sealed(folder / STUDY, content)


def read_plan(folder: str | Path) -> Plan:
    """Read the plan in a study's folder.

    Raises:
        FileNotFoundError: There is no study in ``folder``.
        ValueError: ``study.json`` is damaged or was edited.
    """
    folder = Path(folder)
    path = folder / STUDY
    if not path.is_file():
        raise FileNotFoundError(f"no study in {folder}: expected {STUDY} there; 'asid ablate run' writes it")
    try:
        plan = Plan.model_validate(read_sealed(path))
    except ValidationError as error:
        problem = f"{path} is damaged: " + "; ".join(describe_errors(error))
    except ValueError as error:
        problem = str(error)
    else:
        runs = tuple(run.model_copy(update={"folder": folder / run.folder}) for run in plan.runs)
        return plan.model_copy(update={"runs": runs, "notebook": folder / plan.notebook})
    raise ValueError(f"{problem}; run the study file again")
