"""A study's results: its plan, its records, and what follows from them. Nothing is trained or drawn here."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asid.ablation.report.single_runs import has_single_runs, plan_single_runs
from asid.ablation.statistics.factorial import Interaction, find_interactions, group_shares, variance_shares
from asid.ablation.statistics.fidelity import Fidelity, fidelity
from asid.ablation.statistics.looks import Standing, find_standing, look_comparisons
from asid.ablation.statistics.records import ReportError, StoredRecord, read_records
from asid.ablation.statistics.scores import (
    Scores,
    Statistics,
    compare_with_base,
    score_arrays,
    score_changes,
    score_table,
    seed_means,
)
from asid.ablation.study.plan import Plan, read_plan
from asid.ablation.study.references import REFERENCES
from asid.ablation.study.variants import format_value
from asid.config import RunConfig
from asid.runs.record import Record

_COUNTS = ("parameters", "seeds", "pairs", "look")
_TEXTS = ("variant", "change", "data", "verdict", "verdict_in_tiles")
_COSTS = ("parameters", "macs", "macs_ptflops", "macs_fvcore")
_TESTS = ("p_t", "p_flip", "p_equivalent", "detectable", "pairs", "look")
COLUMNS = (
    *("variant", "change", *_COSTS, "data", "psnr", "sd", "ssim", "map_use", "seeds"),
    *("delta", "low", "high", "p_holm", "verdict", "image_low", "image_high", *_TESTS),
)
_IN_TILES = ("tile_cost", "delta_in_tiles", "verdict_in_tiles")


@dataclass(frozen=True)
class StudyResults:
    """The results of a study: every record is read once, and everything else is computed once, on first use.

    Tables are shared: copy one before you change it.
    """

    folder: Path
    plan: Plan
    records: tuple[StoredRecord, ...]
    """Records of the reference rows and of the finished runs, in the order of the plan."""
    missing: tuple[str, ...]
    """Planned runs and references without a record, unless they are not needed."""
    standing: Standing | None
    """What the looks have decided, for a study with looks."""
    unused: tuple[str, ...]
    """Finished runs that no look rests on, or none yet: their records are left out."""

    @property
    def command(self) -> str:
        """The command that runs this study; empty for runs that were trained one at a time."""
        command = self.plan.command
        return f"asid ablate run ablations/{self.plan.name}.yaml" if command is None else command

    # Records

    @cached_property
    def runs(self) -> tuple[StoredRecord, ...]:
        """The finished runs: of variants, and of references that are trained."""
        return tuple(stored for stored in self.records if stored.record.complexity)

    @cached_property
    def trained(self) -> tuple[StoredRecord, ...]:
        """The finished runs of variants."""
        return tuple(stored for stored in self.runs if stored.record.variant not in self.plan.references)

    @cached_property
    def references(self) -> dict[str, list[StoredRecord]]:
        """The records of the reference rows: one, or one for each seed if the reference is trained."""
        records: dict[str, list[StoredRecord]] = {}
        for stored in self.records:
            if stored.record.variant in self.plan.references:
                records.setdefault(stored.record.variant, []).append(stored)
        return records

    @cached_property
    def trained_references(self) -> list[str]:
        """The references with a finished run."""
        return [name for name, records in self.references.items() if records[0].record.complexity]

    @cached_property
    def origins(self) -> dict[Path, str]:
        """The study that trained a run, for each run's folder that was taken over from another study."""
        return {stored.folder: stored.record.origin for stored in self.runs if stored.record.origin}

    @property
    def first(self) -> Record:
        """The first finished run of a variant: for what all runs share, such as scale, evaluation and data."""
        return self.trained[0].record

    @property
    def config(self) -> RunConfig:
        """Configuration of the first finished run."""
        return self.first.config

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the output that multiply-adds are counted for."""
        assert self.first.complexity  # of a finished run
        width, height = self.first.complexity["output"]
        return width, height

    @cached_property
    def variants(self) -> list[str]:
        """The variants with a finished run, in the order of the plan."""
        return list(dict.fromkeys(stored.record.variant for stored in self.trained))

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds with a finished run."""
        return sorted({stored.record.config.seed for stored in self.trained})

    @cached_property
    def sets(self) -> list[str]:
        """The evaluation sets."""
        return list(dict.fromkeys(self.scores["data"]))

    def runs_of(self, name: str) -> list[Record]:
        """The finished runs of a variant, or of a trained reference."""
        return [stored.record for stored in self.runs if stored.record.variant == name]

    @cached_property
    def axes(self) -> dict[str, dict[str, str]]:
        """For each field in which variants differ, e.g. ``attention sharing``: its value in each variant, as text."""
        values: dict[str, dict[str, str]] = {}
        for record in (stored.record for stored in self.trained):
            for section in (record.config.model, record.config.data, record.config.train):
                for field, value in section.to_dict().items():
                    values.setdefault(field_label(field), {})[record.variant] = format_value(value)
        return {axis: levels for axis, levels in values.items() if len(set(levels.values())) > 1}

    def relative(self, path: Path) -> str:
        """A path in the study's folder, relative to it."""
        return path.relative_to(self.folder).as_posix()

    # Numbers

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores of the records, see :func:`asid.ablation.statistics.scores.score_table`."""
        return score_table(self.records)

    @cached_property
    def arrays(self) -> dict[str, Scores]:
        """PSNR of the trained variants for each evaluation set."""
        return score_arrays(self.scores, self.variants, self.seeds)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Change of PSNR against the base; see :func:`asid.ablation.statistics.scores.score_changes`."""
        untrained = [name for name in self.references if name not in self.trained_references]
        return score_changes(self.scores, self.plan.base, untrained)

    @cached_property
    def statistics(self) -> dict[str, Statistics]:
        """The comparisons with the base on each evaluation set, one family. Empty if the base has no record."""
        names = self.trained_references
        references = score_arrays(self.scores, [self.plan.base, *names], self.seeds) if names else {}
        looked = self.standing.comparisons if self.standing else None
        return compare_with_base(self.arrays, self.plan.base, self.plan.margin, references, looked, self.interactions)

    @cached_property
    def in_tiles(self) -> dict[str, Statistics]:
        """The same comparisons by the scores in tiles; empty unless every image of every run has such a score."""
        scores = self.scores[self.scores["variant"].isin(self.variants)]
        if "psnr_in_tiles" not in scores or scores["psnr_in_tiles"].isna().any():
            return {}
        scores = scores.assign(psnr=scores["psnr_in_tiles"])
        until = self.plan.study.until
        looked = look_comparisons(self.plan, until, scores) if until else None
        arrays = score_arrays(scores, self.variants, self.seeds)
        return compare_with_base(arrays, self.plan.base, self.plan.margin, {}, looked, self.interactions)

    @cached_property
    def interactions(self) -> dict[str, Interaction]:
        """The pairs of changes in two factors that were made alone and together, by name."""
        levels = {name: of for name, of in self.plan.levels.items() if name not in self.plan.matched}
        return find_interactions(levels, self.plan.base)

    @cached_property
    def fidelity(self) -> list[Fidelity]:
        """What the validation curves say at parts of the budget about rankings and verdicts."""
        runs: dict[str, dict[int, Record]] = {}
        for stored in self.trained:
            runs.setdefault(stored.record.variant, {})[stored.record.config.seed] = stored.record
        return fidelity(runs, self.plan.base, self.plan.margin)

    def variance(self, data: str) -> dict[str, float]:
        """The share of each factor, of their interactions, of seeds and images in the variance of PSNR on one set.

        Empty without two factors, and where not every combination has been run: of the seeds that all have.
        """
        factors = list(self.plan.factors)
        levels = {name: of for name, of in self.plan.levels.items() if name not in self.plan.matched}
        axes = [list(dict.fromkeys(of[factor] for of in levels.values() if factor in of)) for factor in factors]
        names = {tuple(of.get(factor, "") for factor in factors): name for name, of in levels.items()}
        cells = [names.get(cell, "") for cell in product(*axes)]
        if len(factors) < 2 or not set(cells) <= set(self.variants):
            return {}
        scores = self.arrays[data]
        psnr = scores.psnr[[scores.variants.index(name) for name in cells]]
        seeds = ~np.isnan(psnr).any(axis=(0, 2))
        psnr = psnr[:, seeds][:, :, ~np.isposinf(psnr[:, seeds]).any(axis=(0, 1))]
        if not psnr.size:
            return {}
        full = psnr.reshape([*map(len, axes), *psnr.shape[1:]])
        return group_shares(variance_shares(full, [*map(field_label, factors), "seed", "image"]))

    @cached_property
    def table(self) -> pd.DataFrame:
        """The comparison: cost, mean scores, change against the base and noise for each evaluation set and variant.

        Its columns are :data:`COLUMNS`: ``change`` as text, ``macs`` in G by torch's counter, ``psnr`` in dB, means
        over images and seeds, ``sd``: standard deviation of the seeds' means in dB, ``map_use``: the dB of ``psnr``
        that are lost with uniform attention maps, ``seeds`` that have a record; then, as in
        :class:`asid.ablation.statistics.paired.Comparison`,
        ``delta`` in dB, ``low`` and ``high`` over seeds, ``image_low`` and ``image_high`` over images, p-values,
        ``detectable`` in dB, ``pairs``, the seeds shared with the base, and ``look``. None depends on the machine's
        speed. Where images were scored in tiles, three more follow: ``tile_cost``, the dB of ``psnr`` that are lost in
        them, and change and verdict by these scores.
        """
        rows = sorted(self._rows(), key=lambda row: self.sets.index(row["data"]))
        columns = [*COLUMNS, *(_IN_TILES if "psnr_in_tiles" in self.scores else ())]
        table = pd.DataFrame(rows, columns=columns)
        return table.astype(
            {name: "Int64" if name in _COUNTS else float for name in columns if name not in _TEXTS},
        )

    def rows(self, data: str) -> pd.DataFrame:
        """The rows of :attr:`table` for one evaluation set."""
        return self.table[self.table["data"] == data]

    def _rows(self) -> Iterator[dict[str, Any]]:
        psnr = self.scores["psnr"]
        scores = self.scores.assign(
            map_use=psnr - self.scores["psnr_uniform_maps"], tile_cost=psnr - self.scores.get("psnr_in_tiles", np.nan)
        )
        by_row = scores.groupby(["variant", "data"], sort=False)
        means = by_row[["psnr", "ssim", "map_use", "tile_cost"]].mean().assign(seeds=by_row["seed"].nunique())
        spread = seed_means(self.scores).groupby(["variant", "data"])["psnr"].std()
        deltas = self.changes.groupby(["variant", "data"])["change"].mean()
        costs = {stored.record.variant: stored.record.complexity for stored in self.runs}
        for entry in means.reset_index().to_dict("records"):
            row: dict[str, Any] = {str(name): value for name, value in entry.items()}
            variant, data = row["variant"], row["data"]
            row["change"] = {**REFERENCES, **self.plan.variants}.get(variant, "no training") or "–"
            row["sd"] = spread.get((variant, data))
            row["delta"] = 0.0 if variant == self.plan.base else deltas.get((variant, data))
            row["verdict"] = "base" if variant == self.plan.base else None
            if cost := costs.get(variant):
                row["parameters"], row["macs"] = cost["parameters"], cost["macs_torch"] / 1e9
                row |= {name: cost[name] / 1e9 for name in ("macs_ptflops", "macs_fvcore")}
            else:
                row["seeds"] = None
            statistics = self.statistics.get(data)
            if statistics and (result := statistics.comparisons.get(variant)):
                row |= {
                    "delta": result.change,
                    "low": result.seeds.low,
                    "high": result.seeds.high,
                    "image_low": result.images.low,
                    "image_high": result.images.high,
                    "p_holm": result.p_holm,
                    "verdict": result.verdict,
                    "p_t": result.p_t,
                    "p_flip": result.p_flip,
                    "p_equivalent": result.p_equivalent,
                    "detectable": result.detectable,
                    "pairs": result.n,
                    "look": result.look,
                }
            elif statistics and (reference := statistics.references.get(variant)):
                row |= {
                    "delta": reference.seeds.mean,
                    "low": reference.seeds.low,
                    "high": reference.seeds.high,
                    "image_low": reference.images.low,
                    "image_high": reference.images.high,
                    "pairs": reference.seeds.n,
                }
            if (tiled := self.in_tiles.get(data)) and (result := tiled.comparisons.get(variant)):
                row |= {"delta_in_tiles": result.change, "verdict_in_tiles": result.verdict}
            yield row

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row a run: how long it took, on which machine. Varies with the machine's load.

        Columns: variant, seed, train, evaluate, upscale (s; the last one: in the network, for all evaluation images),
        latency (ms, upscale for one image), machine, cpu, capability, gpu, cpus, threads, finished,
        commit. What a record lacks is missing.
        """
        rows = []
        for record in (stored.record for stored in self.runs):
            upscale = record.total_seconds("upscale")
            rows.append(
                {
                    "variant": record.variant,
                    "seed": record.config.seed,
                    **{name: record.total_seconds(name) for name in ("train", "evaluate", "upscale")},
                    "latency": 1000 * upscale / len(record.scores) if upscale is not None else None,
                    **{name: record.provenance.get(name) for name in _MACHINE},
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def provenance(self) -> dict[str, list[Any]]:
        """The different values of each entry of the provenance, over all finished runs and what was scored later."""
        values: dict[str, list[Any]] = {}
        records = [stored.record for stored in self.runs]
        for made in (made for record in records for made in (record.provenance, *record.later.values())):
            for key, value in made.items():
                if value is not None and value not in values.setdefault(key, []):
                    values[key].append(value)
        return {key: sorted(different, key=str) for key, different in values.items() if different}

    def select(self, variants: Collection[str], data: str) -> "Selection":
        """These results narrowed to some variants and one evaluation set; the references stay in."""
        keep = {*variants, *self.references}
        records = tuple(stored for stored in self.records if stored.record.variant in keep)
        about = (self.folder, self.plan, records, self.missing, self.standing, self.unused)
        return Selection(*about, whole=self, data=data)


_MACHINE = ("machine", "cpu", "capability", "gpu", "cpus", "threads", "finished", "commit")


@dataclass(frozen=True)
class Selection(StudyResults):
    """Some variants of a study on one evaluation set. Its numbers are the study's: p-values stay adjusted for all."""

    whole: StudyResults
    data: str

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The selected rows of the study's scores."""
        return self._narrow(self.whole.scores)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """The selected rows of the study's changes."""
        return self._narrow(self.whole.changes)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The selected rows of the study's comparison."""
        return self._narrow(self.whole.table)

    @cached_property
    def statistics(self) -> dict[str, Statistics]:
        """The study's statistics of the selected variants."""
        return self._of_selected(self.whole.statistics)

    @cached_property
    def in_tiles(self) -> dict[str, Statistics]:
        """Those by the scores in tiles."""
        return self._of_selected(self.whole.in_tiles)

    def _of_selected(self, statistics: dict[str, Statistics]) -> dict[str, Statistics]:
        if (of_set := statistics.get(self.data)) is None:
            return {}
        comparisons = {name: result for name, result in of_set.comparisons.items() if name in self.variants}
        return {self.data: replace(of_set, comparisons=comparisons)}

    def _narrow(self, table: pd.DataFrame) -> pd.DataFrame:
        shown = {stored.record.variant for stored in self.records}
        return table[(table["data"] == self.data) & table["variant"].isin(shown)]


