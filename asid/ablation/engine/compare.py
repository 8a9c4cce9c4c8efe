"""What differs between two runs: configuration, data, code and scores."""

from pathlib import Path
from typing import Any

from asid.ablation.study.differences import config_differences
from asid.runs.record import read_record

_NOT_CODE = {"finished"}
"""Entries of a record's provenance that differ between any two runs."""


def compare_runs(first: str | Path, second: str | Path) -> dict[str, Any]:
    """What differs between two finished runs.

    Returns:
        JSON values with the keys ``runs`` (both folders), ``config``, ``data`` and ``code`` (both values of every entry
        that differs) and ``scores`` (PSNR in dB and SSIM of both for each image that both scored).

    Raises:
        FileNotFoundError: A run is not finished.
        RecordError: A record is damaged.
    """
    a, b = read_record(first), read_record(second)
    config = {name: [mine, theirs] for name, mine, theirs in config_differences(a.config.to_dict(), b.config.to_dict())}
    manifests = [{use: data.get("manifest") for use, data in record.data.items()} for record in (a, b)]
    code = [{key: value for key, value in r.provenance.items() if key not in _NOT_CODE} for r in (a, b)]
    others = {(row["data"], row["image"]): row for row in b.scores}
    scores = [
        {"data": row["data"], "image": row["image"], **{name: [row[name], other[name]] for name in ("psnr", "ssim")}}
        for row in a.scores
        if (other := others.get((row["data"], row["image"])))
    ]
    return {
        "runs": [str(first), str(second)],
        "config": config,
        "data": _changed(*manifests),
        "code": _changed(*code),
        "scores": scores,
    }


def _changed(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    keys = {**first, **second}
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}
