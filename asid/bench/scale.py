"""Sections about scale: an output of 4K by tiles, reports of a thousand records, studies of hundreds of runs."""

import tempfile
from pathlib import Path

import numpy as np

from asid.ablation.study.plan import Plan, PlannedRun, read_plan, write_plan
from asid.bench.child import Cost, run_work, summarise
from asid.bench.setting import CHECKOUT, Setting
from asid.bench.timing import Row, exponent
from asid.config import digest
from asid.runs.identity import Identity
from asid.runs.record import Record, read_record, write_record
from asid.runs.reuse import run_folder

_REFERENCE = CHECKOUT / "results" / "reference" / "quick"
"""A study whose records are copied."""
_SEEDS = 10


def measure_tiles(setting: Setting) -> list[Row]:
    """Upscaling by tiles to outputs of growing size, in processes of their own."""
    network, tile = "asid-tiny" if setting.quick else "asid", 256
    sizes = [(640, 360), (1920, 1080)]
    rows = []
    for width, height in sizes:
        cost = run_work("upscale", {"preset": network, "scale": 2, "height": height, "width": width, "tile": tile})
        work: Row = {"network": f"{network} ×2", "tile": tile, "output": f"{2 * width}×{2 * height}"}
        rows.append(work | {"s": cost.seconds, "peak MB": cost.peak_mb})
    return rows


def measure_reports(setting: Setting) -> list[Row]:
    """Reports of growing numbers of records, copied from a study with other seeds, variants and scores.

    No rows outside a checkout.
    """
    if not _REFERENCE.is_dir():
        return []
    costs = {}
    for number in (100, 1000) if setting.quick else (100, 300, 1000):
        with tempfile.TemporaryDirectory() as name:
            write_records(Path(name), number)
            costs[number] = run_work("report", {"folder": name})
    return _growing("records in a report", costs)


def write_records(folder: Path, number: int) -> None:
    """Write a study with ``number`` records, ten seeds of each variant, into ``folder``."""
    plan = read_plan(_REFERENCE)
    template = read_record(next(run.folder for run in plan.runs if run.variant == plan.base))
    random = np.random.default_rng(0)
    runs = []
    for index in range(number):
        variant = f"variant{index // _SEEDS}" if index >= _SEEDS else plan.base
        record = _changed(template, variant, index % _SEEDS, float(random.normal(0, 0.05)))
        path = run_folder(folder, variant, record.config.seed, record.identity)
        write_record(record, path)
        runs.append(
            PlannedRun(
                study=record.study,
                variant=variant,
                seed=record.config.seed,
                identity=record.identity,
                config=record.config,
                data={use: manifest["manifest"] for use, manifest in record.data.items()},
                source=plan.runs[0].source,
                folder=path,
            )
        )
    names = dict.fromkeys(run.variant for run in runs)
    rates = {name: 0.001 + 0.00001 * index for index, name in enumerate(names)}
    study = plan.study.override(
        variants={name: {} if name == plan.base else {"train": {"learning_rate": rates[name]}} for name in names},
        seeds=list(range(_SEEDS)),
        references=[],
    )
    changes = {name: "" if name == plan.base else f"learning rate: {rates[name]:g}" for name in names}
    many = {"study": study, "variants": changes, "runs": tuple(runs)}
    write_plan(Plan.model_validate({**dict(plan), **many}), folder)


def _changed(record: Record, variant: str, seed: int, shift: float) -> Record:
    identity = Identity(training=digest([variant, seed]), evaluations=record.identity.evaluations)
    scores = [{**score, "psnr": score["psnr"] + shift} for score in record.scores]
    config = record.config.model_copy(update={"seed": seed})
    # Without the hashes of the code, from which its identity would be computed: this one is made up.
    changes = {"variant": variant, "identity": identity, "config": config, "scores": scores, "code": None}
    return record.model_copy(update=changes)


def measure_studies(setting: Setting) -> list[Row]:
    """The plan of growing studies, and their state before the first run."""
    rows = []
    plans, states, costs = {}, {}, {}
    for number in (50, 500) if setting.quick else (50, 150, 500):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            study = folder / "study.yaml"
            study.write_text(_study(number // _SEEDS))
            where = {"study": str(study), "folder": str(folder / "results")}
            plans[number] = run_work("plan", where)
            states[number] = run_work("status", {"folder": where["folder"]})
            if not setting.quick:
                costs[number] = run_work("cost", where)
    rows += _growing("runs in the plan of a study", plans) + _growing("runs in its status", states)
    return rows + (_growing("runs in its cost: asid ablate plan", costs) if costs else [])


def _study(variants: int) -> str:
    rates = [0.001 + 0.00001 * index for index in range(variants)]
    base = "{data: {patch_size: 16}, train: {steps: 100, batch_size: 2}}"
    return (
        f"name: many\nquestion: How does a study grow?\npreset: asid-tiny\nbase: {base}\n"
        f"zip: {{train.learning_rate: {rates}}}\nseeds: {list(range(_SEEDS))}\n"
    )


def _growing(what: str, costs: dict[int, Cost]) -> list[Row]:
    rows = [{"what": what, "number": number} | summarise([cost]) for number, cost in costs.items()]
    for row in rows:  # one measurement has no quartiles
        del row["s low"], row["s high"]
    rows[-1]["exponent of CPU s"] = exponent(list(costs), [cost.cpu for cost in costs.values()])
    return rows
