"""Whether results are what their records and plans say: every file below a folder, compared with its hash."""

from dataclasses import dataclass, field
from pathlib import Path

from asid.ablation.study.plan import PlannedRun, read_plan
from asid.files import RECORD, STUDY, WEIGHTS
from asid.runs.check import check_run
from asid.runs.record import Record


@dataclass
class Checked:
    """What was compared, and what is wrong."""

    records: int = 0
    files: int = 0
    """Files that valid records stand for."""
    unbound: int = 0
    """Records of format 3, which have no hashes of files."""
    open: int = 0
    """Planned runs without a record and without weights: not done yet, or not needed."""
    problems: list[str] = field(default_factory=list)
    """One line for each file that differs, is missing or is foreign."""


def check_results(folder: str | Path) -> Checked:
    """Compare all files of a run, of a study, or of a folder of these with their records.

    Every hash is computed. What was edited together with its hash, on purpose, is not found.

    Raises:
        ValueError: There is neither a record nor a plan in ``folder``.
    """
    folder, checked = Path(folder), Checked()
    planned: dict[Path, PlannedRun] = {}
    studies = sorted(path.parent for path in folder.rglob(STUDY))
    for study in studies:
        try:
            planned |= {run.folder: run for run in read_plan(study).runs}
        except ValueError as error:
            checked.problems.append(str(error))
    runs = {path.parent for path in folder.rglob(RECORD)}
    beside = {path for study in studies for path in (study / "runs").glob("*") if path.is_dir()}
    if not runs and not studies:
        raise ValueError(f"no {RECORD} and no {STUDY} in {folder}: expected a run, a study, or a folder of these")
    for run in sorted(runs | beside | planned.keys()):
        if run in planned and not (run / RECORD).exists() and not (run / WEIGHTS).exists():
            checked.open += 1
            continue
        record, problems = check_run(run)
        checked.problems += problems
        if record is None:
            continue
        checked.records += 1
        checked.files += len(record.files)
        checked.unbound += record.format == 3
        checked.problems += _compare_with_plan(run, record, planned, beside)
    return checked


def _compare_with_plan(folder: Path, record: Record, planned: dict[Path, PlannedRun], beside: set[Path]) -> list[str]:
    """What is wrong with the place of a valid record."""
    run = planned.get(folder)
    if run is None:
        return [f"{folder}: foreign, not a run of the study"] if folder in beside else []
    if (record.variant, record.run_id) != (run.variant, run.run_id):
        found, expected = f"{record.variant} ({record.run_id})", f"{run.variant} ({run.run_id})"
        return [f"{folder / RECORD}: expected the record of {expected} as planned, got that of {found}"]
    return []
