"""``asid data list | check | download | cache``: data sets that are known by name."""

import json
from typing import Annotated, Any

import typer

from asid.cli.options import JsonOption, RootOption, console, new_table, say, use_data_root
from asid.data.benchmarks import BENCHMARKS, ROOT_VARIABLE, Benchmark

app = typer.Typer(help="List, check and download data sets; the cache of their images.", no_args_is_help=True)


@app.command("list", epilog="Example: asid data list")
def list_sets(data_root: RootOption = None, as_json: JsonOption = False) -> None:
    """List the data sets that are known by name, and where they are."""
    use_data_root(data_root)
    rows = [_describe(benchmark) for benchmark in BENCHMARKS.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = new_table("name", "images", "use", "folder, or how to get it")
    for row in rows:
        get = f"asid data download {row['name']}" if row["download"] else f"manually from {row['page']}"
        where = row["problem"] or "\n".join(row["folders"]) or get
        table.add_row(row["name"], str(row["images"]), row["use"], where)
    console.print(table)


@app.command(epilog="Example: asid data check Set5 --scale 4 --data-root path/to/data")
def check(
    source: Annotated[str, typer.Argument(help="Name of a data set, or a folder of images.", metavar="NAME|FOLDER")],
    scale: Annotated[int, typer.Option(min=1, max=8, help="Factor of the LR images.")] = 2,
    data_root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every image, and compare the LR files with our resize, for each border rule."""
    use_data_root(data_root)
    from asid.data.pairs import check_source

    report = check_source(source, scale)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    smallest, largest = ("{}×{}".format(*report[name]) for name in ("smallest", "largest"))
    lines = [
        f"{report['source']}: {report['images']} images, {smallest} to {largest} pixels, manifest {report['manifest']}"
    ]
    if report["lr"] is None:
        lines.append(f"no LR files for ×{scale}: our resize makes the LR images")
    else:
        equal = " and ".join(f"{count} with border {border}" for border, count in report["lr"]["equal"].items())
        lines.append(f"LR files for ×{scale}: manifest {report['lr']['manifest']}; identical to our resize: {equal}")
    for line in lines:
        say(line)


@app.command(epilog="Example: asid data download BSDS500 --data-root path/to/data")
def download(
    name: Annotated[str, typer.Argument(help="Name of a data set: see 'asid data list'.")],
    data_root: RootOption = None,
) -> None:
    """Download a data set. After an interruption, the same command resumes the download."""
    if data_root is None:
        raise ValueError(
            f"no folder to download to: set {ROOT_VARIABLE} or --data-root to the folder of your data sets"
        )
    from asid.data.download import download as fetch

    for folder in fetch(name, data_root):
        say(f"{name}: {folder}")


@app.command("cache", epilog="Example: asid data cache")
def show_cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything in it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the cache of decoded photographs and their LR images, or clear it."""
    from asid.data.cache import FOLDER_VARIABLE, SIZE_VARIABLE, cache_content, cache_folder, clear_cache, size_limit

    folder, limit = cache_folder(), size_limit()
    content = clear_cache() if clear else cache_content()
    if as_json:
        report = {"folder": str(folder) if folder else None, "images": content.images, "bytes": content.size}
        typer.echo(json.dumps({**report, "limit": limit, "cleared": clear}, indent=2))
        return
    if folder is None:
        say(f"the cache is off ({FOLDER_VARIABLE}=off): each run decodes its photographs and holds them in memory")
        return
    held = f"{content.images} images, {content.size / 1e9:.2f} GB"
    say(f"{folder}: {held} deleted" if clear else f"{folder}: {held} of {limit / 1e9:g} ({SIZE_VARIABLE})")


def _describe(benchmark: Benchmark) -> dict[str, Any]:
    """A row of the list as JSON values. ``folders`` is empty if the set is absent; ``problem``: why it is unusable."""
    from asid.data.images import ImageError
    from asid.data.sources import find_folders, find_pairs

    row = {"name": benchmark.name, "images": benchmark.images, "use": benchmark.use, "page": benchmark.page}
    row |= {"download": bool(benchmark.archives), "folders": [], "problem": None}
    try:
        row["folders"] = [str(folder) for folder in find_folders(benchmark)]
    except ImageError:
        return row
    try:
        find_pairs(benchmark.name, None)
    except ImageError as error:
        row["problem"] = str(error)
    return row
