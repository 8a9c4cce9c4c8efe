"""Whether the files of a run are those that its record was written for. No torch in here."""

from collections.abc import Iterator
from pathlib import Path

from asid.files import ERROR, HEARTBEAT, LOCK, NOTE, NOTEBOOK, OWNER, RECORD, content_hash
from asid.runs.record import Record, read_record

_BESIDE = {RECORD, NOTE, NOTEBOOK, ERROR, HEARTBEAT, LOCK, OWNER}
"""Files of a run that its record does not stand for."""


def check_run(folder: Path) -> tuple[Record | None, list[str]]:
    """Compare the files in the folder of a run with its record.

    A folder with a record and none of its files is accepted: so are results kept in a repository. Records of format 3
    have no hashes, and say nothing about files.

    Returns:
        The record, or ``None`` if there is no valid one; and a line for each file that differs, is missing, or is none
        of the run's.
    """
    try:
        record = read_record(folder)
    except (FileNotFoundError, ValueError) as error:
        return None, [str(error) if isinstance(error, ValueError) else f"{folder / RECORD}: missing"]
    return record, list(_differences(folder, record)) if record.format > 3 else []


def _differences(folder: Path, record: Record) -> Iterator[str]:
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    is_alone = not record.files.keys() & found.keys()
    for name, recorded in record.files.items():
        if name not in found:
            if not is_alone:
                yield f"{folder / name}: missing"
        elif content_hash(found[name]) != recorded:
            yield f"{found[name]}: differs from the file that the record was written for"
    for name in found.keys() - record.files.keys() - _BESIDE:
        yield f"{found[name]}: foreign, not a file of this run"
