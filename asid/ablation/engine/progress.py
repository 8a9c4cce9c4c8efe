"""Progress of a study, over its runs and inside each run: bars in a terminal, lines in a log."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from asid.ablation.study.plan import PlannedRun
from asid.training.history import read_history

_SECONDS_BETWEEN_LINES = 20


class Progress:
    """Shows the progress of each run, read from the training curves in its folder."""

    def __init__(self, runs: Sequence[PlannedRun], console: Console | None = None) -> None:
        self.runs = {run.label: run for run in runs}
        self.console = console or Console()
        self.finished = 0
        self.open = set(self.runs)
        self._started = self._last_line = time.monotonic()
        self._before = 0
        """Steps of the runs that were done at the start: they say nothing about the speed."""
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
        for label, (step, psnr) in positions.items():
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(
                    f"  {label}", total=self.runs[label].config.train.steps, note=""
                )
            self._bars.update(self._tasks[label], completed=step, note=f"{psnr} dB" if psnr else "")
        left = self._time_left(positions)
        self._bars.update(self._total, note=left)
        if not self.console.is_terminal and positions and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            parts = [
                f"{label}: step {step}/{self.runs[label].config.train.steps}"
                for label, (step, _) in sorted(positions.items())
            ]
            self.console.print(
                "      " + "; ".join([", ".join(parts), *([left] if left else [])]), highlight=False, soft_wrap=True
            )

    def _time_left(self, positions: dict[str, tuple[int, str]]) -> str:
        """Remaining time at the speed so far; runs count by their steps."""
        steps = {label: run.config.train.steps for label, run in self.runs.items()}
        total = sum(steps.values())
        done = sum(steps[label] for label in self.runs if label not in self.open) + sum(
            step for step, _ in positions.values()
        )
        now = done - self._before
        if now <= 0:
            return ""
        seconds = (time.monotonic() - self._started) * (total - done) / now
        return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"

    def drop(self, labels: Iterable[str]) -> None:
        """Forget runs that are not needed any more, but not those that have ended."""
        for label in self.open.intersection(labels):
            del self.runs[label]
            self.open.discard(label)
        self._bars.update(self._total, total=len(self.runs))

    def finish(self, label: str, how: str, *, failed: bool = False, worked: bool = True) -> None:
        """Report that a run has ended.

        Args:
            label: The run.
            how: How it ended, in a word or two.
            failed: Whether it failed.
            worked: Whether it was executed now; others say nothing about the speed.
        """
        self.finished += 1
        if not worked:
            self._before += self.runs[label].config.train.steps
        self.open.discard(label)
        if label in self._tasks:
            self._bars.remove_task(self._tasks.pop(label))
        self._bars.update(self._total, completed=self.finished)
        style = "red" if failed else "green"
        self.console.print(f"[{style}]\\[{self.finished}/{len(self.runs)}] {label}: {how}[/{style}]", highlight=False)

    @staticmethod
    def _position(folder: Path) -> tuple[int, str] | None:
        """Last step and last validation PSNR (dB, as text) of a run; ``None`` before the first row."""
        history = read_history(folder)
        if history.empty:
            return None
        scores = history["psnr"].dropna()
        return int(history["step"].iloc[-1]), f"{scores.iloc[-1]:.2f}" if len(scores) else ""
