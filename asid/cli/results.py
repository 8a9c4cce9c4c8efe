"""``asid results query | columns | index``: the results of all studies, as a table and as a page."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from asid.cli.options import console, new_table, say

app = typer.Typer(help="Search the results of all studies.", no_args_is_help=True)

_SHOWN = ("study", "variant", "seed", "data", "image", "psnr", "ssim")
_MOST_ROWS = 40
_DECIMALS = {"psnr": 2, "psnr_uniform_maps": 2, "psnr_in_tiles": 2, "macs": 2, "ssim": 4}


@app.callback()
def common() -> None:
    """Search the results of all studies."""


@app.command(epilog="Example: asid results query 'steps >= 300 and seed < 3' --in results/quick")
def query(
    expression: Annotated[
        str,
        typer.Argument(help="Condition on the columns, e.g. \"attention_sharing == 'none' and seed < 3\"."),
    ],
    where: Annotated[
        list[str] | None,
        typer.Option("--in", help="Folder of results, or a pattern. Repeatable. Default: results/**."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the rows, with all columns, to this file.")] = None,
) -> None:
    """Show the scores of the runs for which a condition holds: a row for each image. Columns: asid results columns."""
    from asid.ablation.report.escape import to_csv
    from asid.ablation.report.frame import results, select
    from asid.files import write_text

    rows = select(results(*(where or ["results/**"])), expression)
    named = [name for name in rows.columns if name in re.findall(r"\w+", expression) and name not in _SHOWN]
    shown = rows[[*_SHOWN[:3], *named, *_SHOWN[3:]]]
    table = new_table()
    for name in map(str, shown):
        is_number = shown[name].dtype.kind in "if"
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in shown.head(_MOST_ROWS).itertuples(index=False):
        cells = zip(shown.columns, row, strict=True)
        table.add_row(*(escape(_cell(str(name), value)) for name, value in cells))
    if len(rows):
        console.print(table)
    runs = f"{len(rows)} scores of {rows['folder'].nunique()} runs"
    if len(rows) > _MOST_ROWS:
        runs += f"; the first {_MOST_ROWS} are shown" + ("" if csv else ", --csv FILE writes all")
    if len(rows):
        runs += f"; mean PSNR {rows['psnr'].mean():.2f} dB"
    say(runs)
    if csv:
        write_text(csv, to_csv(rows))
        say(f"Written: {csv}")


@app.command(epilog="Example: asid results index")
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of results, with the studies in it.")] = Path("results"),
) -> None:
    """Write a page over all studies: question, verdicts, date, size, and a link to each report."""
    from asid.ablation.report.index import write_index

    say(f"Written: {write_index(folder)}")


@app.command(epilog="Example: asid results columns")
def columns() -> None:
    """List the columns that a query can use."""
    from asid.ablation.report.frame import COLUMNS

    for name in COLUMNS:
        say(name)


def _cell(name: str, value: object) -> str:
    import pandas as pd

    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    return f"{value:.{_DECIMALS[name]}f}" if name in _DECIMALS else str(value)
