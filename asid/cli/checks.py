"""``asid doctor | verify | check``: whether this machine, this installation and these results are in order."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from asid.cli.options import JsonOption, RootOption, SafeConsole, console, new_table, say, use_data_root
from asid.cli.progress import progress_bar
from asid.data.benchmarks import ROOT_VARIABLE

app = typer.Typer()

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@app.command(epilog="Example: asid doctor --quick")
def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the two trainings, of two steps each.")] = False,
    data_root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check versions, devices, disk, data and a short training; say how to fix what is wrong. Status 1: a problem."""
    use_data_root(data_root)
    from asid.doctor.examine import examine

    with nullcontext() if as_json else SafeConsole(stderr=True).status("checking this machine"):
        findings = list(examine(quick=quick))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = new_table("check", "state", "finding")
        for finding in findings:
            colour = _COLOURS[finding.state]
            table.add_row(finding.check, f"[{colour}]{finding.state}[/{colour}]", escape(finding.text))
        console.print(table)
        wrong = [finding for finding in findings if finding.fix]
        for finding in wrong:  # outside the table, where a command is not broken into lines
            say(f"{finding.check}: {finding.fix}")
        if not wrong:
            say("nothing to fix")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Example: asid verify --data-root path/to/data")
def verify(data_root: RootOption = None, as_json: JsonOption = False) -> None:
    """Check this installation against known numbers, including published scores if their data is present."""
    use_data_root(data_root)
    from asid.evaluation.verify import run_checks

    with progress_bar("checks", quiet=as_json) as on_check:
        checks = run_checks(on_check=on_check)
    counts = Counter(check.result for check in checks)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        table = new_table("check", "expected", "measured", "result")
        for check in checks:
            colour = {"ok": "green", "FAILED": "red"}.get(check.result, "yellow")
            result = f"[{colour}]{check.result}[/{colour}]"
            measured = "–" if check.result == "no data" else escape(check.measured)
            table.add_row(escape(check.name), check.expected, measured, result)
        console.print(table)
        ok, failed, no_data = (counts[result] for result in ("ok", "FAILED", "no data"))
        if no_data:
            say(
                f"{no_data} checks need benchmarks that are not here: 'asid data list' says how to get them; "
                f"then set {ROOT_VARIABLE} or --data-root to their folder"
            )
        say(f"{ok} of {len(checks)} checks passed, {failed} failed, {no_data} without data")
    if counts["FAILED"]:
        raise typer.Exit(1)


@app.command(epilog="Example: asid check results")
def check(folder: Annotated[Path, typer.Argument(help="Folder of a run, of a study, or of several.")]) -> None:
    """Compare weights, images, curves and plans with their records. What differs is named, with status 1."""
    from asid.ablation.study.check import check_results

    checked = check_results(folder)
    for line in checked.problems:
        SafeConsole(stderr=True).print(f"[red]wrong[/red]: {escape(line)}", highlight=False, soft_wrap=True)
    old = f"; {checked.unbound} of the records were written before they held hashes of files" if checked.unbound else ""
    todo = f"; {checked.open} planned runs have no record" if checked.open else ""
    say(f"{checked.records} records with {checked.files} files compared, {len(checked.problems)} problems{old}{todo}")
    if checked.problems:
        raise typer.Exit(1)
