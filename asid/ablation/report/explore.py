"""What the page lets a reader explore: every training as a point, and samples of images. The data, not the drawing."""

import base64
import math
from collections.abc import Sequence
from typing import Any

from asid.ablation.report.results import StudyResults
from asid.ablation.report.samples import Sample
from asid.ablation.statistics.records import StoredRecord
from asid.files import NOTEBOOK
from asid.plots import style


def explorable(results: StudyResults, samples: Sequence[Sample]) -> dict[str, Any]:
    """The content of the page's script, as JSON can hold it: numbers that are not finite are null.

    ``variants``: name, change, role, colour, parameters, macs (G) and latency (ms an image); ``lines``: PSNR of the
    references without a cost, by evaluation set; ``runs``: variant, seed, folder, scores by evaluation set, and the
    validation curve as [step, PSNR]; ``samples``: PNG images, in base64.
    """
    return {
        "base": results.plan.base,
        "output": list(results.output_size),
        "sets": results.sets,
        "variants": _variants(results),
        "lines": _lines(results),
        "runs": [_run(results, stored) for stored in results.runs],
        "samples": [
            {
                "image": sample.image,
                "data": sample.data,
                "change": sample.change,
                "whole": sample.is_whole,
                "crops": [
                    {"name": crop.name, "psnr": _finite(crop.psnr), "png": base64.b64encode(crop.png).decode()}
                    for crop in sample.crops
                ],
            }
            for sample in samples
        ],
    }


def _variants(results: StudyResults) -> list[dict[str, Any]]:
    colours = style.colours(results.variants)
    latency = results.timings.groupby("variant")["latency"].median()
    costs = results.table.drop_duplicates("variant").set_index("variant")
    variants = []
    for name in [*results.variants, *results.trained_references]:
        cost: Any = costs.loc[name]
        variants.append(
            {
                "name": name,
                "change": cost["change"],
                "control": results.plan.matched.get(name),
                "colour": "#" + "".join(f"{round(255 * part):02x}" for part in colours[name])
                if name in colours
                else None,
                "parameters": int(cost["parameters"]),
                "macs": float(cost["macs"]),
                "latency": _finite(latency.get(name)),
            }
        )
    return variants


def _lines(results: StudyResults) -> dict[str, dict[str, float | None]]:
    rows = results.table[results.table["parameters"].isna()]
    return {
        data: {row["variant"]: _finite(row["psnr"]) for row in rows[rows["data"] == data].to_dict("records")}
        for data in results.sets
    }


def _run(results: StudyResults, stored: StoredRecord) -> dict[str, Any]:
    record, folder = stored.record, results.relative(stored.folder)
    means = record.score_table.groupby("data", sort=False).mean(numeric_only=True)
    scores = {str(data): {str(name): _finite(value) for name, value in row.items()} for data, row in means.iterrows()}
    return {
        "variant": record.variant,
        "seed": record.config.seed,
        "steps": record.config.train.steps,
        "folder": folder,
        "notebook": (stored.folder / NOTEBOOK).is_file(),
        "seconds": _finite(record.total_seconds("train")),
        "scores": scores,
        "curve": [[row["step"], row["psnr"]] for row in record.history if row["psnr"] is not None],
    }


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)
