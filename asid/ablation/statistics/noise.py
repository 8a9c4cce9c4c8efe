"""How changes vary from seed to seed, by the finished studies of a base. Free of torch."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asid.ablation.statistics.paired import paired_differences
from asid.ablation.statistics.records import StoredRecord
from asid.ablation.statistics.scores import score_arrays, score_table
from asid.ablation.study.plan import read_plan
from asid.config import RunConfig, digest
from asid.files import STUDY
from asid.runs.record import RecordError, read_record


@dataclass(frozen=True)
class Spread:
    """The changes of one variant against the base in one study."""

    study: str
    variant: str
    """Identity of its configuration, see :func:`configuration_key`."""
    squares: float
    """Sum of squared deviations from their mean, in dB²: the mean over evaluation sets, which share their seeds."""
    df: int
    """Seeds less one, on however many sets they were scored."""


@dataclass(frozen=True)
class Noise:
    """How changes against a base vary from seed to seed in finished studies."""

    spreads: tuple[Spread, ...]

    @cached_property
    def studies(self) -> list[str]:
        """Names of the studies."""
        return sorted({spread.study for spread in self.spreads})

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return sum(spread.df for spread in self.spreads)

    def of(self, variant: str) -> float:
        """Standard deviation, in dB, of the change of a variant; that of all where it was not run; NaN of nothing.

        Pooled: the root of the mean over studies of the variance, itself a mean over evaluation sets, weighted by
        degrees of freedom.
        """
        own = [spread for spread in self.spreads if spread.variant == variant] or self.spreads
        df = sum(spread.df for spread in own)
        return math.sqrt(sum(spread.squares for spread in own) / df) if df else math.nan


def configuration_key(config: RunConfig) -> str:
    """The same for two runs of one variant with different seeds, however they are evaluated."""
    return digest(config.override(seed=0).training_settings())


def find_noise(results: Path, base: RunConfig) -> Noise:
    """The noise of the finished runs in the studies of a results folder that have this ``base``.

    A training that several studies have, since they took it over, counts once for each evaluation set.
    """
    spreads: list[Spread] = []
    seen: set[tuple[str, str]] = set()
    for file in sorted(results.glob(f"*/{STUDY}")):
        try:
            spreads += _spreads(file.parent, configuration_key(base), seen)
        except (ValueError, OSError):  # a damaged study tells nothing
            continue
    return Noise(tuple(spreads))


def _spreads(folder: Path, base: str, seen: set[tuple[str, str]]) -> list[Spread]:
    """The spreads of one study, without the trainings and sets in ``seen``, to which its own are added."""
    plan = read_plan(folder)
    keys = {run.variant: configuration_key(run.config) for run in plan.runs}
    if keys.get(plan.base) != base:
        return []
    records = []
    for run in plan.runs:
        try:
            records.append(StoredRecord(run.folder, read_record(run.folder, run.run_id)))
        except (FileNotFoundError, RecordError):
            continue
    variances: dict[str, list[float]] = {}
    df: dict[str, int] = {}
    trainings = {(run.variant, run.seed): run.identity.training for run in plan.runs}
    seeds = sorted({run.seed for run in plan.runs})
    for data, scores in score_arrays(score_table(records), list(plan.variants), seeds).items():
        psnr = scores.psnr[:, :, ~np.isposinf(scores.psnr).any(axis=(0, 1))]
        of_base = psnr[scores.variants.index(plan.base)]
        for name, of_variant in zip(scores.variants, psnr, strict=True):
            own = [(trainings.get((name, seed), ""), data) for seed in seeds]
            new = np.array([key not in seen for key in own])
            means = paired_differences(of_variant[new], of_base[new]).mean(axis=1) if psnr.size else np.empty(0)
            if name != plan.base and len(means) > 1:
                variances.setdefault(name, []).append(float(means.var(ddof=1)))
                df[name] = max(df.get(name, 0), len(means) - 1)
                paired = ~np.isnan(of_variant - of_base).all(axis=1)
                seen.update(key for key, used in zip(own, paired, strict=True) if used)
    return [
        Spread(plan.study.full_name, keys[name], df[name] * float(np.mean(of_sets)), df[name])
        for name, of_sets in variances.items()
    ]
