"""Records: what a run measured, and everything that its numbers depend on. A run with a record is done.

A record is refused if it was edited, or if its identity is not that of its configuration, data and code.
"""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from asid.config import Config, RunConfig, describe_errors
from asid.files import CHECKPOINTS, CONFIG, HISTORY, IMAGES, RECORD, WEIGHTS, content_hash, read_sealed, write_sealed
from asid.runs.identity import PACKAGE, Code, Identity, source_hash, stored_identity

if TYPE_CHECKING:
    import pandas as pd


class RecordError(ValueError):
    """A record that is damaged, was edited, or belongs to another run."""


Psnr = Annotated[float, Field(ge=0)]
"""In dB; infinite for identical images."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Bands = Annotated[list[NotNegative], Field(min_length=16, max_length=16)]
"""A power for each band of :mod:`asid.evaluation.spectrum`."""


class Score(TypedDict):
    """The scores of one image."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # how pydantic configures a TypedDict

    data: str
    """Name of the evaluation set."""
    image: str
    """Name of the image."""
    psnr: Psnr
    """PSNR."""
    ssim: Annotated[float, Field(ge=-1, le=1)]
    """SSIM."""
    lr: NotRequired[str]
    """How the LR image was made."""
    psnr_uniform_maps: NotRequired[Psnr | None]
    """PSNR in dB with uniform spatial attention maps; null for a network without spatial attention."""
    psnr_in_tiles: NotRequired[Psnr | None]
    """PSNR in dB in the tiles of ``evaluate.also_tile``."""
    psnr_at_checkpoints: NotRequired[list[Psnr] | None]
    """PSNR in dB after each part of the training in ``train.checkpoints``."""
    error_by_band: NotRequired[Bands]
    """Power of the error in grey levels² in bands of the spectrum; sums to the mean squared error. Records of earlier
    versions do not have it."""
    image_by_band: NotRequired[Bands]
    """Power of the HR image without its mean in the same bands."""


class HistoryRow(TypedDict):
    """One step of the training curves, as in ``history.csv``; null: not measured at this step."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    step: Count
    loss: Finite | None
    learning_rate: NotNegative
    psnr: Psnr | None
    seconds: NotNegative


class Counts(TypedDict):
    """The size of a network, see :class:`asid.model.complexity.Complexity`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    parameters: Count
    macs_torch: Count
    macs_ptflops: Count
    macs_fvcore: Count
    output: list[Count]


