"""Records: what a run measured, with all that its numbers depend on. A run is done when its complete record exists."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NotRequired

import pandas as pd
from pydantic import ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

import asid
from asid.config import Config, RunConfig, describe_errors, digest
from asid.data.images import manifest_hash
from asid.data.pairs import describe_pairs
from asid.data.sources import find_images, find_pairs
from asid.files import RECORD, read_json, write_json


class RecordError(ValueError):
    """A record that is damaged or belongs to another run."""


class Score(TypedDict):
    """The scores of one image."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # how pydantic configures a TypedDict

    data: str
    """Name of the evaluation set."""
    image: str
    """Name of the image."""
    psnr: float
    """PSNR in dB; infinite for identical images."""
    ssim: float
    """SSIM."""
    lr: NotRequired[str]
    """How the LR image was made."""


class HistoryRow(TypedDict):
    """One step of the training curves, as in ``history.csv``; null: not measured at this step."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    step: int
    loss: float | None
    learning_rate: float
    psnr: float | None
    seconds: float


class Record(Config):
    """One finished run, or one reference row."""

    format: Literal[1] = 1
    """Version of this layout."""
    study: str
    """Study the run belongs to."""
    variant: str
    """Name of the variant within the study."""
    run_id: str
    """Identity: a hash of everything that can change the numbers."""
    config: RunConfig
    """Configuration of the run; for a reference row only its evaluation and scale count."""
    protocol: str
    """Protocol of the scores."""
    data: dict[str, dict[str, Any]]
    """For each use (train, validation, evaluate …) the images and a hash over their bytes."""
    complexity: dict[str, Any] | None
    """Parameters and multiply-adds; null for a reference row."""
    scores: list[Score]
    """PSNR in dB and SSIM of each image."""
    history: list[HistoryRow]
    """Training curves."""
    seconds: dict[str, float]
    """Wall-clock seconds of training (train), of evaluation (evaluate), and in the network while evaluating (upscale)."""
    execution: dict[str, Any] = Field(default_factory=dict)
    """How the run went: exit, micro_batch (patches a device held at once), resumed_at (steps at which it went on from a checkpoint)."""
    provenance: dict[str, Any]
    """Versions, commit, machine, time."""

    @property
    def score_table(self) -> pd.DataFrame:
        """Scores with the columns data, image, psnr, ssim."""
        return pd.DataFrame(self.scores)


def to_rows(table: pd.DataFrame) -> list[Any]:
    """A table as JSON values: one object a row, missing numbers as null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def data_manifests(config: RunConfig) -> dict[str, dict[str, Any]]:
    """The images behind each use of data in ``config``, and hashes over the names and bytes of HR and, where there are any, LR files."""
    manifests = {}
    for use, source in (("train", config.data.train), ("validation", config.data.validation)):
        photographs = find_images(source, split=use)
        names = [photograph.path.name for photograph in photographs]
        manifests[use] = {"source": source, "images": names, "manifest": manifest_hash(photographs)}
    for source in config.evaluate.data:
        manifests[f"evaluate {source}"] = {"source": source, **describe_pairs(find_pairs(source, config.model.scale))}
    return manifests


def source_hash() -> str:
    """A hash of the modules that make numbers (not of those that only show them)."""
    root = Path(asid.__file__).parent
    evaluation = (root / "evaluation" / f"{name}.py" for name in ("metrics", "inference", "evaluate"))
    files = [root / "config.py", *evaluation]
    files += [file for folder in ("data", "model", "training") for file in sorted((root / folder).glob("*.py"))]
    return digest({file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files})


def run_identity(config: RunConfig, manifests: dict[str, dict[str, Any]] | None = None) -> str:
    """The identity of a run: configuration (the protocol is in it), data, and the source that makes the numbers."""
    manifests = manifests or data_manifests(config)
    hashes = {use: [manifest["manifest"], manifest.get("lr_manifest")] for use, manifest in manifests.items()}
    return digest({"config": config.to_dict(), "data": hashes, "source": source_hash()})


def check_identity(config: RunConfig, expected: str) -> None:
    """Raise ``ValueError`` where a run is not the one that was planned (``expected`` empty: nothing was planned)."""
    if expected and expected != (found := run_identity(config)):
        raise ValueError(
            f"this run has the identity {found}, expected {expected}: data, code or parameters changed since it was planned"
        )


def provenance() -> dict[str, Any]:
    """Versions, commit, machine and time, for the record."""
    packages = ("asid", "torch", "lightning", "numpy", "scikit-image", "pillow")
    return {
        "commit": _commit(),
        "source": source_hash(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit the package stands at, with ``+`` when its files differ from it; ``None`` outside a checkout."""
    root = Path(asid.__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def write_record(record: Record, folder: str | Path) -> Path:
    """Write a record, atomically. Returns its path."""
    return write_json(Path(folder) / RECORD, record.to_dict())


def read_record(folder: str | Path, run_id: str | None = None) -> Record:
    """Read the record in ``folder``.

    Raises ``FileNotFoundError`` where there is none, and :class:`RecordError` where it is damaged or not that of ``run_id``.
    """
    path = Path(folder) / RECORD
    try:
        record = Record.model_validate(read_json(path))
    except ValidationError as error:
        raise RecordError(f"{path}: " + "; ".join(describe_errors(error))) from None
    except ValueError as error:
        raise RecordError(f"{error}; delete its folder and run the study again") from None
    if run_id is not None and record.run_id != run_id:
        raise RecordError(f"{path} is the record of run {record.run_id}, expected {run_id}")
    return record
