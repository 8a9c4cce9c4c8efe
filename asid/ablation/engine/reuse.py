"""A study reuses what another study under the same results folder has trained and scored. Free of torch."""

from pathlib import Path

from asid.ablation.study.plan import PlannedRun
from asid.runs.reuse import Trained, find_trained, take_over


def trained_elsewhere(run: PlannedRun, study_folder: Path) -> Trained | None:
    """A finished run of another study with the same training; ``None`` if only this study has it, or none."""
    trained = find_trained(_results(study_folder), run.identity)
    return trained if trained and trained.folder.parent.parent.resolve() != study_folder.resolve() else None


def reuse(run: PlannedRun, study_folder: Path) -> Trained | None:
    """Fill the folder of a run from a finished run with the same training, of any study including its own.

    Returns:
        The finished run. Afterwards ``run`` is done if that one :meth:`~asid.runs.reuse.Trained.is_complete`; otherwise
        executing it trains nothing and scores what is missing. ``None`` if the training does not exist yet.

    Raises:
        ValueError: Another process is working in the folder of the run.
    """
    trained = find_trained(_results(study_folder), run.identity)
    if trained:
        take_over(trained, run.folder, study=run.study, variant=run.variant, config=run.config)
    return trained


def _results(study_folder: Path) -> Path:
    """The folder that holds this study and others."""
    return study_folder.absolute().parent
