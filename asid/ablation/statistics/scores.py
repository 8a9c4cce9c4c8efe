"""Scores as arrays with named axes, and their changes against the base: pure functions of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asid.ablation.statistics import paired
from asid.ablation.statistics.factorial import Interaction, excess
from asid.ablation.statistics.records import StoredRecord

LEVEL = 0.95
"""Nominal coverage of every interval; verdicts err with probability 1 - LEVEL."""


_SECOND_SCORES = ("psnr_uniform_maps", "psnr_in_tiles")


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

    images: list[str]
    left_out: list[str]
    """Images that some run restored without error: their PSNR is infinite, so they have no mean."""
    seeds: list[int]
    base_seeds: int
    """Number of seeds the base has a record for."""
    noise: float
    """Standard deviation of the base from seed to seed, in dB; NaN with one seed."""
    comparisons: dict[str, paired.Comparison]
    """For each variant that shares a seed with the base."""
    interactions: dict[str, paired.Comparison]
    """For each pair of changes that were also made together: what they change beyond the sum of the two."""
    references: dict[str, paired.Difference]
    """For each trained reference that shares a seed with the base: a difference without a test."""
    family: int
    """Number of comparisons, over all evaluation sets, that could be tested; p-values are adjusted for them, and in a
    study with looks also for those that are still to come."""


def score_table(records: Sequence[StoredRecord]) -> pd.DataFrame:
    """One row for each variant, seed and image.

    Columns: variant, seed, data, image, psnr (dB), ssim, psnr_uniform_maps (dB), the PSNR with uniform attention maps,
    and psnr_in_tiles (dB), that of ``evaluate.also_tile``; the last two are NaN where they were not measured. The last
    one is left out where nothing was scored in tiles.
    """
    columns = ["variant", "seed", "data", "image", "psnr", "ssim", *_SECOND_SCORES]
    rows = [
        {"variant": record.variant, "seed": record.config.seed, **score}
        for record in (stored.record for stored in records)
        for score in record.scores
    ]
    table = pd.DataFrame(rows, columns=columns)
    table = table.astype(dict.fromkeys(_SECOND_SCORES, float))
    return table.drop(columns="psnr_in_tiles") if table["psnr_in_tiles"].isna().all() else table


def score_arrays(scores: pd.DataFrame, variants: Sequence[str], seeds: Sequence[int]) -> dict[str, Scores]:
    """Arrange the PSNR of some variants by evaluation set.

    Args:
        scores: Columns variant, seed, data, image, psnr (dB).
        variants: First axis of the arrays.
        seeds: Second axis of the arrays.
    """
    positions = [
        pd.Index(variants).get_indexer(pd.Index(scores["variant"])),
        pd.Index(seeds).get_indexer(pd.Index(scores["seed"])),
    ]
    known = np.logical_and(*(position >= 0 for position in positions))
    arrays = {}
    for data in scores["data"].unique():
        rows = np.flatnonzero(scores["data"] == data)
        images = scores["image"].iloc[rows]
        names = list(dict.fromkeys(images))
        psnr = np.full((len(variants), len(seeds), len(names)), np.nan)
        cells = (*(position[rows] for position in positions), pd.Index(names).get_indexer(pd.Index(images)))
        shown = known[rows]
        psnr[tuple(cell[shown] for cell in cells)] = scores["psnr"].to_numpy(dtype=np.float64)[rows][shown]
        arrays[str(data)] = Scores(list(variants), list(seeds), names, psnr)
    return arrays


def compare_with_base(
    sets: Mapping[str, Scores],
    base: str,
    margin: float,
    references: Mapping[str, Scores],
    looked: Mapping[str, Mapping[str, paired.Comparison]] | None = None,
    interactions: Mapping[str, Interaction] | None = None,
) -> dict[str, Statistics]:
    """Compare every variant with the base on every evaluation set: one family of tests.

    Args:
        sets: PSNR of all variants on each set.
        base: Name of the base.
        margin: Change in dB below which two variants count as equivalent.
        references: On each set, PSNR of the base, first, and of the trained references: they change nothing about the
            variants; empty if there are none.
        looked: In a study with looks, what they found on each set; then nothing else is tested.
        interactions: The interactions to test in the same family.

    Returns:
        Those of each set on which the base has a record, and an image is left to compare.
    """
    perfect = {data: np.isposinf(scores.psnr).any(axis=(0, 1)) for data, scores in sets.items()}
    compared = {
        data: scores
        for data, scores in sets.items()
        if base in scores.variants
        and not perfect[data].all()
        and not np.isnan(scores.psnr[scores.variants.index(base)]).all()
    }
    psnr = {data: scores.psnr[:, :, ~perfect[data]] for data, scores in compared.items()}
    index = next((scores.variants.index(base) for scores in compared.values()), 0)
    if looked is None:
        extended = {
            data: _with_interactions(scores.variants, psnr[data], base, interactions or {})
            for data, scores in compared.items()
        }
        found = paired.compare([rows for _, rows in extended.values()], index, margin, LEVEL)
        comparisons = {
            data: {name: result for name, result in zip(names, of_set, strict=True) if result}
            for (data, (names, _)), of_set in zip(extended.items(), found, strict=True)
        }
    else:
        comparisons = {data: dict(looked[data]) for data in compared}
    tested = [result for of_set in comparisons.values() for result in of_set.values() if result.n > 1]
    return {
        data: Statistics(
            images=scores.images,
            left_out=[scores.images[image] for image in np.flatnonzero(perfect[data])],
            seeds=scores.seeds,
            base_seeds=int((~np.isnan(psnr[data][index]).all(axis=1)).sum()),
            noise=paired.noise_floor(psnr[data][index]),
            comparisons={name: r for name, r in comparisons[data].items() if name in scores.variants},
            interactions={name: r for name, r in comparisons[data].items() if name not in scores.variants},
            references=_reference_differences(references[data]) if references else {},
            family=len(tested),
        )
        for data, scores in compared.items()
    }


def _with_interactions(
    variants: Sequence[str], psnr: NDArray[np.float64], base: str, interactions: Mapping[str, Interaction]
) -> tuple[list[str], NDArray[np.float64]]:
    """Names and scores (variants, seeds, images) of the variants, followed by those of the interactions."""
    rows = dict(zip(variants, psnr, strict=True))
    known = {name: names for name, names in interactions.items() if {*names} <= {*rows}}
    beyond = [excess(rows[both], rows[first], rows[second], rows[base]) for both, first, second in known.values()]
    return [*variants, *known], np.stack([*psnr, *beyond])


def _reference_differences(scores: Scores) -> dict[str, paired.Difference]:
    """The differences of the trained references from the base, which is the first of ``scores``."""
    psnr = scores.psnr[:, :, ~np.isposinf(scores.psnr).any(axis=(0, 1))]
    results = zip(scores.variants[1:], psnr[1:], strict=True)
    pairs = {name: paired.paired_differences(reference, psnr[0]) for name, reference in results if psnr.size}
    return {name: paired.difference(changes, LEVEL) for name, changes in pairs.items() if len(changes)}


def seed_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean PSNR over the images of a set for each training. Columns: variant, data, seed, psnr (dB)."""
    return scores.groupby(["variant", "data", "seed"], sort=False)["psnr"].mean().reset_index()


def score_changes(scores: pd.DataFrame, base: str, references: Sequence[str]) -> pd.DataFrame:
    """Change of PSNR against the base, seed by seed and image by image.

    A reference, which has no seed, is compared with the base's mean over seeds.

    Args:
        scores: Columns variant, seed, data, image, psnr (dB).
        base: Name of the base.
        references: Names of the rows that were not trained.

    Returns:
        Columns variant, seed, data, image, change (dB), without the base and without what the base has no score for.
    """
    of_base = scores[scores["variant"] == base]
    untrained = scores["variant"].isin(references)
    tables = []
    for rows, keys in ((scores[~untrained], ["seed", "data", "image"]), (scores[untrained], ["data", "image"])):
        paired = rows.merge(of_base.groupby(keys)["psnr"].mean().rename("base"), left_on=keys, right_index=True)
        # Two perfect scores are equal; inf - inf would be NaN.
        change = (paired["psnr"] - paired["base"]).where(paired["psnr"] != paired["base"], 0.0)
        tables.append(paired.assign(change=change))
    changes = pd.concat(tables)[["variant", "seed", "data", "image", "change"]]
    return changes[changes["variant"] != base]
