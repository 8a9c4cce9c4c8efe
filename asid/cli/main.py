"""The command line ``asid``. Each command is a thin call into the package, which it imports when it is called."""

import os
import sys
import traceback
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from asid import __version__
from asid.cli import bench, checks, data, inside, report, results, score, variant
from asid.cli.ablate import app as ablate
from asid.cli.options import SafeConsole, say
from asid.cli.outlet import lasting_output
from asid.config import describe_errors
from asid.process import THREADS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command shows an example: asid upscale --help",
)
app.add_typer(variant.app)
app.add_typer(ablate.app, name="ablate")
app.add_typer(report.app)
app.add_typer(results.app, name="results")
app.add_typer(score.app)
app.add_typer(inside.app)
app.add_typer(data.app, name="data")
app.add_typer(checks.app)
app.add_typer(bench.app)

REFUSED, DEFECT, INTERRUPTED, TERMINATED = 2, 70, 130, 143
"""Exit statuses besides 0, success, and 1: some of several runs, images or checks failed. As in ``sysexits.h``, and as
shells show signals."""
DEBUG = "ASID_DEBUG"


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"asid {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help=f"Show the traceback of an error (also {DEBUG}=1).")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"CPU threads, of each run in a study (also {THREADS}). Default: what a short trial shows."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, compare and look inside variants of ASID, the attention-sharing information distillation transformer."""
    if debug:
        os.environ[DEBUG] = "1"
    if threads is not None:
        os.environ[THREADS] = str(threads)


@lasting_output()
def main() -> None:
    """Run the command line. An error is a line or a few, not a traceback, and a status (docs/reliability.md)."""
    errors = SafeConsole(stderr=True)
    try:
        app()
    except SystemExit as ending:
        if ending.code in (INTERRUPTED, TERMINATED):
            how = "interrupted" if ending.code == INTERRUPTED else "terminated"
            errors.print(f"{how}; the same command goes on from the last checkpoint, if there is one", soft_wrap=True)
        raise
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        for line in _explain(error):
            errors.print(f"[red]error[/red]: {escape(line)}", highlight=False, soft_wrap=True)
        sys.exit(REFUSED if isinstance(error, _EXPECTED) else DEFECT)


_EXPECTED = (ValueError, OSError, MemoryError)
"""What the package raises if a person can fix it: wrong input, a full disk, too little memory."""


_EXPECTED_THERE: dict[type, str] = {
    FileExistsError: "expected a folder, or a name that is free; a file of this name exists: choose another name",
    NotADirectoryError: "expected a folder, got a file in its path: choose another name",
    IsADirectoryError: "expected a file, got a folder: name a file in it",
    PermissionError: "no permission to read or write it: choose another place, or change its permissions",
}
"""What is wrong with a path, in place of the words of the operating system."""


def _explain(error: Exception) -> list[str]:
    """The lines that say what is wrong."""
    if isinstance(error, ValidationError):
        return describe_errors(error)
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {_EXPECTED_THERE.get(type(error), error.strerror)}"
    if isinstance(error, MemoryError) and not str(error):
        text = "not enough memory: choose a smaller batch, patch, tile or network, or fewer workers"
    if isinstance(error, _EXPECTED):
        return [text]
    return [f"unexpected {type(error).__name__}: {text}; this is a defect of asid: 'asid --debug …' shows where"]
