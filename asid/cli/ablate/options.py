"""Arguments and options that several commands of ``asid ablate`` share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.study.expand import Study

StudyArgument = Annotated[Path, typer.Argument(help="Study file, e.g. ablations/quick.yaml.")]
FolderArgument = Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")]
ProfileOption = Annotated[
    str | None, typer.Option(help="Profile of the study file, e.g. laptop or paper. Default: its first one.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the study. Default: results/<study>, with a profile results/<study>-<profile>."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Runs at a time. Default: one per GPU, or one per CPU thread if there is no GPU."),
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of an existing Dask scheduler, e.g. tcp://host:8786.")
]
SlurmOption = Annotated[Path | None, typer.Option(help="YAML file with the arguments of dask_jobqueue.SLURMCluster.")]
RetryOption = Annotated[int, typer.Option(min=0, help="How many times to repeat a failed run.")]
UntilOption = Annotated[
    Literal["decided"] | None,
    typer.Option(help="Add seeds until there is a verdict: at the looks of the study file, or at 3, 5 and 8 seeds."),
]


def with_looks(study: "Study", until: str | None) -> "Study":
    """The study with the looks of its file, or if it is to have some and has none, with the usual ones."""
    from asid.ablation.study.until import Until

    return study.override(until=Until()) if until and study.config.until is None else study


def default_folder(study: "Study", smoke: bool = False) -> Path:
    """Where a study goes if ``--output`` does not say so."""
    return Path("results") / (study.config.full_name + ("-smoke" if smoke else ""))


def cluster_config(
    workers: int | None = None, scheduler: str | None = None, slurm: Path | None = None
) -> "ClusterConfig":
    """Where the runs of a study are executed."""
    from asid.ablation.engine.cluster import ClusterConfig

    return ClusterConfig(workers=workers, scheduler=scheduler, slurm=slurm)
