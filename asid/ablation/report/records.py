"""The records of a study, each read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asid.ablation.study.plan import Plan
from asid.ablation.study.references import TRAINED
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
        The records in the order of the plan, references first; and a label for each record that is missing, damaged,
        or that of a different run.

    Raises:
        ReportError: If runs were evaluated in different ways.
    """
    untrained = [name for name in plan.references if name not in TRAINED]
    planned: list[tuple[Path, str | None, str]] = [(folder / "references" / name, None, name) for name in untrained]
    runs = sorted(plan.runs, key=lambda run: run.variant not in TRAINED)  # stable: the order of the plan otherwise
    planned += [(run.folder, run.run_id, run.label) for run in runs]
    records, missing = [], []
    for path, run_id, label in planned:
        try:
            records.append(StoredRecord(path, read_record(path, run_id)))
        except (FileNotFoundError, RecordError):
            missing.append(label)
    _check_comparable(records)
    return tuple(records), tuple(missing)


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
