"""A study's folder as numbers: its records, scores as arrays with named axes, and one comparison. Nothing is trained or drawn here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asid.ablation.report import stats
from asid.ablation.study.plan import Plan, read_plan
from asid.ablation.study.variants import Dropped
from asid.runs.record import Record, RecordError, read_record

LEVEL = 0.95
"""Nominal coverage of every interval; verdicts err with 1 - LEVEL."""


class ReportError(ValueError):
    """A folder that holds no study, or a study without finished runs."""


@dataclass(frozen=True)
class Study:
    """A study's folder as it stands: what was planned, which records there are, which runs have none."""

    folder: Path
    plan: Plan
    records: list[tuple[Path, Record]]
    missing: list[str]

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def question(self) -> str:
        return self.plan.question

    @property
    def base(self) -> str:
        return self.plan.base

    @property
    def margin(self) -> float:
        """Change in dB below which two variants count as equal."""
        return self.plan.margin

    @property
    def matched(self) -> dict[str, str]:
        """Controls of matched size, each with the variant that it controls."""
        return self.plan.matched

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Variants that an exclude rule took out."""
        return self.plan.dropped

    @property
    def trained(self) -> list[tuple[Path, Record]]:
        """The runs, without reference rows."""
        return [(folder, record) for folder, record in self.records if record.complexity]

    @property
    def variants(self) -> list[str]:
        """The trained variants that have a record, in the order of the plan."""
        return list(dict.fromkeys(record.variant for _, record in self.trained))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """See :func:`score_table`; not to be written to."""
        columns = ["variant", "seed", "data", "image", "psnr", "ssim"]
        tables = [
            record.score_table.assign(variant=record.variant, seed=record.config.seed)[columns]
            for _, record in self.records
        ]
        return pd.concat(tables, ignore_index=True)

    @property
    def seeds(self) -> list[int]:
        """The seeds that have a record."""
        return sorted({record.config.seed for _, record in self.trained})


def load_results(folder: str | Path) -> Study:
    """Read a study's folder.

    Raises :class:`ReportError` where it is no study's folder, no run is finished, or runs were evaluated in different ways.
    """
    folder = Path(folder)
    try:
        plan = read_plan(folder)
    except FileNotFoundError as error:
        raise ReportError(str(error)) from None
    records, missing = [], []
    for name in plan.references:
        path = folder / "references" / name
        try:
            records.append((path, read_record(path)))
        except (FileNotFoundError, RecordError):
            missing.append(name)
    for run in plan.runs:
        try:
            records.append((run.folder, read_record(run.folder, run.run_id)))
        except (FileNotFoundError, RecordError):
            missing.append(run.label)
    study = Study(folder, plan, records, missing)
    _check_comparable(study)
    if not study.trained:
        raise ReportError(f"no finished run in {folder}: run the study again; what it has done is kept")
    return study


def _check_comparable(study: Study) -> None:
    """Raise :class:`ReportError` where records were evaluated in different ways: their scores do not belong in one table."""
    if not study.records:
        return
    (first_folder, first), *others = study.records
    for folder, record in others:
        for name, mine, theirs in (
            ("scale", first.config.model.scale, record.config.model.scale),
            *((name, getattr(first.config.evaluate, name), value) for name, value in record.config.evaluate),
            ("images", _evaluated(first), _evaluated(record)),
        ):
            if mine != theirs:
                raise ReportError(
                    f"{folder} was evaluated with {name} {theirs}, {first_folder} with {mine}: "
                    "one table takes one way of evaluating; run the study again, or report the two apart"
                )


def _evaluated(record: Record) -> dict[str, str]:
    """The hashes over the HR and, where there are any, LR images of each evaluation set."""
    sets = {use.removeprefix("evaluate "): data for use, data in record.data.items() if use.startswith("evaluate ")}
    return {name: " ".join(filter(None, (data["manifest"], data.get("lr_manifest")))) for name, data in sets.items()}


# Scores


@dataclass(frozen=True)
class Scores:
    """PSNR in dB on one evaluation set, as an array with named axes."""

    variants: list[str]
    seeds: list[int]
    images: list[str]
    psnr: NDArray[np.float64]
    """(variants, seeds, images); NaN where a run has no record."""


@dataclass(frozen=True)
class Statistics:
    """What the seeds say on one evaluation set."""

    scores: Scores
    noise: float
    """Standard deviation in dB of the base from seed to seed; NaN with one seed."""
    comparisons: dict[str, stats.Comparison]
    """For each variant that has a seed in common with the base."""
    left_out: list[str]
    """Images that some run restored without an error: their PSNR is infinite, and no mean exists with it."""


def score_table(study: Study) -> pd.DataFrame:
    """All scores: one row for each variant, seed and image, with the columns variant, seed, data, image, psnr, ssim."""
    return study.scores.copy()


def score_arrays(study: Study) -> dict[str, Scores]:
    """PSNR of the trained variants for each evaluation set; one family of comparisons each."""
    arrays = {}
    for data, rows in study.scores.groupby("data", sort=False):
        variants, seeds, images = axes = study.variants, study.seeds, list(dict.fromkeys(rows["image"]))
        index = pd.MultiIndex.from_product(axes)
        psnr = rows.groupby(["variant", "seed", "image"])["psnr"].mean().reindex(index).to_numpy(dtype=np.float64)
        arrays[str(data)] = Scores(variants, seeds, images, psnr.reshape([len(axis) for axis in axes]))
    return arrays


def statistics(study: Study) -> dict[str, Statistics]:
    """The comparisons with the base on each evaluation set; none where the base has no record."""
    found = {}
    for data, scores in score_arrays(study).items():
        perfect = np.isposinf(scores.psnr).any(axis=(0, 1))
        psnr = scores.psnr[:, :, ~perfect]
        if study.base in scores.variants and psnr.size:
            base = scores.variants.index(study.base)
            compared = zip(scores.variants, stats.compare(psnr, base, study.margin, LEVEL), strict=True)
            found[data] = Statistics(
                scores=scores,
                noise=stats.noise_floor(psnr[base]),
                comparisons={variant: result for variant, result in compared if result},
                left_out=[scores.images[index] for index in np.flatnonzero(perfect)],
            )
    return found


def score_changes(study: Study) -> pd.DataFrame:
    """Change of PSNR (dB) against the base, seed by seed and image by image; a reference row against the base's mean over seeds.

    Columns: variant, seed, data, image, change. What the base has no score for is left out.
    """
    scores = study.scores
    base = scores[scores["variant"] == study.base]
    trained = scores["variant"].isin(study.variants)
    tables = []
    for rows, keys in ((scores[trained], ["seed", "data", "image"]), (scores[~trained], ["data", "image"])):
        paired = rows.merge(base.groupby(keys)["psnr"].mean().rename("base"), left_on=keys, right_index=True)
        # Two perfect scores are equal: inf - inf would be no number.
        tables.append(
            paired.assign(change=(paired["psnr"] - paired["base"]).where(paired["psnr"] != paired["base"], 0.0))
        )
    columns = ["variant", "seed", "data", "image", "change"]
    changes = pd.concat(tables)[columns]
    return changes[changes["variant"] != study.base]


# Tables

COUNTS = ("parameters", "seeds", "pairs")
COLUMNS = (
    *("variant", "change", "parameters", "macs", "macs_ptflops", "macs_fvcore", "data", "psnr", "ssim", "seeds"),
    *(
        "delta",
        "low",
        "high",
        "p_holm",
        "verdict",
        "image_low",
        "image_high",
        "p_t",
        "p_flip",
        "p_equivalent",
        "detectable",
        "pairs",
    ),
)


def comparison(study: Study) -> pd.DataFrame:
    """One row an evaluation set and variant: cost, mean scores over images and seeds, the change of PSNR against the base, and its noise.

    The columns are :data:`COLUMNS`: ``change`` in words, ``macs`` in G by torch's counter, ``psnr`` in dB, ``seeds`` that have a record;
    then, as in :class:`asid.ablation.report.stats.Comparison`, ``delta`` in dB, ``low`` and ``high`` over seeds, ``image_low`` and ``image_high``
    over images, p-values, ``detectable`` in dB, and ``pairs``, the seeds in common with the base. None depends on the machine's speed.
    """
    costs = {record.variant: record.complexity for _, record in study.trained}
    scores = study.scores
    means = scores.groupby(["variant", "data"], sort=False).agg(
        psnr=("psnr", "mean"), ssim=("ssim", "mean"), seeds=("seed", "nunique")
    )
    deltas = score_changes(study).groupby(["variant", "data"])["change"].mean()
    found = statistics(study)
    rows = []
    for row in means.reset_index().to_dict("records"):
        variant, data = row["variant"], row["data"]
        if cost := costs.get(variant):
            row["parameters"] = cost["parameters"]
            row |= {
                "macs": cost["macs_torch"] / 1e9,
                **{name: cost[name] / 1e9 for name in ("macs_ptflops", "macs_fvcore")},
            }
        else:
            row["seeds"] = None
        row["change"] = study.plan.variants.get(variant, "no training") or "–"
        row["delta"] = 0.0 if variant == study.base else deltas.get((variant, data))
        row["verdict"] = "base" if variant == study.base else None
        if data in found and (result := found[data].comparisons.get(variant)):
            row |= {
                name: getattr(result, name)
                for name in ("p_holm", "verdict", "p_t", "p_flip", "p_equivalent", "detectable")
            }
            row |= {
                "delta": result.seeds.mean,
                "low": result.seeds.low,
                "high": result.seeds.high,
                "pairs": result.seeds.n,
            }
            row |= {"image_low": result.images.low, "image_high": result.images.high}
        rows.append(row)
    sets = list(dict.fromkeys(scores["data"]))
    rows.sort(key=lambda row: sets.index(row["data"]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    words = ("variant", "change", "data", "verdict")
    return table.astype({name: "Int64" if name in COUNTS else float for name in COLUMNS if name not in words})


def timings(study: Study) -> pd.DataFrame:
    """One row a run: seconds of training and evaluation, milliseconds in the network for one image, and the machine. Varies with its load.

    Columns: variant, seed, train, evaluate, upscale (s; the last: in the network over all evaluation images), latency (ms, upscale for
    one image), machine, cpus, threads, finished, commit. What a record does not have is missing.
    """
    rows = []
    for _, record in study.trained:
        upscale = record.seconds.get("upscale")
        rows.append(
            {
                "variant": record.variant,
                "seed": record.config.seed,
                **{name: record.seconds.get(name) for name in ("train", "evaluate", "upscale")},
                "latency": 1000 * upscale / len(record.scores) if upscale is not None else None,
                **{name: record.provenance.get(name) for name in ("machine", "cpus", "threads", "finished", "commit")},
            }
        )
    return pd.DataFrame(rows)
