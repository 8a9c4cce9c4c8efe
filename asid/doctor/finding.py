"""What a check of the machine found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of ``asid doctor``."""

    check: str
    text: str
    state: Literal["ok", "warning", "problem"] = "ok"
    """``warning``: it works, but slower, or not everywhere. ``problem``: something does not work."""
    fix: str | None = None
    """The command that fixes it; there is one unless the state is ``ok``."""
