"""All results at once: every record under some folders as one tidy table."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from glob import glob, has_magic
from itertools import chain
from os import walk
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asid.ablation.report.record_cache import Entry, read_through_cache
from asid.ablation.statistics.records import ReportError
from asid.ablation.study.variants import format_value
from asid.config import DataConfig, EvalConfig, ModelConfig, PlainCNNConfig, TrainConfig
from asid.files import IMAGES, RECORD, json_text, read_note
from asid.runs.record import Record, read_record

LOGGER = logging.getLogger(__name__)

_OF_THE_SCORE = ("data", "image", "psnr", "ssim", "psnr_uniform_maps", "psnr_in_tiles")
_OF_THE_RUN = ("study", "variant", "seed")
_OF_THE_RECORD = ("parameters", "macs", "train_seconds", "training", "run_id", "origin", "finished", "commit")
_SECTIONS = {
    "model": (ModelConfig, PlainCNNConfig),
    "data": (DataConfig,),
    "train": (TrainConfig,),
    "evaluate": (EvalConfig,),
}
_MOST_WARNINGS = 5


def _field_columns() -> dict[tuple[str, str], str]:
    """The column of each field of a configuration, by its section and name.

    It is the field's name, or ``<section>_<name>`` where two sections have it or another column does.
    """
    fields = [
        (section, name)
        for section, configs in _SECTIONS.items()
        for name in dict.fromkeys(chain.from_iterable(config.model_fields for config in configs))
    ]
    taken = [*_OF_THE_RUN, *_OF_THE_SCORE, *_OF_THE_RECORD, "folder", "note", *(name for _, name in fields)]
    return {(section, name): name if taken.count(name) == 1 else f"{section}_{name}" for section, name in fields}


FIELD_COLUMNS = _field_columns()
COLUMNS = (*_OF_THE_RUN, *_OF_THE_SCORE, *_OF_THE_RECORD, *FIELD_COLUMNS.values(), "folder", "note")


def results(*where: str | Path) -> pd.DataFrame:
    """Every score of every record under some folders: a row for each run, or reference, and image.

    What a record says is kept in a small file in the cache folder, so that only new records are read; that file may be
    deleted at any time.

    Args:
        where: Folders of results, studies or runs, or patterns such as ``results/**``; all that is below them counts.

    Returns:
        A table with :data:`COLUMNS`: study, variant, seed; data (the image set), image, psnr (dB), ssim,
        psnr_uniform_maps (dB, with uniform attention maps), psnr_in_tiles (dB, in those of ``also_tile``);
        parameters, macs (G, torch's counter), train_seconds; training and run_id (identities), origin (the study that
        trained it, if another one), finished, commit; a column for each field of the configuration, such as
        ``attention_sharing``; the run's folder, and the note on it.
        Fields that two sections have carry the section's name: ``train_precision``, ``evaluate_precision``. Lists are
        text such as ``meso + global``. What does not apply is missing: a seed, a network and a training for bicubic.

    Raises:
        ReportError: There is no record. A damaged one is left out with a warning.
    """
    entries, problems = read_through_cache(find_records(where), _describe)
    for problem in problems[:_MOST_WARNINGS]:
        LOGGER.warning("left out: %s", problem)
    if len(problems) > _MOST_WARNINGS:
        LOGGER.warning("left out: %d more damaged records", len(problems) - _MOST_WARNINGS)
    if not entries:
        places = ", ".join(map(str, where)) or "no folder"
        raise ReportError(f"no finished run in {places}: expected {RECORD} in a folder below it")
    return _table(entries)


def find_records(where: Iterable[str | Path]) -> list[Path]:
    """The folders with a record below folders or patterns, each once, in order."""
    found: dict[Path, None] = {}
    for pattern in where:
        text = str(pattern)
        roots = sorted(glob(text, recursive=True)) if has_magic(text.removesuffix("**")) else [text.removesuffix("**")]
        for root in roots:
            found |= dict.fromkeys(_records_below(root or "."))
    return list(found)


def _records_below(root: str) -> Iterator[Path]:
    for folder, folders, files in walk(root):
        if RECORD in files:
            folders.clear()
            yield Path(folder)
        folders[:] = sorted(name for name in folders if name != IMAGES)


def _describe(folder: Path) -> Entry:
    """What the table shows of a record."""
    record = read_record(folder)
    config = record.config.to_dict()
    seed = config.pop("seed")
    counts, made = record.complexity, record.provenance
    row = {
        "study": record.study,
        "variant": record.variant,
        "seed": seed if counts else None,
        "parameters": counts["parameters"] if counts else None,
        "macs": counts["macs_torch"] / 1e9 if counts else None,
        "train_seconds": record.total_seconds("train"),
        "training": record.identity.training,
        "run_id": record.run_id,
        "origin": record.origin,
        "finished": made.get("finished"),
        "commit": made.get("commit"),
    }
    scores = [[score.get(name) for name in _OF_THE_SCORE] for score in record.scores]
    return Entry(json_text(_flat(record, config), indent=None), json_text([row, scores], indent=None))


def _flat(record: Record, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration by column. Of a method without training, only its scale and evaluation count."""
    if record.complexity is None:
        config = {"model": {"scale": record.config.model.scale}, "evaluate": config["evaluate"]}
    else:
        config["model"] = {"network": "asid", **config["model"]}
    return {
        FIELD_COLUMNS[section, name]: _cell(value)
        for section, fields in config.items()
        for name, value in fields.items()
    }


def _cell(value: Any) -> Any:
    """A value that can be compared in a query."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return format_value(value) if any(isinstance(item, str) for item in value) else ", ".join(map(str, value))
    return value


def _table(entries: dict[Path, Entry]) -> pd.DataFrame:
    """The entries as one table: what belongs to a record is repeated for each of its scores."""
    contents = json.loads(f"[{','.join(entry.text for entry in entries.values())}]")
    configs: dict[str, int] = {}
    config_of = [configs.setdefault(entry.config, len(configs)) for entry in entries.values()]
    record_of = np.repeat(np.arange(len(contents)), [len(scores) for _, scores in contents])
    records = pd.DataFrame([row for row, _ in contents])
    records = records.assign(folder=list(map(str, entries)), note=list(map(read_note, entries)))
    fields = pd.DataFrame([json.loads(config) for config in configs]).reindex(columns=list(FIELD_COLUMNS.values()))
    scores = pd.DataFrame([score for _, of_record in contents for score in of_record], columns=list(_OF_THE_SCORE))
    scores = scores.astype(dict.fromkeys(_OF_THE_SCORE[2:], float))  # inf is text in JSON
    parts = [_typed(records).iloc[record_of], scores, _typed(fields).iloc[np.asarray(config_of)[record_of]]]
    table = pd.concat([part.reset_index(drop=True) for part in parts], axis="columns")
    return table[list(COLUMNS)]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers and truth values stay what they are where some are missing."""
    return table.astype({name: kind for name in table if (kind := _nullable(table[name]))})


def _nullable(column: "pd.Series[Any]") -> str | None:
    present = column.dropna()
    if present.empty or len(present) == len(column):
        return None
    if present.map(lambda value: isinstance(value, bool)).all():
        return "boolean"
    if present.map(lambda value: isinstance(value, int | float) and value == int(value)).all():
        return "Int64"
    return None


def select(table: pd.DataFrame, expression: str) -> pd.DataFrame:
    """The rows of a table for which an expression over its columns holds, e.g. ``steps >= 300 and seed < 3``.

    Missing values satisfy no comparison. The language is that of ``pandas.DataFrame.query``.

    Raises:
        ValueError: The expression cannot be read, names something that is no column, or is neither true nor false.
    """
    try:
        chosen = table.eval(expression, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # pandas raises whatever Python raises for a wrong expression
        hint = _EXAMPLE
        if unknown := re.search(r"name '(\w+)' is not defined", str(error)):
            close = get_close_matches(unknown[1], table.columns, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"the columns are {', '.join(table.columns)}"
        raise ValueError(f"cannot use {expression!r}: {error}; {hint}") from None
    if not isinstance(chosen, pd.Series) or not pd.api.types.is_bool_dtype(chosen):
        raise ValueError(f"{expression!r} is no condition, true or false for each row; {_EXAMPLE}")
    return table[chosen.fillna(False).astype(bool)]


_EXAMPLE = "expected, for example, \"attention_sharing == 'none' and seed < 3\""
