"""Networks that were trained one at a time, by ``asid train`` or the notebook, side by side like a study."""

from pathlib import Path

from asid.ablation.statistics.records import ReportError
from asid.ablation.study.plan import Plan, PlannedRun
from asid.ablation.study.study import StudyConfig
from asid.ablation.study.variants import describe_delta
from asid.files import RECORD, STUDY
from asid.runs.record import Record, RecordError, read_record

_OTHERS = ("reference", "evaluations")
"""Folders of results that hold no single runs."""


def find_single_runs(root: str | Path) -> dict[str, Path]:
    """The folders in ``root`` that are a run, or hold runs, and are no study, by their names."""
    return {
        path.name: path for path in sorted(Path(root).glob("*")) if path.name not in _OTHERS and has_single_runs(path)
    }


def has_single_runs(folder: Path) -> bool:
    """Whether a folder is a run, or holds runs, without being a study."""
    return not (folder / STUDY).exists() and bool(_run_folders(folder))


def plan_single_runs(folder: Path) -> Plan:
    """A plan of the runs that are in a folder, as if they had been planned. The first one is the base.

    Raises:
        ReportError: There is none, one is damaged, or two have the same name and seed.
    """
    try:
        records = {path: read_record(path) for path in _run_folders(folder)}
    except RecordError as error:
        raise ReportError(str(error)) from None
    records = {path: record for path, record in records.items() if record.complexity}
    if not records:
        raise ReportError(f"no study and no run in {folder}: expected {STUDY}, or {RECORD} in it or in its folders")
    labels = [f"{record.variant} seed {record.config.seed}" for record in records.values()]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ReportError(f"two runs in {folder} are called {twice[0]}: train one of them as another variant")
    first = next(iter(records.values()))
    study = StudyConfig.model_validate(
        {
            "name": "single",
            "question": "What does each of these networks reach? They were trained one at a time.",
            "references": [],
        }
    )
    study = study.model_copy(update={"variants": {first.variant: {}}})  # unchecked: a run may have any name
    return Plan(
        study=study,
        command="",
        notebook=Path(study.notebook),
        variants={record.variant: _change(record, first) for record in records.values()},
        levels={},
        matched={},
        dropped=(),
        runs=tuple(_planned(path, record) for path, record in records.items()),
    )


def _run_folders(folder: Path) -> list[Path]:
    return [path.parent for path in (folder / RECORD, *sorted(folder.glob(f"*/{RECORD}"))) if path.is_file()]


def _change(record: Record, first: Record) -> str:
    """In what a network, its data and its training differ from the first one."""
    mine, others = record.config.to_dict(), first.config.to_dict()
    return describe_delta(
        {
            section: {name: value for name, value in mine[section].items() if value != others[section].get(name)}
            for section in ("model", "data", "train")
        }
    )


def _planned(path: Path, record: Record) -> PlannedRun:
    return PlannedRun(
        study=record.study,
        variant=record.variant,
        seed=record.config.seed,
        identity=record.identity,
        config=record.config,
        data={use: data["manifest"] for use, data in record.data.items()},
        source=record.provenance.get("source", ""),
        folder=path,
    )
