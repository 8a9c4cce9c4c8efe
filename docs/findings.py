"""What the kept studies say, for results/README.md: words from findings.md.j2, numbers from the records."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from scipy.stats import kendalltau

from asid.files import read_json
from asid.plots.style import signed

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parent / "results" / "reference"


class Findings:
    """The numbers of one study, as text for a page beside it."""

    def __init__(self, name: str) -> None:
        self.name = name
        content = read_json(STUDIES / name / "comparison.json")
        self.base: str = content["base"]
        self.margin = f"{content['margin']:g} dB"
        self.statistics: dict[str, dict[str, Any]] = content["statistics"]
        self.sets: list[str] = list(self.statistics)
        self.rows: dict[tuple[str, str], dict[str, Any]] = {
            (row["variant"], row["data"]): {**row, "line": line} for line, row in enumerate(content["table"], start=2)
        }
        self.described: list[str] = content["description"]

    def row(self, variant: str, data: str | None = None) -> dict[str, Any]:
        """A row of the study's table, by default on its first evaluation set."""
        return self.rows[variant, data or self.sets[0]]

    def _link(self, text: str, row: dict[str, Any]) -> str:
        """``text`` as a link to a row of the study's table."""
        return f"[{text}](reference/{self.name}/comparison.csv#L{row['line']})"

    def change(self, variant: str, data: str | None = None) -> str:
        """The change of PSNR against the base with its interval, and the verdict of a variant."""
        row = self.row(variant, data)
        interval = f" {_interval(row)}" if row["low"] is not None else ""
        verdict = f", {row['verdict']}" if row["verdict"] else ""
        return self._link(f"{signed(row['delta'])} dB{interval}{verdict}", row)

    def p(self, variant: str, data: str | None = None) -> str:
        """The p-value, adjusted for all comparisons of the study."""
        return f"{self.row(variant, data)['p_holm']:.3f}"

    def trainings(self, variant: str) -> int:
        """How many trainings a variant has."""
        return self.row(variant)["seeds"]

    def saving(self, variant: str, other: str, what: str) -> str:
        """How much less ``variant`` has of ``parameters`` or ``macs`` than ``other``, in per cent."""
        row = self.row(variant)
        return self._link(f"{100 * (1 - row[what] / self.row(other)[what]):.0f} %", row)

    def more(self, variant: str, other: str, what: str) -> str:
        """How much more (+) or less (−) of ``parameters`` or ``macs`` than ``other`` a variant has, in per cent."""
        row = self.row(variant)
        return self._link(f"{signed(100 * (row[what] / self.row(other)[what] - 1), 0)} %", row)

    def map_use(self, variant: str, data: str | None = None) -> str:
        """PSNR lost with uniform attention maps."""
        row = self.row(variant, data)
        return self._link(f"{row['map_use']:.2f} dB", row)

    def tile_cost(self, variant: str, data: str | None = None) -> str:
        """PSNR lost in tiles."""
        row = self.row(variant, data)
        return self._link(f"{row['tile_cost']:.3f} dB", row)

    def interaction(self, name: str, data: str | None = None) -> str:
        """What two changes do together beyond their sum, with its interval, p-value and verdict."""
        found = self.statistics[data or self.sets[0]]["interactions"][name]
        text = f"{signed(found['change'])} dB {_interval(found['seeds'])}, p {found['p_holm']:.3g}, {found['verdict']}"
        return f"[{text}](reference/{self.name}/comparison.md)"

    def noise(self, variant: str, data: str | None = None) -> str:
        """The standard deviation of PSNR from seed to seed."""
        row = self.row(variant, data)
        return self._link(f"{row['sd']:.2f} dB", row)

    def agreement(self, variants: Sequence[str], others: Sequence[str], data: str | None = None) -> str:
        """Kendall's τ-b of the orders by PSNR of two lists of variants that correspond to each other."""
        first, second = ([self.row(name, data)["psnr"] for name in names] for names in (variants, others))
        return f"{kendalltau(first, second).statistic:.2f}".replace("-", "−")

    def verdicts(self, data: str) -> str:
        """How many variants have each verdict on an evaluation set, e.g. ``3 equivalent, 3 undecided``."""
        found = [row["verdict"] for (_, of_set), row in self.rows.items() if of_set == data]
        return count_verdicts(verdict for verdict in found if verdict not in (None, "base"))

    def says(self, beginning: str) -> str:
        """The sentence of the study's description with this beginning."""
        return next(sentence for sentence in self.described if sentence.startswith(beginning))


def _interval(bounds: dict[str, Any]) -> str:
    return f"[{signed(bounds['low'])}, {signed(bounds['high'])}]"


def count_verdicts(verdicts: Iterable[str]) -> str:
    """How often each verdict is among ``verdicts``, as text."""
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(Counter(verdicts).items()))


def findings() -> str:
    """The text with its numbers. Links are relative to results/README.md."""
    loader = FileSystemLoader(HERE)
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    environment.filters["lower_first"] = lambda text: text[:1].lower() + text[1:]
    return environment.get_template("findings.md.j2").render(study=Findings)
