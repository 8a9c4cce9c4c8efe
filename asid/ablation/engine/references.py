"""The references of a study that need no training: scored once, before its runs."""

from collections.abc import Callable
from pathlib import Path

from asid.ablation.study.plan import Plan
from asid.ablation.study.references import TRAINED, Reference
from asid.config import RunConfig, digest
from asid.data.images import RGBImage
from asid.files import IMAGES
from asid.runs.identity import Identity, current_code, data_manifests, reference_identity
from asid.runs.record import Record, RecordError, bind_files, provenance, read_record, to_rows, write_record
from asid.training.manifests import Manifests


def missing_references(plan: Plan, output: Path) -> dict[Reference, Identity]:
    """The references without training that have no record yet for the base's evaluation sets."""
    config = plan.runs[0].config
    manifests = data_manifests(config)
    missing = {}
    for name in (name for name in plan.references if name not in TRAINED):
        identity = _reference_identity(name, config, manifests)
        try:
            read_record(_folder(output, name), identity.run_id)
        except (FileNotFoundError, RecordError):
            missing[name] = identity
    return missing


def score_references(plan: Plan, output: Path) -> None:
    """Score what needs no training on the base's evaluation sets, unless it has been scored before."""
    config = plan.runs[0].config
    manifests = data_manifests(config)
    for name, identity in missing_references(plan, output).items():
        from asid.evaluation.evaluate import evaluate  # torch takes seconds

        folder, scale = _folder(output, name), config.model.scale
        scores = evaluate(_reference_upscaler(name, config), scale, config.evaluate, save_to=folder / IMAGES).scores
        record = Record(
            study=plan.name,
            variant=name,
            identity=identity,
            code=current_code(),
            config=config,
            protocol=config.evaluate.protocol,
            data={use: manifests[use] for use in _data_of(name, manifests)},
            complexity=None,
            scores=to_rows(scores),
            history=[],
            seconds={},
            provenance=provenance(),
        )
        write_record(bind_files(record, folder), folder)


def _reference_upscaler(name: Reference, config: RunConfig) -> Callable[[RGBImage], RGBImage]:
    from asid.evaluation.evaluate import bicubic_upscaler, linear_upscaler

    scale = config.model.scale
    if name == "linear":
        return linear_upscaler(config.data, scale, config.evaluate)
    return bicubic_upscaler(scale, config.evaluate)


def _reference_identity(name: Reference, config: RunConfig, manifests: Manifests) -> Identity:
    """The identity of a reference. Its filters, if it is fitted, depend on the photographs and on their LR images."""
    upscaler: str = name
    if name == "linear":
        upscaler += f"-{digest({'images': manifests['train']['manifest'], 'border': config.data.border})}"
    return reference_identity(config, manifests, upscaler)


def _data_of(name: Reference, manifests: Manifests) -> list[str]:
    """The uses of data that the scores of a reference depend on."""
    return [use for use in manifests if use.startswith("evaluate") or (use == "train" and name == "linear")]


def _folder(output: Path, name: Reference) -> Path:
    return output / "references" / name
