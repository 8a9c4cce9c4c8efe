"""``asid ablate status | watch``: how far the runs of a study are."""

import shlex
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from asid.cli.ablate.options import FolderArgument
from asid.cli.options import JsonOption, console, new_table, say
from asid.files import json_text, read_note

if TYPE_CHECKING:
    from asid.ablation.engine.status import RunState

app = typer.Typer()

_COLOURS = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "stale": "yellow",
    "planned": "white",
    "spared": "white",
}


@app.command(epilog="Example: asid ablate status results/quick")
def status(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Show the state of each run: planned, running, done, failed or stale."""
    states = _states(folder)
    if as_json:
        typer.echo(json_text([state.to_dict() for state in states]), nl=False)
        return
    if states:
        console.print(_state_table(states))
    for state in states:
        if state.note:
            say(f"{state.variant} seed {state.seed}, {state.state}: {state.note}")
    for what, place in [("study", folder), *((f"{state.variant} seed {state.seed}", state.folder) for state in states)]:
        if text := read_note(place):
            say(f"note on {what}: {text}")
    say(summarise(states, folder))


@app.command(epilog="Example: asid ablate watch results/quick")
def watch(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Follow the runs of a study while it runs. With --json, one line per change. Ctrl-C only stops watching."""
    from asid.ablation.engine.preparing import is_preparing
    from asid.ablation.engine.status import is_executed

    states = _states(folder)
    seen: Any = None
    with nullcontext() if as_json else Live(_state_table(states), console=console, auto_refresh=False) as live:
        while True:
            # Before the states are read: what ends in between is seen in the next round.
            is_busy = is_preparing(folder) or is_executed(folder)
            states = _states(folder, is_busy)
            now = [state.to_dict() for state in states]
            if now != seen and live:
                live.update(_state_table(states), refresh=True)
            elif now != seen:
                typer.echo(json_text(now, indent=None), nl=False)
            seen = now
            if not is_busy and not any(state.state == "running" for state in states):
                break
            time.sleep(2)
    if not as_json:
        if not console.is_terminal:  # there, the last table ends without a line break
            console.line()
        say(summarise(states, folder))


def summarise(states: "list[RunState]", folder: Path) -> str:
    """How many runs are in which state, and the next command to type."""
    from asid.ablation.engine.outcome import next_command
    from asid.ablation.engine.preparing import is_preparing

    counts = Counter(str(state.state) for state in states if state.in_plan)
    text = ", ".join(f"{counts[name]} {name}" for name in _COLOURS if counts[name])
    if is_preparing(folder):
        what = "Preparing: networks and data are checked, speeds are measured"
        return f"{text}. {what}".removeprefix(". ") + f". Follow it: asid ablate watch {shlex.quote(str(folder))}"
    return f"{text}. {'Follow it' if counts['running'] else 'Next'}: {next_command(counts, folder)}"


def _state_table(states: "list[RunState]") -> Table:
    table = new_table("variant", "seed", "state", numbers=["steps", "PSNR (dB)"])
    for state in states:
        steps = f"{state.step or 0}/{state.steps}" if state.steps else ""
        psnr = f"{state.psnr:.2f}" if state.psnr is not None else ""
        colour = _COLOURS[state.state]
        table.add_row(escape(state.variant), str(state.seed), f"[{colour}]{state.state}[/{colour}]", steps, psnr)
    return table


def _states(folder: Path, is_preparing: bool | None = None) -> "list[RunState]":
    """The state of each run; none while the study is being prepared for the first time."""
    from asid.ablation.engine import preparing
    from asid.ablation.engine.status import study_states

    try:
        return study_states(folder)
    except FileNotFoundError:
        if preparing.is_preparing(folder) if is_preparing is None else is_preparing:
            return []
        raise
