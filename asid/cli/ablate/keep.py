"""``asid ablate note | clean``: what is kept in the folder of a study."""

from pathlib import Path
from typing import Annotated

import typer

from asid.cli.ablate.options import FolderArgument
from asid.cli.options import say
from asid.files import CONFIG, NOTE, RECORD, STUDY, read_note, write_text

app = typer.Typer()


@app.command(epilog="Example: asid ablate note results/quick 'for the first table'")
def note(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or of a run.")],
    text: Annotated[str | None, typer.Argument(help='What to remember; "" deletes the note. Default: show it.')] = None,
) -> None:
    """Show or write a note on a study or a run. Nothing is trained or scored again for it."""
    if not any((folder / name).is_file() for name in (STUDY, CONFIG, RECORD)):
        raise ValueError(f"no study and no run in {folder}: expected {STUDY}, {CONFIG} or {RECORD} there")
    if text == "":
        (folder / NOTE).unlink(missing_ok=True)
    elif text is not None:
        write_text(folder / NOTE, text + "\n")
    say(read_note(folder) or f"no note on {folder}")


@app.command(epilog="Example: asid ablate clean results/quick")
def clean(
    folder: FolderArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete the folders of runs that are not in the study's plan any more, after asking."""
    from asid.ablation.engine.leftovers import delete_leftovers, find_leftovers

    leftovers = find_leftovers(folder)
    if not leftovers:
        say(f"nothing to clean in {folder}: every run folder is in the plan")
        return
    for leftover in leftovers:
        say(f"{leftover.folder}, {leftover.size / 1e6:.1f} MB: {leftover.note}")
    size = sum(leftover.size for leftover in leftovers) / 1e6
    if not yes and not typer.confirm(f"Delete these {len(leftovers)} folders, {size:.1f} MB, with what was trained?"):
        say("nothing was deleted")
        return
    delete_leftovers(folder, leftovers)
    say(f"{len(leftovers)} folders deleted, {size:.1f} MB")
