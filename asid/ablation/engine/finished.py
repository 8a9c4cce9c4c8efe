"""A study of which everything is done: found out without building a network. Free of torch."""

from pathlib import Path

from asid.ablation.engine.outcome import Outcome
from asid.ablation.engine.references import missing_references
from asid.ablation.study.expand import Study
from asid.ablation.study.plan import Plan, PlannedRun, read_plan
from asid.ablation.study.references import plain_cnn_run
from asid.runs.identity import run_identity, source_hash


def stored_steps(study: Study, folder: Path) -> Study:
    """The study with the steps that its ``minutes`` were converted to when its folder was planned, if they were."""
    if study.config.minutes is None:
        return study
    try:
        stored = read_plan(folder).study
    except (FileNotFoundError, ValueError):
        return study
    same = stored.override(steps_of=study.config.steps_of) == study.config
    return study.override(steps_of=stored.steps_of) if same else study


def finished_outcomes(study: Study, folder: Path) -> list[Outcome] | None:
    """The outcomes of a study whose folder has everything that it asks for; ``None`` if something is left to do.

    The plan in the folder is that of this study: the same file, package and data.
    """
    try:
        plan = read_plan(folder)
    except (FileNotFoundError, ValueError):
        return None
    if plan.study != study.config or not all(_is_as_planned(run, study) for run in plan.runs):
        return None
    outcomes = {run.label: Outcome(run.label, skipped=True, folder=run.folder) for run in plan.runs if run.is_done()}
    outcomes |= {run.label: Outcome(run.label, spared=True, folder=run.folder) for run in _spared(plan, [*outcomes])}
    if len(outcomes) < len(plan.runs) or missing_references(plan, folder):
        return None
    return [outcomes[run.label] for run in plan.runs]


def _is_as_planned(run: PlannedRun, study: Study) -> bool:
    """Whether a stored run is the one that would be planned now.

    The size of a trained reference, for which networks are built, is taken as it is: it follows from the base and from
    code that ``source`` names.
    """
    if run.source != source_hash() or run.study != study.config.full_name:
        return False
    if run.variant in study.variants:
        config = study.run_config(run.variant, run.seed)
    else:
        config = plain_cnn_run(study.run_config(study.base_name, run.seed), run.config.model.num_features)
    return config == run.config and run_identity(config) == run.identity


def _spared(plan: Plan, done: list[str]) -> list[PlannedRun]:
    """The runs that a study with looks does not need any more."""
    if plan.study.until is None:
        return []
    from asid.ablation.statistics.looks import read_standing  # pandas takes half a second

    found = read_standing(plan, done)
    return [run for run in found.spared if run.label not in done] if found else []
