"""A study's folder with hand-written records and a known correct report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asid.ablation.study.plan import Plan, PlannedRun, write_plan
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.data.images import write_image
from asid.files import write_sealed
from asid.runs.identity import Identity, data_manifests
from asid.runs.record import Record, write_record

Psnr = dict[str, dict[int, dict[str, float]]]
"""PSNR in dB by variant, seed and image."""

PSNR: Psnr = {  # means: 30.0, 30.75 and 29.5
    "base": {0: {"ant": 29.0, "bee": 30.0}, 1: {"ant": 30.0, "bee": 31.0}},
    "no_sharing": {0: {"ant": 30.0, "bee": 30.5}, 1: {"ant": 31.0, "bee": 31.5}},
    "100%-meso": {0: {"ant": 28.0, "bee": 29.0}, 1: {"ant": 30.0, "bee": 31.0}},
}
SSIM = {"base": 0.9, "no_sharing": 0.91, "100%-meso": 0.89}
CHANGES = {"base": "", "no_sharing": "attention sharing: none", "100%-meso": "spatial windows: meso + meso"}
PARAMETERS = {"base": 56164, "no_sharing": 60964, "100%-meso": 1056164}
PROTOCOL = "psnr-y/ssim-y crop=scale"
BICUBIC = {"ant": 27.0, "bee": 28.0}
LINEAR = {"ant": 28.5, "bee": 29.0}
REFERENCES = {"bicubic": BICUBIC, "linear": LINEAR}
QUESTION = "What does 50 % of_that do & why?"
FINISHED = "2030-01-02T03:04:05+00:00"


def edit_file(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a record or a plan, as if it had been written so."""
    content = json.loads(path.read_text())
    del content["digest"]
    change(content)
    write_sealed(path, content)


def seeded(changes: dict[str, list[float]]) -> Psnr:
    """PSNR of a base, and of variants by their change against it, seed by seed."""
    noise = [0.01, -0.02, 0.03, 0.0, -0.01, 0.02, 0.04]
    count = len(next(iter(changes.values())))
    psnr: Psnr = {"base": {seed: {"ant": 30 + noise[seed], "bee": 31 + noise[seed]} for seed in range(count)}}
    for name, values in changes.items():
        psnr[name] = {
            seed: {image: p + values[seed] for image, p in psnr["base"][seed].items()} for seed in range(count)
        }
    return psnr


def make_study(
    folder: Path,
    psnr: Psnr | None = None,
    *,
    missing: tuple[tuple[str, int], ...] = (),
    seeds: tuple[int, ...] | None = None,
    sets: tuple[str, ...] = ("set_5",),
    seconds: dict[str, float] | None = None,
    references: tuple[str, ...] = ("bicubic",),
    map_use: dict[str, float] | None = None,
    plain_cnn: dict[int, dict[str, float]] | None = None,
    more: Callable[[str, int, float], dict[str, Any]] | None = None,
    config: dict[str, dict[str, Any]] | None = None,
    **plan: Any,
) -> Path:
    """Write a study's folder, with its photographs beside it.

    Args:
        folder: Parent of the study and of its photographs.
        psnr: PSNR by variant, seed and image.
        missing: Runs without a record: variant and seed.
        seeds: The seeds, instead of those of ``psnr``.
        sets: Names of the evaluation sets.
        seconds: The times in every record.
        references: The reference rows.
        map_use: PSNR in dB lost with uniform attention maps, by the name of the evaluation set; without it, records do
            not have this score.
        plain_cnn: PSNR of the reference plain-cnn by seed and image; without it the study does not have it.
        more: Further scores of an image, by variant, seed and PSNR.
        config: Further fields of the configuration of each run, by section.
        plan: Fields of the plan, or of the study in it; ``factors`` are names.

    Returns:
        The study's folder.
    """
    psnr = psnr or PSNR
    random = np.random.default_rng(0)
    photographs = [folder / name for name in sets]
    for source in photographs:
        for name in BICUBIC:
            write_image(source / f"{name}.png", random.integers(0, 256, (80, 96, 3), dtype=np.uint8))
    study, runs = folder / "results", []
    trained_references = {"plain-cnn": plain_cnn} if plain_cnn else {}
    for variant, trainings in {**psnr, **trained_references}.items():
        for seed in trainings if variant in trained_references else seeds or trainings:
            run_id = f"{variant}-{seed}"
            path = study / "runs" / run_id
            if (variant, seed) not in missing:
                _write_run(
                    path,
                    photographs,
                    variant,
                    run_id,
                    trainings[seed],
                    seed,
                    True,
                    seconds or {},
                    map_use or {},
                    more,
                    config,
                )
            runs.append(
                PlannedRun(
                    study="hand-written",
                    variant=variant,
                    seed=seed,
                    identity=Identity(training=run_id, evaluations={}),
                    config=_run_config(photographs, variant, seed, config),
                    data={},
                    source="",
                    folder=path,
                )
            )
    for name in references:
        path = study / "references" / name
        _write_run(path, photographs, name, name, REFERENCES[name], 0, False, {}, {}, config=config)
    written = {name: plan.pop(name) for name in {*plan} & {*StudyConfig.model_fields}}
    factors = {name: [0] for name in written.pop("factors", [])}
    content: dict[str, Any] = {
        "study": {
            "name": "hand-written",
            "question": QUESTION,
            "preset": "asid-tiny",
            "factors": factors,
            "references": (*references, *trained_references),
            **written,
        },
        "notebook": folder / "run.ipynb",
        "variants": {name: CHANGES.get(name, f"change {name}") for name in psnr},
        "levels": {},
        "matched": {},
        "dropped": [],
        "runs": runs,
        **plan,
    }
    write_plan(Plan.model_validate(content), study)
    return study


