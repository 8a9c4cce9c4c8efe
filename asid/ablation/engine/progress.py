"""Progress of a study, over its runs and inside each run: bars in a terminal, lines in a log."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from asid.ablation.study.plan import PlannedRun
from asid.files import HISTORY
from asid.training.history import COLUMNS, read_rows

_Position = tuple[int, float, str]
"""Last step of a training, its seconds, and its last validation PSNR (dB, as text; empty before the first)."""
_SECONDS_BETWEEN_LINES = 20
_BESIDES = 5.0
"""Seconds of a run apart from its training: kernel, evaluation, plots."""


class Progress:
    """Shows the progress of each run, read from the training curves in its folder.

    Args:
        runs: Every run of the study.
        console: Where to show it.
        at_once: Runs at a time.
        speeds: Seconds per step of variants, as far as they are known before the first run.
    """

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        console: Console | None = None,
        *,
        at_once: int = 1,
        speeds: Mapping[str, float] | None = None,
    ) -> None:
        self.runs = {run.label: run for run in runs}
        self.at_once = at_once
        self._speeds = dict(speeds or {})
        """Seconds per step of variants: as measured by the plan, then as seen."""
        self.console = console or Console()
        self.finished = 0
        self.open = set(self.runs)
        self._last_line = time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._total = self._bars.add_task("runs", total=len(self.runs), note="")
        self._tasks: dict[str, Any] = {}
        self._read: dict[Path, tuple[int, _Position | None]] = {}
        """Size of a run's history when it was read last, and the position then."""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line for the person who watches."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Read and show the progress of the open runs."""
        positions = {label: position for label in self.open if (position := self._position(self.runs[label].folder))}
        for label, (step, seconds, psnr) in positions.items():
            self._speeds[self.runs[label].variant] = seconds / step
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(
                    f"  {label}", total=self.runs[label].config.train.steps, note=""
                )
            self._bars.update(self._tasks[label], completed=step, note=f"{psnr} dB" if psnr else "")
        left = self.time_left({label: step for label, (step, *_) in positions.items()})
        self._bars.update(self._total, note=left)
        if not self.console.is_terminal and positions and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            parts = [
                f"{label}: step {step}/{self.runs[label].config.train.steps}"
                for label, (step, *_) in sorted(positions.items())
            ]
            self.console.print(
                "      " + "; ".join([", ".join(parts), *([left] if left else [])]), highlight=False, soft_wrap=True
            )

    def time_left(self, steps: Mapping[str, int]) -> str:
        """The time that the open runs take, as text; empty while no speed is known.

        Args:
            steps: Steps that runs have done, by label.
        """
        if not self._speeds or not self.open:
            return ""
        usual = sum(self._speeds.values()) / len(self._speeds)
        seconds = sum(
            _BESIDES + (run.config.train.steps - steps.get(label, 0)) * self._speeds.get(run.variant, usual)
            for label, run in self.runs.items()
            if label in self.open
        ) / min(self.at_once, len(self.open))
        return (
            f"about {max(1, round(seconds / 60))} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
        )

    def drop(self, labels: Iterable[str]) -> None:
        """Forget runs that are not needed any more, but not those that have ended."""
        for label in self.open.intersection(labels):
            del self.runs[label]
            self.open.discard(label)
        self._bars.update(self._total, total=len(self.runs))

    def finish(self, label: str, how: str, *, failed: bool = False) -> None:
        """Report that a run has ended.

        Args:
            label: The run.
            how: How it ended, in a word or two.
            failed: Whether it failed.
        """
        self.finished += 1
        self.open.discard(label)
        if label in self._tasks:
            self._bars.remove_task(self._tasks.pop(label))
        self._bars.update(self._total, completed=self.finished)
        style = "red" if failed else "green"
        self.console.print(f"[{style}]\\[{self.finished}/{len(self.runs)}] {label}: {how}[/{style}]", highlight=False)

    def _position(self, folder: Path) -> _Position | None:
        """How far the training in ``folder`` is; ``None`` before its first row.

        This is asked for every open run, again and again: a file is read when its size has changed.
        """
        try:
            size = (folder / HISTORY).stat().st_size
        except OSError:
            return None
        if folder not in self._read or self._read[folder][0] != size:
            self._read[folder] = size, _last_position(read_rows(folder))
        return self._read[folder][1]


def _last_position(rows: Sequence[Sequence[str]]) -> _Position | None:
    """The position after the last of ``rows``. A value that is missing, NaN or infinite is looked for further up."""
    table = [dict(zip(COLUMNS, row, strict=True)) for row in reversed(rows)]
    timed = next((row for row in table if int(row["step"]) and _is_number(row["seconds"])), None)
    if timed is None:
        return None
    psnr = next((float(row["psnr"]) for row in table if _is_number(row["psnr"])), None)
    return int(timed["step"]), float(timed["seconds"]), "" if psnr is None else f"{psnr:.2f}"


def _is_number(text: str) -> bool:
    return bool(text) and math.isfinite(float(text))
