"""``asid doctor``: whether this machine can do what the package needs."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from asid.cli.options import JsonOption, SafeConsole, console, say

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the two trainings, of two steps each.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check versions, devices, disk, data and a short training; say how to mend what is wrong. Status 1: a problem."""
    from asid.doctor.examine import examine

    with nullcontext() if as_json else SafeConsole(stderr=True).status("checking this machine"):
        findings = list(examine(quick=quick))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table("check", "state", "finding")
        for finding in findings:
            colour = _COLOURS[finding.state]
            table.add_row(finding.check, f"[{colour}]{finding.state}[/{colour}]", escape(finding.text))
        console.print(table)
        wrong = [finding for finding in findings if finding.mend]
        for finding in wrong:  # outside the table, where a command is not broken into lines
            say(f"{finding.check}: {finding.mend}")
        if not wrong:
            say("nothing to mend")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)
