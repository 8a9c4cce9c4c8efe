"""The records of a study, each read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asid.ablation.study.plan import Plan, PlannedRun
from asid.ablation.study.references import TRAINED
from asid.config import RunConfig
from asid.files import RECORD
from asid.runs.record import Record, RecordError, read_record


class ReportError(ValueError):
    """A folder that is not a study's, or a study without finished runs."""


@dataclass(frozen=True)
class StoredRecord:
    """A record and the folder it was read from."""

    folder: Path
    record: Record


def read_records(folder: Path, plan: Plan) -> tuple[tuple[StoredRecord, ...], tuple[str, ...]]:
    """Read the records that a plan asks for.

    Returns:
        The records in the order of the plan, references first; and a label for each record that is missing, or that
        of a different run.

    Raises:
        ReportError: If a record is damaged, was edited or is not what was planned, or if runs were evaluated in
            different ways.
    """
    untrained = [name for name in plan.references if name not in TRAINED]
    planned: list[tuple[Path, PlannedRun | str]] = [(folder / "references" / name, name) for name in untrained]
    runs = sorted(plan.runs, key=lambda run: run.variant not in TRAINED)  # stable: the order of the plan otherwise
    planned += [(run.folder, run) for run in runs]
    records, missing = [], []
    for path, run in planned:
        record = _read(path)
        if record is None or (isinstance(run, PlannedRun) and record.run_id != run.run_id):
            missing.append(run if isinstance(run, str) else run.label)
            continue
        _check_planned(path, record, run)
        records.append(StoredRecord(path, record))
    _check_comparable(records)
    return tuple(records), tuple(missing)


def _read(folder: Path) -> Record | None:
    try:
        return read_record(folder)
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise ReportError(str(error)) from None


def _check_planned(folder: Path, record: Record, run: PlannedRun | str) -> None:
    """Raise :class:`ReportError` if a record is not what the plan says: a run, or the name of a reference."""
    expected: dict[str, Any] = {"variant": run}
    if isinstance(run, PlannedRun):
        expected = {"variant": run.variant, **_settings(run.config)}
    got = {"variant": record.variant, **_settings(record.config)}
    for name, value in expected.items():
        if got.get(name) != value:
            raise ReportError(f"{folder / RECORD}: expected {name} {value} as planned, got {got.get(name)}")


def _settings(config: RunConfig) -> dict[str, Any]:
    """What a run shares with its plan, by name. Data that was moved stays the same data: its hashes are compared."""
    sections = {**config.training_settings(), "evaluate": config.evaluate.to_dict() | {"data": None}}
    seed = sections.pop("seed")
    fields = {f"{name}.{field}": value for name, section in sections.items() for field, value in section.items()}
    return {"seed": seed, **fields}


def _check_comparable(records: Sequence[StoredRecord]) -> None:
    """Raise :class:`ReportError` if records were evaluated in different ways: one table cannot show their scores."""
    if not records:
        return
    first, *others = records
    expected = _evaluation(first.record)
    for stored in others:
        for name, value in _evaluation(stored.record).items():
            if value != expected[name]:
                raise ReportError(
                    f"{stored.folder} was evaluated with {name} {value}, {first.folder} with {expected[name]}: "
                    "a table shows one way of evaluating; run the study again, or report the two separately"
                )


def _evaluation(record: Record) -> dict[str, Any]:
    """What two records must share for their scores to be compared, by name."""
    config = record.config
    sets = {use.removeprefix("evaluate "): data for use, data in record.data.items() if use.startswith("evaluate ")}
    hashes = {name: " ".join(filter(None, (data["manifest"], data.get("lr_manifest")))) for name, data in sets.items()}
    return {"scale": config.model.scale, **dict(config.evaluate), "images": hashes}
