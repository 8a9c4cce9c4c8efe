"""``asid report | export``: what is made of a finished study, or of a network, for people and for other tools."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.padding import Padding

from asid.cli.options import RootOption, console, new_table, say, use_data_root
from asid.export.targets import Target

app = typer.Typer()

_NAME = 26
"""Columns of a terminal in which the names of variants are not broken."""
_SHORT = {"p (Holm)": "p", "map use (dB)": "map use", "PSNR (dB)": "PSNR", "MACs (G)": "G MACs"}
"""Names of columns, to save space."""
_LEAST_NEEDED = ("SD", "seeds", "SSIM", "p", "map use", "params", "G MACs")
"""Columns that are left out, one by one, until the table fits; the interval follows. PSNR, change and verdict stay."""


@app.command(epilog="Example: asid report results/quick --zip")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, e.g. results/quick.")],
    as_zip: Annotated[
        bool, typer.Option("--zip", help="Also pack page, tables, figures, plan and records into one file to send.")
    ] = False,
    data_root: RootOption = None,
) -> None:
    """Write a study's report: a page (HTML), tables (Markdown, LaTeX, CSV, JSON) and figures (PNG, SVG)."""
    from asid.ablation.report.results import load_results
    from asid.ablation.report.sentences import conclude, describe, explain
    from asid.ablation.report.tables import HALF_WIDTH, alignment, to_text
    from asid.ablation.report.write import write_report

    use_data_root(data_root)
    results = load_results(folder)
    files = write_report(results)
    shown = to_text(results.table, compact=True).drop(columns=["change", "data"])
    shown = shown.rename(columns=_SHORT)
    widths = {column: 2 + max(map(len, [column, *shown[column]])) for column in shown}
    widths["variant"] = min(widths["variant"], _NAME)
    left_out = []
    for name in (*_LEAST_NEEDED, HALF_WIDTH):
        if name in shown and sum(widths[column] for column in shown) - 2 > console.width:
            shown = shown.drop(columns=name)
            left_out.append(name)
    table = new_table("variant", title=escape(results.plan.question))
    for name, side in list(zip(shown.columns, alignment(shown.columns), strict=True))[1:]:
        justify: Any = "left" if side == "left" else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for source, rows in shown.groupby(results.table["data"], sort=False):
        if len(results.sets) > 1:
            table.add_section()
            table.add_row(f"[bold]{escape(str(source))}")
        for row in rows.itertuples(index=False):
            table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
    if left_out:
        say(f"too narrow for {', '.join(left_out)}: see {folder}/comparison.md")
    for sentence in [*conclude(results), *explain(results), *describe(results)]:
        console.print(Padding(escape(sentence), (0, 0, 0, 2)), highlight=False)
    say(f"Written: {len(files)} files; start with {folder}/report.html")
    if as_zip:
        from asid.ablation.report.pack import pack_report

        say(f"Packed: {pack_report(results, files)}")


@app.command(epilog="Example: asid export results/quick --to tensorboard")
def export(
    source: Annotated[
        str, typer.Argument(help="Folder of a study; for onnx and official a packaged network, checkpoint, or run.")
    ],
    to: Annotated[Target, typer.Option(help="For which tool, or in which format.")] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write. Default: export/<tool> in the study's folder; a network's file: results/export."
        ),
    ] = None,
) -> None:
    """Write a study's runs for TensorBoard, MLflow or as tables; a network as ONNX or with the published names."""
    from asid.export.targets import export as write

    exported = write(source, to, output)
    say(f"Written: {exported.path}")
    for note in exported.notes:
        say(f"  {note}")
