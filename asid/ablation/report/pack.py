"""A report and what it rests on, as one file to send."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from asid.ablation.report.results import StudyResults
from asid.files import RECORD, STUDY, atomic_write

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in it, so that the same report is the same bytes."""


def pack_report(results: StudyResults, files: Iterable[Path]) -> Path:
    """Write ``<folder>.zip`` beside the folder of a study: its report, plan and records, but no weights and images.

    Unpacked, it is a study's folder of which ``asid report`` makes the same tables.

    Args:
        results: The study.
        files: The files of its report.

    Returns:
        The path of the file.
    """
    folder = results.folder.resolve()
    records = [stored.folder.resolve() / RECORD for stored in results.records]
    packed = sorted({folder / STUDY, *(file.resolve() for file in files), *records})
    target = folder.with_name(f"{folder.name}.zip")
    with atomic_write(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for file in packed:
            name = Path(folder.name, file.relative_to(folder)).as_posix()
            archive.writestr(zipfile.ZipInfo(name, _TIME), file.read_bytes(), zipfile.ZIP_DEFLATED)
    return target
