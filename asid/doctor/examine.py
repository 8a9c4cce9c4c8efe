"""All checks, one after the other. A check that fails is a finding, too."""

from collections.abc import Callable, Iterator

from asid.doctor.finding import Finding
from asid.doctor.machine import CHECKS
from asid.doctor.trial import trainings


def examine(*, quick: bool = False) -> Iterator[Finding]:
    """Check the machine, and yield what is found.

    Args:
        quick: Leave out the trainings.
    """
    checks: dict[Callable[[], Iterator[Finding]], tuple[str, str]] = dict(CHECKS)
    if not quick:
        checks[trainings] = ("training", "asid --debug train FOLDER --set train.steps=2")
    for check, (name, fix) in checks.items():
        try:
            yield from check()
        except Exception as error:
            yield Finding(name, f"{type(error).__name__}: {error}", "problem", fix)
