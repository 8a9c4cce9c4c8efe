"""What tables show of each record, kept in one small file, so that ten thousand records need not be read again.

The file is in the cache folder. It may be deleted at any time, and nothing depends on it but time: a record counts as
known while its size and its time of change are the same.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from asid.data.cache import RECORDS, cache_folder
from asid.files import RECORD

LOGGER = logging.getLogger(__name__)

_FILE = f"{RECORDS}2.sqlite"
"""The number counts up when what is kept changes."""
_TABLES = """
CREATE TABLE IF NOT EXISTS configs (number INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS records (file TEXT PRIMARY KEY, size INTEGER, changed INTEGER, config INTEGER, text TEXT);
"""


@dataclass(frozen=True)
class Entry:
    """What is kept of a record."""

    config: str
    """Its configuration without the seed; many records share one."""
    text: str
    """The rest."""


_Stamp = tuple[int, int]
"""Size of a file, and when it was changed (ns)."""


def read_through_cache(
    folders: Iterable[Path], describe: Callable[[Path], Entry]
) -> tuple[dict[Path, Entry], list[str]]:
    """Describe the records in some folders, of which the cache knows those that have not changed.

    Args:
        folders: Folders with a record.
        describe: Reads the record in a folder.

    Returns:
        The entry of each folder, in order; and for each record that ``describe`` refuses, or that is gone, why.
    """
    known = _load()
    entries: dict[Path, Entry] = {}
    new: dict[str, tuple[_Stamp, Entry]] = {}
    problems = []
    for folder in folders:
        try:
            status = (folder / RECORD).stat()
            file, stamp = str((folder / RECORD).absolute()), (status.st_size, status.st_mtime_ns)
            if file in known and known[file][0] == stamp:
                entries[folder] = known[file][1]
            else:
                entries[folder] = describe(folder)
                new[file] = (stamp, entries[folder])
        except (OSError, ValueError) as error:
            problems.append(str(error))
    if new:
        _store(new, gone=[file for file in known if file not in new and not Path(file).exists()])
    return entries, problems


def _load() -> dict[str, tuple[_Stamp, Entry]]:
    """Everything in the cache; nothing if it is off, new or damaged."""
    if (path := _path()) is None or not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(
                "SELECT file, size, changed, configs.text, records.text FROM records JOIN configs ON config = number"
            )
            return {file: ((size, changed), Entry(config, text)) for file, size, changed, config, text in rows}
    except sqlite3.Error as error:
        LOGGER.info("%s cannot be read (%s): it is written again", path, error)
        return {}


def _store(new: dict[str, tuple[_Stamp, Entry]], gone: Iterable[str]) -> None:
    """Add to the cache, and forget records that are gone. A cache that cannot be written is done without."""
    if (path := _path()) is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(path, new, gone)
        except sqlite3.DatabaseError:  # damaged, or locked by another process for seconds: it costs time only
            path.unlink(missing_ok=True)
            _write(path, new, gone)
    except (OSError, sqlite3.Error) as error:
        LOGGER.info("%s cannot be written: %s", path, error)


def _write(path: Path, new: dict[str, tuple[_Stamp, Entry]], gone: Iterable[str]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_TABLES)
        database.executemany("INSERT OR IGNORE INTO configs (text) VALUES (?)", {(e.config,) for _, e in new.values()})
        database.executemany(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, (SELECT number FROM configs WHERE text = ?), ?)",
            [(file, *stamp, entry.config, entry.text) for file, (stamp, entry) in new.items()],
        )
        database.executemany("DELETE FROM records WHERE file = ?", [(file,) for file in gone])


def _path() -> Path | None:
    folder = cache_folder()
    return folder / _FILE if folder else None
