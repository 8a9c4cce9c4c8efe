"""Simulates studies and writes the tables of ``docs/statistics.md`` (``python docs/simulation.py``, half an hour).

Every study goes from its records to its verdicts as in a report. Nothing is trained: scores are normal numbers.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sections import replace_section

from asid.ablation.report.results import gather_results
from asid.ablation.statistics.looks import find_standing
from asid.ablation.statistics.paired import Comparison
from asid.ablation.statistics.power import Design, seeds_needed
from asid.ablation.statistics.records import StoredRecord
from asid.ablation.statistics.sequential import look_level
from asid.ablation.study.plan import Plan, PlannedRun
from asid.ablation.study.until import Until
from asid.config import RunConfig
from asid.files import write_text
from asid.runs.identity import Identity
from asid.runs.record import Record

Found = Mapping[str, Mapping[str, Comparison]]
"""For each evaluation set, the comparison of each variant."""
PAGE = Path(__file__).with_name("statistics.md")
STUDIES = 2000
SETS, IMAGES = ("one", "two"), ("ant", "bee")
SCHEMES: dict[str, dict[str, Any]] = {
    "3 seeds": {"seeds": 3},
    "8 seeds": {"seeds": 8},
    **{
        f"looks at {', '.join(map(str, looks))}; {spending}": {"looks": looks, "spending": spending}
        for looks, spending in (
            ((3, 5, 8), "pocock"),
            ((3, 5, 8), "obrien-fleming"),
            ((3, 4, 5, 6, 7, 8), "pocock"),
        )
    },
}
FIXED, POCOCK, FLEMING = "8 seeds", "looks at 3, 5, 8; pocock", "looks at 3, 5, 8; obrien-fleming"
NOTHING = dict.fromkeys(("a", "b", "c", "d"), 0.0)
MIXED = {"a": 0.0, "b": 0.1, "c": -0.1, "d": 0.2, "e": -0.2}
NOISE = (0.005, 0.01, 0.02)
MARGIN = 0.05


@cache
def plan(scheme: str, variants: tuple[str, ...]) -> Plan:
    """The plan of a study of ``variants``, which are not trained."""
    how = SCHEMES[scheme]
    seeds = range(how.get("seeds") or how["looks"][-1])
    until = {key: value for key, value in how.items() if key != "seeds"}
    return Plan.model_validate(
        {
            "study": {
                "name": "simulated",
                "question": "What do verdicts do by chance?",
                "seeds": tuple(seeds),
                "until": until or None,
                "references": (),
                "margin": MARGIN,
            },
            "notebook": Path("none"),
            "variants": dict.fromkeys(("base", *variants), ""),
            "levels": {},
            "matched": {},
            "dropped": [],
            "runs": [_run(variant, seed) for variant in ("base", *variants) for seed in seeds],
        }
    )


def _run(variant: str, seed: int) -> PlannedRun:
    return PlannedRun(
        study="simulated",
        variant=variant,
        seed=seed,
        identity=Identity(training=f"{variant}-{seed}", evaluations={}),
        config=RunConfig.model_validate({"evaluate": {"data": SETS}, "seed": seed}),
        data={},
        source="",
        folder=Path(f"{variant}-{seed}"),
    )


@cache
def _template() -> Record:
    run = _run("base", 0)
    return Record.model_validate(
        {
            "study": run.study,
            "variant": run.variant,
            "identity": run.identity,
            "config": run.config,
            "protocol": run.config.evaluate.protocol,
            "data": {},
            "complexity": {"parameters": 1, "macs_torch": 1, "macs_ptflops": 1, "macs_fvcore": 1, "output": [1, 1]},
            "scores": [],
            "history": [],
            "seconds": {},
            "provenance": {},
        }
    )


def simulate(scheme: str, psnr: Mapping[str, NDArray[np.float64]]) -> tuple[Found, int]:
    """What a study found, and the number of runs that this took.

    Args:
        scheme: A name of :data:`SCHEMES`.
        psnr: For the base and each variant (seeds, sets, images) in dB, no fewer seeds than the scheme has.
    """
    planned = plan(scheme, tuple(name for name in psnr if name != "base"))
    records = [
        StoredRecord(
            run.folder,
            _template().model_copy(
                update={
                    "variant": run.variant,
                    "identity": run.identity,
                    "config": run.config,
                    "scores": [
                        {"data": data, "image": image, "psnr": float(value), "ssim": 0.9}
                        for data, of_set in zip(SETS, psnr[run.variant][run.seed], strict=True)
                        for image, value in zip(IMAGES, of_set, strict=True)
                    ],
                }
            ),
        )
        for run in planned.runs
    ]
    looked = find_standing(planned, records)
    if looked:
        return looked.comparisons, len(looked.used)
    results = gather_results(Path(), planned, tuple(records))
    return {data: found.comparisons for data, found in results.statistics.items()}, len(results.runs)


def draw(changes: Mapping[str, float], noise: float, random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """PSNR of one study with eight seeds.

    A seed moves all scores of the base; a change varies by ``noise`` dB from seed to seed, with a correlation of 0.5
    between the sets; images differ.
    """
    base = 30 + random.normal(0, 1, (1, len(SETS), len(IMAGES))) + random.normal(0, 0.05, (8, 1, 1))
    psnr = {"base": np.broadcast_to(base, (8, len(SETS), len(IMAGES)))}
    for name, change in changes.items():
        shared, own = random.normal(0, noise, (8, 1, 1)), random.normal(0, noise, (8, len(SETS), 1))
        psnr[name] = base + change + math.sqrt(0.5) * (shared + own)
    return psnr


@dataclass(frozen=True)
class Outcome:
    """What a simulated study said."""

    verdicts: tuple[str, ...]
    """Of each variant on each set."""
    covered: tuple[bool, ...]
    """Whether each interval holds the true change."""
    runs: int


def outcomes(scheme: str, changes: Mapping[str, float], noise: float, studies: int, key: int) -> Iterator[Outcome]:
    """Simulated studies; the same ``key`` gives the same scores in every scheme."""
    random = np.random.default_rng(key)
    for _ in range(studies):
        of_sets, runs = simulate(scheme, draw(changes, noise, random))
        found = [(of_sets[data][name], change) for data in SETS for name, change in changes.items()]
        yield Outcome(
            tuple(result.verdict for result, _ in found),
            tuple(result.seeds.low <= change <= result.seeds.high for result, change in found),
            runs,
        )


def share(values: Sequence[bool]) -> float:
    """Percentage."""
    return 100 * float(np.mean(values))


def error_row(scheme: str, studies: int) -> list[str]:
    """False verdicts and coverage where nothing changes.

    With a noise far beyond the margin nothing is equivalent, so that no variant stops early without an error.
    """
    null = list(outcomes(scheme, NOTHING, 0.2, studies, 1))
    return [
        scheme,
        f"{share([any(v in ('better', 'worse') for v in found.verdicts) for found in null]):.1f} %",
        f"{share([covered for found in null for covered in found.covered]):.1f} %",
    ]


def power_row(scheme: str, studies: int) -> list[str]:
    """The power that a plan promises beside that of simulated studies: one variant changes, three do not."""
    how = plan(scheme, tuple(NOTHING)).study
    design = Design(len(NOTHING) * len(SETS), len(how.seeds), how.until, margin=MARGIN)
    change = design.detectable(0.02)
    found = outcomes(scheme, NOTHING | {"a": change}, 0.02, studies, 3)
    simulated = share([study.verdicts[0] == "better" for study in found])
    return [scheme, f"{change:.3f}", f"{100 * design.power(change, 0.02):.1f} %", f"{simulated:.1f} %"]


def savings_row(noise: float, studies: int) -> list[str]:
    """Verdicts and runs of studies with looks beside those of eight seeds, on the same scores."""
    fixed = list(outcomes(FIXED, MIXED, noise, studies, 4))
    looked = list(outcomes(POCOCK, MIXED, noise, studies, 4))
    pairs = [
        {mine, theirs}
        for one, other in zip(looked, fixed, strict=True)
        for mine, theirs in zip(one.verdicts, other.verdicts, strict=True)
    ]
    runs = sum(study.runs for study in looked) / sum(study.runs for study in fixed)
    return [
        f"{noise:g}",
        f"{share([len(pair) == 1 for pair in pairs]):.1f} %",
        f"{share([pair == {'better', 'worse'} for pair in pairs]):.1f} %",
        f"{100 * runs:.0f} %",
        f"{share([covered for study in looked for covered in study.covered]):.1f} %",
    ]


def levels() -> list[list[str]]:
    """The levels of looks beside those that would spend the same error exactly, by 400 000 series of t-statistics."""
    rows, paths = [], 400_000
    until, alpha = Until(), 0.05 / 4
    values = np.random.default_rng(5).standard_normal((paths, until.looks[-1]))
    alive = np.ones(paths, dtype=bool)
    for look, seeds in enumerate(until.looks, start=1):
        seen = values[:, :seeds]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(seeds))
        p = 2 * special.stdtr(seeds - 1, -np.abs(t))
        level = look_level(until, look, alpha)
        exact = np.sort(p[alive])[round(level * paths)]
        alive &= p > exact
        rows.append([str(seeds), f"{level:.4f}", f"{exact:.4f}"])
    return rows


def needed() -> list[list[str]]:
    """Seeds for changes of several sizes, in a study of two comparisons with a noise of 0.03 dB."""
    return [[f"{change:g}", str(seeds_needed(change, 0.03, 2))] for change in (0.2, 0.1, 0.05, 0.03, 0.02)]


HEADERS = {
    "needed": ["change (dB)", "seeds"],
    "levels": ["look at seeds", "level", "exact level"],
    "errors": ["design", "any false verdict", "intervals that cover"],
    "power": ["design", "true change (dB)", "promised power", "simulated power"],
    "savings": ["noise (dB)", "same verdict", "opposite verdict", "runs", "intervals that cover"],
}


def compute(name: str, studies: int) -> list[list[str]]:
    """The rows of a table."""
    match name:
        case "needed":
            return needed()
        case "levels":
            return levels()
        case "errors":
            return [error_row(scheme, studies) for scheme in SCHEMES]
        case "power":
            return [power_row(scheme, studies) for scheme in (FIXED, POCOCK, FLEMING)]
        case _:
            return [savings_row(noise, studies) for noise in NOISE]


def write(name: str, rows: Sequence[Sequence[str]], page: Path = PAGE) -> None:
    """Replace a table of the page."""
    lines = [HEADERS[name], ["---"] * len(HEADERS[name]), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    write_text(page, replace_section(page.read_text(encoding="utf-8"), name, table))


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES, help="simulated studies of each kind")
    parser.add_argument("--only", choices=HEADERS, help="one table")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else HEADERS:
        write(name, compute(name, arguments.studies))
        sys.stdout.write(f"{name}: written to {PAGE}\n")


if __name__ == "__main__":
    main()
