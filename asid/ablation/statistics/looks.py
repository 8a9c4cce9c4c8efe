"""Where a study with looks stands, and which runs it wants next: a function of its plan and its finished records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from asid.ablation.statistics.paired import Comparison
from asid.ablation.statistics.records import StoredRecord
from asid.ablation.statistics.scores import LEVEL, score_arrays, score_table
from asid.ablation.statistics.sequential import compare_at_looks
from asid.ablation.study.plan import Plan, PlannedRun
from asid.ablation.study.until import Until
from asid.runs.record import read_record

OPEN = ("waiting", "undecided")
"""Verdicts that call for more seeds."""


@dataclass(frozen=True)
class Standing:
    """What the looks of a study have decided, and what follows for its runs. Seeds are counted in the plan's order."""

    plan: Plan
    until: Until
    comparisons: Mapping[str, Mapping[str, Comparison]]
    """On each evaluation set, for each variant that shares a seed with the base."""

    @cached_property
    def of_variant(self) -> dict[str, list[Comparison]]:
        """For each variant but the base: its comparisons on the evaluation sets."""
        names = [name for name in self.plan.variants if name != self.plan.base]
        return {name: [of_set[name] for of_set in self.comparisons.values() if name in of_set] for name in names}

    @cached_property
    def looks(self) -> dict[str, int]:
        """For each variant the last look that it took part in; 0 before the first."""
        return {
            name: max((found.look or 0 for found in of_sets), default=0) for name, of_sets in self.of_variant.items()
        }

    @cached_property
    def open(self) -> list[str]:
        """The variants without a verdict on some evaluation set, for which a look is left."""
        return [
            name
            for name, of_sets in self.of_variant.items()
            if self.looks[name] < len(self.until.looks)
            and (not of_sets or any(found.verdict in OPEN for found in of_sets))
        ]

    @property
    def decided(self) -> list[str]:
        """The variants that have a verdict on every evaluation set."""
        return [
            name for name, of_sets in self.of_variant.items() if of_sets and all(r.verdict not in OPEN for r in of_sets)
        ]

    def wanted(self, failed: Collection[str] = ()) -> list[PlannedRun]:
        """The runs that the next look needs, finished or not; none if no look is left.

        Args:
            failed: Variants and references that wait for another attempt: they take no part in the look.
        """
        waiting = [name for name in self.open if name not in failed]
        if not waiting or self.plan.base in failed:
            return []
        look = min(self.looks[name] for name in waiting)
        names = [self.plan.base, *(name for name in waiting if self.looks[name] == look)]
        seeds = dict.fromkeys(names, self.until.looks[look])
        seeds |= {name: self.until.looks[0] for name in self.plan.study.trained_references if name not in failed}
        return self._runs(seeds)

    def describe_next(self, failed: Collection[str] = ()) -> str:
        """What is decided, and what the next look is about, in a sentence."""
        runs = self.wanted(failed)
        names = [name for name in self.of_variant if any(run.variant == name for run in runs)]
        seeds = sum(run.variant == self.plan.base for run in runs)
        look = self.until.looks.index(seeds) + 1
        return (
            f"look {look} of {len(self.until.looks)}, at {seeds} seeds: {', '.join(names)}; "
            f"{len(self.decided)} of {len(self.of_variant)} variants decided"
        )

    @cached_property
    def used(self) -> list[PlannedRun]:
        """The runs that the looks so far rest on: others say nothing. Before its first look, the first look's."""
        seeds = {name: self.until.looks[max(look - 1, 0)] for name, look in self.looks.items()}
        return self._runs(self._with_base(seeds))

    @cached_property
    def spared(self) -> list[PlannedRun]:
        """The runs that no look needs any more, or ever did."""
        needed = {name: self.until.looks[max(look - 1, 0)] for name, look in self.looks.items()}
        needed |= dict.fromkeys(self.open, self.until.looks[-1])
        kept = {run.label for run in self._runs(self._with_base(needed))}
        return [run for run in self.plan.runs if run.label not in kept]

    def _with_base(self, seeds: dict[str, int]) -> dict[str, int]:
        """The numbers of seeds of variants, with those that the base and the trained references need for them."""
        first = self.until.looks[0]
        needed = {self.plan.base: max(seeds.values(), default=first), **seeds}
        return needed | {str(name): first for name in self.plan.study.trained_references}

    def _runs(self, seeds: Mapping[str, int]) -> list[PlannedRun]:
        """The first runs of each, as many as ``seeds`` says."""
        order = {seed: position for position, seed in enumerate(self.plan.study.seeds)}
        return [run for run in self.plan.runs if order[run.seed] < seeds.get(run.variant, 0)]


def read_standing(plan: Plan, finished: Collection[str]) -> Standing | None:
    """Where a study stands; None for a study without looks.

    Args:
        plan: The study.
        finished: The labels of its finished runs: their records are read.
    """
    if plan.study.until is None:
        return None
    runs = [run for run in plan.runs if run.label in finished]
    return find_standing(plan, [StoredRecord(run.folder, read_record(run.folder, run.run_id)) for run in runs])


def find_standing(plan: Plan, records: Sequence[StoredRecord]) -> Standing | None:
    """Where a study stands by its finished records; None for a study without looks."""
    until = plan.study.until
    return Standing(plan, until, look_comparisons(plan, until, score_table(records))) if until else None


def look_comparisons(plan: Plan, until: Until, scores: pd.DataFrame) -> dict[str, dict[str, Comparison]]:
    """What the looks of a study find by its scores: on each evaluation set, for each variant.

    Args:
        plan: The study.
        until: Its looks.
        scores: Columns variant, seed, data, image, psnr (dB).
    """
    sets = score_arrays(scores, list(plan.variants), plan.study.seeds)
    base = list(plan.variants).index(plan.base)
    found = compare_at_looks([of_set.psnr for of_set in sets.values()], base, until, plan.margin, LEVEL)
    return {
        data: {name: result for name, result in zip(plan.variants, of_set, strict=True) if result}
        for data, of_set in zip(sets, found, strict=True)
    }