class Record(Config):
    """One finished run, or one reference row."""

    format: Literal[3, 4] = 4
    """Version of this layout. Version 3 has no ``files``."""
    study: str
    """Study that the run belongs to."""
    variant: str
    """Name of the variant in the study."""
    origin: str | None = None
    """Study that trained the network, if not this one."""
    identity: Identity
    """What weights and scores depend on, as hashes; for a reference row, its training is the name of the method."""
    code: Code | None = None
    """The code that made it; null for a record of which it is not known: its identity is then taken as it is."""
    config: RunConfig
    """Configuration of the run; for a reference row only its evaluation and scale count."""
    protocol: str
    """Protocol of the scores."""
    data: dict[str, dict[str, Any]]
    """For each use (train, validation, evaluate …) the images and a hash over their bytes."""
    complexity: Counts | None
    """Parameters and multiply-adds; null for a reference row."""
    scores: list[Score]
    """PSNR and SSIM of each image."""
    history: list[HistoryRow]
    """Training curves."""
    seconds: dict[str, NotNegative]
    """Wall-clock seconds: ``train``; per evaluation set ``evaluate <set>`` and, in the network, ``upscale <set>``.

    ``evaluate`` includes the second pass with uniform attention maps, ``upscale`` does not.
    """
    execution: dict[str, Any] = Field(default_factory=dict)
    """How the training went: exit, micro_batch (patches per device and pass), threads (of the CPU), resumed_at (steps
    where it resumed)."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each file that the record stands for, by its path in the folder: weights, also those kept after parts
    of the training, curves, configuration, SR images. :func:`bind_files` fills it in."""
    provenance: dict[str, Any]
    """Versions, commit, machine and time of the run that trained."""
    later: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Provenance of the evaluation sets that were scored later than in that run, by their names."""

    @property
    def run_id(self) -> str:
        """One hash over the identity of the training and of all evaluations."""
        return self.identity.run_id

    @property
    def score_table(self) -> "pd.DataFrame":
        """Scores with the columns data, image, psnr, ssim, and those of :class:`Score` that were measured."""
        import pandas as pd  # half a second, and the command line reads plans without it

        return pd.DataFrame(self.scores)

    def total_seconds(self, kind: str) -> float | None:
        """Wall-clock seconds; ``None`` if they were not measured.

        Args:
            kind: ``train``, ``evaluate`` (all evaluation sets) or ``upscale`` (in the network, during these).
        """
        measured = [value for name, value in self.seconds.items() if name.split(" ")[0] == kind]
        return sum(measured) if measured else None


def to_rows(table: "pd.DataFrame") -> list[Any]:
    """A table as JSON values: one object per row, missing numbers as null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def provenance(accelerator: str = "cpu") -> dict[str, Any]:
    """Versions, commit, machine and time, for the record.

    Args:
        accelerator: ``train.accelerator``, what trained.
    """
    import torch  # over a second, and reading records needs none

    from asid.training.devices import device_type

    packages = ("asid", "torch", "lightning", "numpy", "scikit-image", "pillow")
    return {
        "commit": _commit(),
        "source": source_hash(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device_type(accelerator) == "cuda" else None,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    """The processor, as its maker calls it: which of torch's kernels run depends on it, and so do the last digits."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str | None:
    """The commit of the package, with ``+`` if its files differ from it; ``None`` outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def bind_files(record: Record, folder: str | Path) -> Record:
    """``record`` with the hashes of the files in its folder that it stands for. They must be complete."""
    folder = Path(folder)
    sets = (folder / IMAGES / name for name in record.identity.evaluations)
    images = (path for folder_of_set in sets for path in sorted(folder_of_set.glob("*")))
    kept = sorted((folder / CHECKPOINTS).glob("*"))
    paths = [*(folder / name for name in (CONFIG, HISTORY, WEIGHTS)), *kept, *images]
    files = {path.relative_to(folder).as_posix(): content_hash(path) for path in paths if path.is_file()}
    return record.override(format=4, files=files)


def write_record(record: Record, folder: str | Path) -> Path:
    """Write a record with a digest of its content, atomically. Returns its path."""
    return write_sealed(Path(folder) / RECORD, record.to_dict())


def read_record(folder: str | Path, run_id: str | None = None) -> Record:
    """Read the record in ``folder``.

    Args:
        folder: Folder of a run.
        run_id: The identity that it must have; ``None``: any.

    Raises:
        FileNotFoundError: There is no record.
        RecordError: It is damaged, was edited, or is not that of ``run_id``.
    """
    path = Path(folder) / RECORD
    try:
        content = read_sealed(path)
        record = Record.model_validate(content)
    except ValidationError as error:
        raise RecordError(f"{path}: {'; '.join(describe_errors(error))}; {_REMEDY}") from None
    except ValueError as error:
        raise RecordError(f"{error}; {_REMEDY}") from None
    if record.code is not None and (found := _identity_of(record, record.code, content)) != record.identity:
        raise RecordError(
            f"{path}: its configuration, data and code have the identity {found and found.run_id}, "
            f"it says {record.run_id}; {_REMEDY}"
        )
    if run_id is not None and record.run_id != run_id:
        raise RecordError(f"{path} is the record of run {record.run_id}, expected {run_id}")
    return record


_REMEDY = "restore the file, or delete it and run the study again: it trains nothing twice"


def _identity_of(record: Record, code: Code, content: dict[str, Any]) -> Identity | None:
    """The identity that belongs to a record's ``content``: JSON values, perhaps those of another version."""
    upscaler = None if record.complexity else record.identity.training
    try:
        return stored_identity(content["config"], record.data, code, upscaler)
    except KeyError:  # a use of data is missing
        return None
