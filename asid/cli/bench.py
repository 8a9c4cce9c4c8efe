"""``asid bench``: what the package costs on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from asid.cli.options import SafeConsole, say
from asid.files import read_json, write_json

app = typer.Typer()


@app.command(epilog="Example: asid bench --quick --only step,inference")
def bench(
    output: Annotated[Path, typer.Option("--json", help="JSON file for the measurements.")] = Path(
        "results/performance.json"
    ),
    only: Annotated[
        str | None,
        typer.Option(help="Sections to measure, e.g. step,inference; the file keeps its others. Default: all."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, at most two rounds: whether it works, not to compare.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Python file with build(config), a network to compare with. Default: tests/plain_network.py of the "
            "checkout; without one, ratios are left out."
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Also write the page to this file, e.g. docs/performance.md; its JSON lies beside it."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure nothing: write the page from the JSON file.")] = False,
) -> None:
    """Measure training, inference, data, start-up, memory and growth, against a plain implementation. Takes minutes."""
    from asid.bench.bench import add_earlier, run_bench
    from asid.bench.page import to_markdown, write_page
    from asid.bench.setting import Setting, find_plain, load_plain

    path = write.with_suffix(".json") if write else output
    if again:
        measured = read_json(path)
    else:
        plain = against or find_plain()
        if plain is None:
            say("no plain implementation to compare with: ratios are left out (--against FILE)")
        else:
            load_plain(plain)  # a wrong file is noticed now
        names = [name.strip() for name in only.split(",")] if only else []
        errors = SafeConsole(stderr=True)
        with errors.status("measuring the machine") as status:
            setting = Setting(quick=quick, against=plain)
            measured = run_bench(setting, names, lambda name: status.update(f"measuring: {name}"))
        if names and path.is_file():
            measured = add_earlier(measured, read_json(path))
        write_json(path, measured)
    for name, section in measured["sections"].items():
        say(f"\n{name}")
        say(to_markdown(section["rows"]) if section["rows"] else "not measured here")
    files = [path, *(write_page(measured, write) if write else [])]
    say(f"\nWritten: {', '.join(map(str, files))}")