def load_results(folder: str | Path) -> StudyResults:
    """Read a study's folder, which may have been moved, or a folder of runs that were trained one at a time.

    Raises:
        ReportError: If it is not a study's folder, its plan is damaged, no run is finished, or runs were evaluated in
            different ways.
    """
    folder = Path(folder)
    try:
        plan = plan_single_runs(folder) if has_single_runs(folder) else read_plan(folder)
    except (FileNotFoundError, ValueError) as error:
        raise ReportError(str(error)) from None
    records, missing = read_records(folder, plan)
    results = gather_results(folder, plan, records, missing)
    if not results.trained:
        raise ReportError(f"no finished run of a variant in {folder}: run the study again; it keeps what it has done")
    return results


def gather_results(
    folder: Path, plan: Plan, records: tuple[StoredRecord, ...], missing: tuple[str, ...] = ()
) -> StudyResults:
    """The results of these records; in a study with looks, of those that its looks rest on."""
    results = StudyResults(folder, plan, records, missing, find_standing(plan, records), ())
    if results.standing is None:
        return results
    used = {run.folder for run in results.standing.used}
    spared = {run.label for run in results.standing.spared}
    untrained = {stored.folder for stored in results.records if not stored.record.complexity}
    return replace(
        results,
        records=tuple(stored for stored in results.records if stored.folder in used | untrained),
        missing=tuple(label for label in results.missing if label not in spared),
        unused=tuple(
            f"{stored.record.variant} seed {stored.record.config.seed}"
            for stored in results.records
            if stored.folder not in used | untrained
        ),
    )


def field_label(field: str) -> str:
    """``model.attention_sharing`` as ``attention sharing``."""
    return field.rpartition(".")[2].replace("_", " ")
