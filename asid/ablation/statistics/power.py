"""What a study can find with its seeds, and how many seeds a change needs. Free of torch.

A change is found where its test rejects with the right sign. The level is that of Holm's first step, alpha by the
number of comparisons: it holds where nothing else is found, and is never higher than what Holm's adjustment asks. The
noise, the standard deviation of a change from seed to seed, is taken for known.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from asid.ablation.statistics.factorial import find_interactions
from asid.ablation.statistics.noise import Noise, configuration_key
from asid.ablation.statistics.paired import detectable_shift
from asid.ablation.statistics.sequential import look_level
from asid.ablation.study.expand import Study
from asid.ablation.study.until import Until

POWER = 0.8
MOST_SEEDS = 1000
_PATHS = 20_000
"""Simulated variants for the power over looks: its standard error is at most 0.4 %."""


@dataclass(frozen=True)
class Design:
    """How the changes of a study are tested."""

    comparisons: int
    """Variants, and without looks interactions, times evaluation sets: the family that p-values are adjusted for."""
    seeds: int
    """Seeds of each variant; with looks, at most."""
    until: Until | None = None
    alpha: float = 0.05
    margin: float = 0.05
    """Half the width of the band of equivalence, in dB: with looks, a variant may be equivalent before it is better."""

    def power(self, change: float, noise: float) -> float:
        """The probability of finding a change.

        Args:
            change: True mean change, in dB.
            noise: Standard deviation of the change from seed to seed, in dB.
        """
        if self.until:
            return float(self.power_at_looks(change, noise)[-1])
        level, df = self.alpha / self.comparisons, self.seeds - 1
        if df == 0:
            return 0.0
        shift = abs(change) / noise * math.sqrt(self.seeds)
        return float(stats.nct.sf(special.stdtrit(df, 1 - level / 2), df, shift))

    def power_at_looks(self, change: float, noise: float) -> NDArray[np.float64]:
        """The probability of having found a change at each look or before (looks,), simulated with fixed numbers."""
        assert self.until
        level = self.until.alpha / self.comparisons
        undecided, found, powers = np.ones(_PATHS, dtype=bool), np.zeros(_PATHS, dtype=bool), []
        for look, seeds in enumerate(self.until.looks, start=1):
            values = _standard_normal(self.until.looks[-1])[:, :seeds] + abs(change) / noise
            mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / math.sqrt(seeds)
            better = mean / error > special.stdtrit(seeds - 1, 1 - look_level(self.until, look, level) / 2)
            within = (self.margin / noise - np.abs(mean)) / error
            equivalent = within > special.stdtrit(seeds - 1, 1 - look_level(self.until, look, self.until.alpha))
            found |= undecided & better
            undecided &= ~(better | equivalent)
            powers.append(found.mean())
        return np.array(powers)

    def detectable(self, noise: float, power: float = POWER) -> float:
        """The smallest change, in dB, that is found with a probability of ``power``; NaN with one seed."""
        if not self.until:
            return detectable_shift(self.seeds - 1, self.alpha / self.comparisons, power) * noise / self.seeds**0.5
        bound = 2.0 * noise
        while self.power(bound, noise) < power:
            bound *= 2
        return float(optimize.brentq(lambda change: self.power(change, noise) - power, 0, bound, rtol=1e-4))


def seeds_needed(
    change: float, noise: float, comparisons: int, alpha: float = 0.05, power: float = POWER
) -> int | None:
    """The smallest number of seeds that finds a change with a probability of ``power``; None above 1000 seeds.

    Args:
        change: True mean change, in dB.
        noise: Standard deviation of the change from seed to seed, in dB.
        comparisons: See :class:`Design`.
        alpha: Level of the family.
        power: Probability of finding the change.
    """

    def enough(seeds: int) -> bool:
        return Design(comparisons, seeds, alpha=alpha).power(change, noise) >= power

    low, high = 1, 2
    while not enough(high):
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@cache
def _standard_normal(seeds: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((_PATHS, seeds))


class StudyPower:
    """What a planned study can detect.

    Args:
        study: The study.
        noise: The noise of finished studies of its base.
        given: The standard deviation of a change from seed to seed, in dB, if it is to be another one.
    """

    def __init__(self, study: Study, noise: Noise, given: float | None = None) -> None:
        self.study, self.noise, self.given = study, noise, given
        base = study.run_config(study.base_name)
        until = study.config.until
        levels = {name: variant.levels for name, variant in study.variants.items() if variant.levels}
        interactions = 0 if until else len(find_interactions(levels, study.base_name))
        comparisons = (len(study.variants) - 1 + interactions) * len(base.evaluate.data)
        self.design = Design(
            comparisons, len(study.config.seeds), until, until.alpha if until else 0.05, study.config.margin
        )

    @property
    def spread(self) -> float:
        """The standard deviation of a change from seed to seed, in dB; NaN where it is not known."""
        return self.given or self.noise.of("")

    def detectable(self) -> dict[str, float]:
        """For each variant but the base: the smallest change, in dB, that is found with a power of 80 %.

        A variant that ran in a finished study has its own noise, others that of all. Empty where none is known.
        """
        if math.isnan(self.spread) or self.design.seeds < 2 or not self.design.comparisons:
            return {}
        keys = {name: configuration_key(self.study.run_config(name)) for name in self.study.variants}
        noise = {name: self.given or self.noise.of(key) for name, key in keys.items() if name != self.study.base_name}
        found = {spread: self.design.detectable(spread) for spread in set(noise.values())}
        return {name: found[spread] for name, spread in noise.items()}

    def outlook(self) -> str:
        """What the seeds of the study can detect, what more of them could, and where the noise is from."""
        if not self.detectable():
            return self.describe()
        design = self.design

        def with_seeds(seeds: int) -> str:
            return f"{replace(design, seeds=seeds).detectable(self.spread):.3f} dB"

        if design.until:
            found = f"With up to {design.seeds} seeds you can see a change of {with_seeds(design.seeds)}"
        else:
            more = ", ".join(f"with {design.seeds + more}: {with_seeds(design.seeds + more)}" for more in (2, 5))
            found = f"With {design.seeds} seeds you can see a change of {with_seeds(design.seeds)} ({more})"
        return f"{found}, at 80 % power; {self.describe()}"

    def describe(self) -> str:
        """Where the noise is from, in a sentence."""
        if self.given:
            return f"noise as given: a change varies by {self.given:.3f} dB from seed to seed (SD)"
        if math.isnan(self.spread):
            return (
                "no finished study of this base: what the seeds can detect is not known; --noise 0.03 (dB) supposes it"
            )
        return (
            f"noise of {', '.join(self.noise.studies)}: a change varies by {self.spread:.3f} dB from seed to seed (SD, "
            f"{self.noise.df} degrees of freedom)"
        )

    def check(self) -> None:
        """Raise ``ValueError`` if the noise is not known, or nothing is compared."""
        if not self.design.comparisons:
            raise ValueError("--detect: the study has no variant besides the base, so there is no change to detect")
        if math.isnan(self.spread):
            raise ValueError(
                "--detect: no finished study of this base says how much changes vary: add --noise 0.03 (dB)"
            )

    def answer(self, change: float, hours_of: Callable[[int], float]) -> dict[str, Any]:
        """The seeds and hours that find a ``change``, in dB, as JSON values with a sentence, ``text``.

        Args:
            change: The change.
            hours_of: The hours that a number of seeds takes.
        """
        design, spread = self.design, self.spread
        test = f"a change of {change:g} dB, {POWER:.0%} power after Holm over {design.comparisons} comparisons"
        seeds = seeds_needed(change, spread, design.comparisons, design.alpha)
        now = design.power(change, spread)
        content = {"change": change, "noise": spread, "seeds": seeds, "power": now}
        if seeds is None:
            text = f"{test}: more than {MOST_SEEDS} seeds"
        else:
            hours = hours_of(seeds)
            runs = seeds * len(self.study.run_names)
            content |= {"runs": runs, "hours": hours}
            text = f"{test}: {seeds} seeds, {runs} runs, about {hours:.2g} h"
        looks = " with these looks" if design.until else ""
        return {**content, "text": f"{text}; the study as it is, up to {design.seeds} seeds{looks}: {now:.0%} power"}
