"""How a run of a study ended, and the command to type next."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How a run ended; ``error`` is ``None`` if it is done."""

    label: str
    error: str | None = None
    skipped: bool = False
    """Whether it was already done."""
    spared: bool = False
    """Whether it is not needed: what it would have helped to decide is decided."""
    origin: str | None = None
    """The study that trained it, if nothing was left to do for this one."""
    folder: Path | None = field(default=None, compare=False)


def next_command(counts: Mapping[str, int], folder: str | Path) -> str:
    """The one command to type next, for a study with so many runs in each state; every command advises by this.

    ``resume`` does all that is not done. ``retry`` is for a study in which nothing else is left to do.
    """
    left = {state for state, count in counts.items() if count} - {"done", "spared"}
    verb = "ablate resume"
    if not left:
        verb = "report"
    elif "running" in left:
        verb = "ablate watch"
    elif "failed" in left and "planned" not in left:
        verb = "ablate retry"
    return f"asid {verb} {shlex.quote(str(folder))}"