def _run_config(
    photographs: list[Path], variant: str, seed: int, more: dict[str, dict[str, Any]] | None = None
) -> RunConfig:
    sources = list(map(str, photographs))
    sections: dict[str, dict[str, Any]] = {
        "model": {"network": "plain-cnn"} if variant == "plain-cnn" else {},
        "data": {"train": sources[0], "validation": sources[0]},
        "train": {"steps": 70},
        "evaluate": {"data": sources},
    }
    sections = {name: {**fields, **(more or {}).get(name, {})} for name, fields in sections.items()}
    return RunConfig.model_validate({**sections, "seed": seed})


def _write_run(
    folder: Path,
    photographs: list[Path],
    variant: str,
    run_id: str,
    psnr: dict[str, float],
    seed: int,
    trained: bool,
    seconds: dict[str, float],
    map_use: dict[str, float],
    more: Callable[[str, int, float], dict[str, Any]] | None = None,
    config: dict[str, dict[str, Any]] | None = None,
) -> None:
    run = _run_config(photographs, variant, seed, config)
    parameters = PARAMETERS.get(variant, 50000 + 1000 * len(variant))
    macs = parameters * 10**5
    complexity = {
        "parameters": parameters,
        "macs_torch": macs,
        "macs_ptflops": 2 * macs,
        "macs_fvcore": 3 * macs,
        "output": [1280, 720],
    }
    history = [
        {"step": step, "loss": 1 / step, "learning_rate": 0.01, "psnr": 20.0 + step / 10, "seconds": 1.0}
        for step in (10, 40, 70)
    ]
    record = Record(
        study="hand-written",
        variant=variant,
        identity=Identity(training=run_id, evaluations={}),
        config=run,
        protocol=PROTOCOL,
        data=data_manifests(run),
        complexity=complexity if trained else None,
        scores=[
            {"data": source.name, "image": image, "psnr": value, "ssim": SSIM.get(variant, 0.8)}
            | ({"psnr_uniform_maps": value - map_use[source.name]} if source.name in map_use else {})
            | (more(variant, seed, value) if more else {})
            for source in photographs
            for image, value in psnr.items()
        ],
        history=history if trained else [],
        seconds=seconds,
        provenance={
            "commit": "0123456789ab",
            "asid": "0.1.0",
            "torch": "2.6.0",
            "machine": "Amiga 68k",
            "cpus": 77,
            "finished": FINISHED,
        },
    )
    write_record(record, folder)
    for source in photographs:
        for name in psnr:
            write_image(folder / "images" / source.name / f"{name}.png", np.full((80, 96, 3), 100 + seed, np.uint8))
