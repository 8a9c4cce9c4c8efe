"""A progress bar on standard error, if somebody watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import MofNCompleteColumn, Progress

from asid.cli.options import SafeConsole


@contextmanager
def progress_bar(what: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar with the remaining time; yields the function that advances it, which takes what is done and the total."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    errors = SafeConsole(stderr=True)
    is_hidden = quiet or not errors.is_terminal
    # Prints go above the bar if both are in the terminal; those to a file stay there.
    bars = Progress(*columns, console=errors, transient=True, disable=is_hidden, redirect_stdout=sys.stdout.isatty())
    with bars:
        task = bars.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            if done == 0:  # another image: its time is not that of the one before
                bars.reset(task)
            bars.update(task, completed=done, total=total)

        yield advance
