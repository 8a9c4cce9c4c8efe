"""Two studies side by side: first what was changed from one to the other, then what that did."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from asid.ablation.report.results import StudyResults
from asid.ablation.report.write import OF_THE_CODE
from asid.ablation.statistics import paired
from asid.ablation.statistics.scores import LEVEL
from asid.ablation.study.differences import config_differences
from asid.config import RunConfig
from asid.runs.identity import set_name

COLUMNS = (
    *("data", "variant", "seeds", "images", "psnr_first", "psnr_second", "change", "low", "high"),
    *("delta_first", "delta_second", "verdict_first", "verdict_second"),
)
_KEYS = ["variant", "seed", "data", "image"]
_OF_THE_STUDY = ("question", "preset", "seeds", "margin", "match", "until", "minutes", "references")


@dataclass(frozen=True)
class SideBySide:
    """Two studies, and what they share: variants by name, base with base, seeds, and images of the same bytes."""

    first: StudyResults
    second: StudyResults

    @cached_property
    def changed(self) -> list[tuple[str, Any, Any]]:
        """What was changed: its name, and its value in each study; ``None`` where a study does not have it."""
        first, second = self.first.plan, self.second.plan
        mine, theirs = first.study.to_dict(), second.study.to_dict()
        rows = [(name, mine[name], theirs[name]) for name in _OF_THE_STUDY if mine[name] != theirs[name]]
        rows += config_differences(_settings(self.first.config), _settings(self.second.config))
        changes = {self._renamed.get(name, name): change for name, change in second.variants.items()}
        names = {**first.variants, **changes}
        rows += [(f"variant {name}", first.variants.get(name), changes.get(name)) for name in names]
        images = _images(self.first), _images(self.second)
        rows += [(use, images[0].get(use), images[1].get(use)) for use in {**images[0], **images[1]}]
        rows += [(name, _values(self.first, name), _values(self.second, name)) for name in OF_THE_CODE]
        return [(name, before, after) for name, before, after in rows if before != after]

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """The base of the second study by its name in the first."""
        first, second = self.first.plan, self.second.plan
        return {} if first.base in second.variants else {second.base: first.base}

    @cached_property
    def left_out(self) -> list[str]:
        """The evaluation sets of both studies that are not compared, because their images differ."""
        mine, theirs = _images(self.first), _images(self.second)
        return [name for name in self.first.sets if name in self.second.sets and mine[_set(name)] != theirs[_set(name)]]

    @cached_property
    def table(self) -> pd.DataFrame:
        """What it did: a row for each evaluation set and variant of both studies.

        Columns: data, variant; seeds and images that both have; over these, psnr_first and psnr_second (dB), change,
        the second minus the first (dB), paired by seed and image; low and high, its 95 % interval (Student's t over
        seeds; missing with one seed); and of each study, as its report has them: the delta against its base (dB) and
        the verdict.
        """
        return pd.DataFrame(list(self._rows()), columns=list(COLUMNS)).astype({"seeds": "Int64"})

    @property
    def flipped(self) -> list[str]:
        """The verdicts that depend on what was changed, each as text."""
        return [
            f"{row['variant']} on {row['data']} ({row['verdict_first']} → {row['verdict_second']})"
            for row in self.table.to_dict("records")
            if isinstance(row["verdict_first"], str) and row["verdict_first"] != row["verdict_second"]
        ]

    def _rows(self) -> Iterator[dict[str, Any]]:
        second = self.second.scores.assign(variant=self.second.scores["variant"].replace(self._renamed))
        merged = self.first.scores.merge(second, on=_KEYS, suffixes=("_first", "_second"))
        reports = [
            {(row["data"], names.get(row["variant"], row["variant"])): row for row in table.to_dict("records")}
            for table, names in ((self.first.table, {}), (self.second.table, self._renamed))
        ]
        for key, rows in merged.groupby(["data", "variant"], sort=False):
            data, variant = cast("tuple[str, str]", key)
            if data in self.left_out:
                continue
            arrays = rows.pivot(index="seed", columns="image", values=["psnr_first", "psnr_second"])
            before, after = (arrays[f"psnr_{which}"].to_numpy() for which in ("first", "second"))
            finite = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)  # of all these seeds
            before, after = before[:, finite], after[:, finite]
            if not before.size:
                continue
            interval = paired.seed_interval(paired.paired_differences(after, before), LEVEL)
            of_first, of_second = (report[data, variant] for report in reports)
            yield {
                "data": data,
                "variant": variant,
                "seeds": interval.n if pd.notna(of_first["seeds"]) else None,
                "images": int(finite.sum()),
                "psnr_first": before.mean(),
                "psnr_second": after.mean(),
                "change": interval.mean,
                "low": interval.low,
                "high": interval.high,
                **{f"{name}_first": of_first[name] for name in ("delta", "verdict")},
                **{f"{name}_second": of_second[name] for name in ("delta", "verdict")},
            }


def _settings(config: RunConfig) -> dict[str, Any]:
    """What the runs of a base share, apart from what is listed on its own: its seed, and where its images are."""
    settings = config.to_dict()
    del settings["seed"], settings["evaluate"]["data"]
    return {**settings, "data": {k: v for k, v in settings["data"].items() if k not in ("train", "validation")}}


def _images(results: StudyResults) -> dict[str, str]:
    """A hash over the images of each use."""
    return {
        _set(set_name(data["source"])) if use.startswith("evaluate ") else f"images of {use}": " ".join(
            filter(None, (data["manifest"], data.get("lr_manifest")))
        )
        for use, data in results.first.data.items()
    }


def _set(name: str) -> str:
    return f"evaluation set {name}"


def _values(results: StudyResults, name: str) -> str | None:
    return ", ".join(map(str, results.provenance.get(name, []))) or None
