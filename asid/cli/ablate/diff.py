"""``asid ablate diff``: what differs between two studies or two runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from asid.cli.options import JsonOption, console, new_table, say
from asid.files import RECORD, STUDY, json_text

app = typer.Typer()


@app.command(epilog="Example: asid ablate diff results/quick results/reference/quick")
def diff(
    first: Annotated[Path, typer.Argument(help="Folder of a study, or of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another one.")],
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two studies, or two runs: configuration, data, code; then what that did to scores."""
    kinds = [_kind_of(folder) for folder in (first, second)]
    if len(set(kinds)) > 1:
        raise ValueError(f"expected two studies or two runs, got the {kinds[0]} {first} and the {kinds[1]} {second}")
    if kinds[0] == "study":
        _diff_studies(first, second, as_json)
    else:
        _diff_runs(first, second, as_json)


def _kind_of(folder: Path) -> str:
    """Whether a folder is that of a study or of a run.

    Raises:
        ValueError: It is neither.
    """
    for file, kind in ((STUDY, "study"), (RECORD, "run")):
        if (folder / file).is_file():
            return kind
    what = "it has neither" if folder.is_dir() else "it is a file" if folder.exists() else "there is no such folder"
    raise ValueError(f"{folder}: expected the folder of a study ({STUDY}) or of a finished run ({RECORD}); {what}")


def _diff_studies(first: Path, second: Path, as_json: bool) -> None:
    from asid.ablation.report.results import load_results
    from asid.ablation.report.side_by_side import SideBySide
    from asid.ablation.report.tables import HALF_WIDTH, show_number
    from asid.runs.record import to_rows

    both = SideBySide(load_results(first), load_results(second))
    if as_json:
        changed = {name: [before, after] for name, before, after in both.changed}
        content = {"studies": [str(first), str(second)], "changed": changed, "scores": to_rows(both.table)}
        typer.echo(json_text({**content, "left_out": both.left_out, "flipped": both.flipped}), nl=False)
        return
    table = new_table("changed", escape(str(first)), escape(str(second)))
    for name, *values in both.changed:
        table.add_row(escape(name), *("–" if value in (None, "") else escape(str(value)) for value in values))
    if both.changed:
        console.print(table)
    else:
        say("nothing was changed")
    table = new_table("set", "variant", numbers=["seeds", "PSNR", "then", "change", HALF_WIDTH, "Δ dB", "then"])
    table.add_column("verdict")
    rows = to_rows(both.table)
    for row in rows:
        verdicts = [row[f"verdict_{which}"] or "–" for which in ("first", "second")]
        table.add_row(
            escape(row["data"]),
            escape(row["variant"]),
            show_number(row["seeds"], "{}"),
            *(f"{value:.2f}" for value in (row["psnr_first"], row["psnr_second"])),
            f"{row['change']:+z.3f}",
            show_number(None if row["low"] is None else (row["high"] - row["low"]) / 2, "{:.3f}"),
            *(show_number(value, "{:+z.3f}") for value in (row["delta_first"], row["delta_second"])),
            verdicts[0] if len(set(verdicts)) == 1 else " → ".join(verdicts),
        )
    if rows:
        console.print(table)
        say("Change: second minus first, over the seeds and images of both, with Student's t interval over seeds.")
    else:
        say("scores are not compared: the studies have no variant on the same images")
    if both.flipped:
        say(f"Verdicts that depend on the changes: {', '.join(both.flipped)}")
    for name in both.left_out:
        say(f"{name} is not compared: its images are not the same")


def _diff_runs(first: Path, second: Path, as_json: bool) -> None:
    from asid.ablation.engine.compare import compare_runs

    differences = compare_runs(first, second)
    if as_json:
        typer.echo(json_text(differences), nl=False)
        return
    table = new_table("what", escape(first.name), escape(second.name))
    for part in ("config", "data", "code"):
        for name, (mine, theirs) in differences[part].items():
            table.add_row(escape(f"{part}: {name}"), escape(str(mine)), escape(str(theirs)))
    for row in differences["scores"]:
        table.add_row(escape(f"PSNR of {row['data']}/{row['image']} (dB)"), *(f"{value:.2f}" for value in row["psnr"]))
    console.print(table)
