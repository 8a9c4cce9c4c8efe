"""Reuse: a study takes over what another one has trained and scored, instead of repeating it. No torch in here."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asid.config import RunConfig
from asid.files import (
    CHECKPOINT,
    CHECKPOINTS,
    CONFIG,
    HISTORY,
    IMAGES,
    RECORD,
    WEIGHTS,
    content_hash,
    read_json,
    write_json,
)
from asid.runs.identity import Identity, data_manifests, run_identity, set_name
from asid.runs.lock import exclusive
from asid.runs.record import Record, bind_files, read_record, write_record


@dataclass(frozen=True)
class Trained:
    """A finished run. Another run with the same training can take it over."""

    folder: Path
    record: Record

    @property
    def study(self) -> str:
        """The study that trained it."""
        return self.record.origin or self.record.study

    def evaluations(self, identity: Identity) -> list[str]:
        """The names of the evaluation sets of ``identity`` of which it has the scores."""
        mine = self.record.identity.evaluations
        return [name for name, evaluation in identity.evaluations.items() if mine.get(name) == evaluation]

    def is_complete(self, identity: Identity) -> bool:
        """Whether it has everything that a run with ``identity`` must measure."""
        return self.record.identity.training == identity.training and len(self.evaluations(identity)) == len(
            identity.evaluations
        )


def run_folder(study_folder: str | Path, variant: str, seed: int, identity: Identity) -> Path:
    """The folder of a run: a training that changes gets another one, an evaluation that is added does not."""
    return Path(study_folder) / "runs" / f"{variant}-seed{seed}-{identity.training}"


def find_trained(results: str | Path, identity: Identity) -> Trained | None:
    """A finished run with the training of ``identity``, in any study in the folder ``results``.

    Of several, the one with the most evaluations of ``identity``; of these, the first by name. It may be in the
    folder of the run itself, or in another folder of its study if a variant was renamed.
    """
    candidates = []
    for folder in sorted(Path(results).glob(f"*/runs/*-{identity.training}")):
        with suppress(FileNotFoundError, ValueError):
            record = read_record(folder)
            if record.identity.training == identity.training and has_its_weights(folder, record):
                candidates.append(Trained(folder, record))
    return max(candidates, key=lambda trained: len(trained.evaluations(identity)), default=None)


def has_its_weights(folder: Path, record: Record) -> bool:
    """Whether the weights in ``folder`` exist, also those of parts of the training, and are those of ``record``.

    A record of format 3 does not say which they were.
    """
    networks = {WEIGHTS, *(name for name in record.files if name.startswith(f"{CHECKPOINTS}/"))}
    return all(
        (folder / name).is_file() and record.files.get(name) in (None, content_hash(folder / name)) for name in networks
    )


def take_over(source: Trained, folder: str | Path, *, study: str, variant: str, config: RunConfig) -> Record:
    """Fill the folder of a run from a finished run with the same training, as if it had been trained there.

    Takes over the weights, the curves, and of those evaluation sets that were evaluated in the same way the SR images
    and scores. Weights and images are hard links if the file system has them, else copies; nothing refers to the other
    folder. The record comes last. It is complete if :meth:`Trained.is_complete`; otherwise
    :func:`asid.runs.run.train_and_score` in ``folder`` scores what is missing.

    Args:
        source: The finished run, from :func:`find_trained`. If it is in ``folder`` itself, only the record is written
            again.
        folder: Folder of the run, see :func:`run_folder`.
        study: Study of the run.
        variant: Name of its variant.
        config: Configuration of the run.

    Returns:
        The record in ``folder``; its ``origin`` is the study that trained.

    Raises:
        ValueError: Another process is working in ``folder``.
        ImageError: Images are missing.
        OSError: The folder cannot be written to.
    """
    folder, before = Path(folder), source.record
    manifests = data_manifests(config)
    kept = source.evaluations(run_identity(config, manifests))
    with exclusive(folder):
        if source.folder.resolve() != folder.resolve():
            (folder / RECORD).unlink(missing_ok=True)
            write_json(folder / CONFIG, {**read_json(source.folder / CONFIG), **config.to_dict()})
            shutil.copyfile(source.folder / HISTORY, folder / HISTORY)
            for name in kept:
                shutil.rmtree(folder / IMAGES / name, ignore_errors=True)
                for image in sorted((source.folder / IMAGES / name).glob("*")):
                    _link(image, folder / IMAGES / name / image.name)
            _link(source.folder / WEIGHTS, folder / WEIGHTS)
            for part in sorted((source.folder / CHECKPOINTS).glob("*")):
                _link(part, folder / CHECKPOINTS / part.name)
            (folder / CHECKPOINT).unlink(missing_ok=True)
        sources = [data for data in config.evaluate.data if set_name(data) in kept]
        named = {"study": study, "variant": variant, "origin": source.study if source.study != study else None}
        if not kept:  # a record has scores: those of the other run stand there until this one has its own
            record = bind_files(before.override(**named), folder)
            write_record(record, folder)
            return record
        record = Record.model_validate(
            {
                **before.to_dict(),
                **named,
                "identity": {
                    "training": before.identity.training,
                    "evaluations": {name: before.identity.evaluations[name] for name in kept},
                },
                "config": config.override(evaluate={**config.evaluate.to_dict(), "data": sources}).to_dict(),
                "data": {
                    use: manifest
                    for use, manifest in manifests.items()
                    if not use.startswith("evaluate ") or manifest["source"] in sources
                },
                "scores": [row for name in kept for row in before.scores if row["data"] == name],
                "seconds": {
                    name: value for name, value in before.seconds.items() if name == "train" or _set_of(name) in kept
                },
                "later": {name: made for name, made in before.later.items() if name in kept},
            }
        )
        record = bind_files(record, folder)
        write_record(record, folder)
    return record


def _set_of(measure: str) -> str:
    """Of ``evaluate Set5`` in the seconds of a record: ``Set5``."""
    return measure.partition(" ")[2]


def _link(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
