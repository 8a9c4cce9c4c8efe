"""Options that several commands share, and how commands print. Defaults come from the configuration."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asid.config import PRESETS, Config, EvalConfig, InferenceConfig
from asid.data.benchmarks import ROOT_VARIABLE
from asid.files import parse_yaml, printable
from asid.model.find import packaged_models


class SafeConsole(Console):
    """A console that spells out control characters, and leaves names such as ``a:x:b.png`` as they are (no emoji)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, also in the cells of a table, comes through here."""
        return super().render_str(printable(text), **options)


console = SafeConsole()

DEFAULTS = EvalConfig()
"""Defaults of everything that concerns inference and evaluation."""
DEFAULT_PRESET = next(iter(PRESETS))


def say(text: str) -> None:
    """Print a line as it is: no markup, no colours, no line breaks."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def new_table(*texts: str, numbers: Iterable[str] = (), title: str | None = None) -> Table:
    """A table without lines between its columns, so that it fits a narrow terminal.

    Args:
        texts: Columns whose cells are broken into lines where space is short; nothing is cut off.
        numbers: Columns to their right, whose cells are never broken.
        title: What is written above.
    """
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def help_of(config: type[Config], field: str) -> str:
    """The description of a field of a configuration, and its values if they are few."""
    info = config.model_fields[field]
    text = (info.description or "").replace("``", "")
    is_choice = get_origin(info.annotation) is Literal
    return f"{text} One of: {', '.join(get_args(info.annotation))}." if is_choice else text


def _inference(field: str) -> Any:
    return typer.Option(help=help_of(InferenceConfig, field))


MODEL = f"A packaged network ({', '.join(packaged_models())}), a checkpoint, or the folder of a run"
"""What a network can be named by, for help."""

PresetOption = Annotated[str, typer.Option("--preset", help=f"Network to start from: {', '.join(PRESETS)}.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change one field, e.g. model.attention_sharing=none or train.steps=2000. Repeatable. See 'asid fields'.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RootOption = Annotated[Path | None, typer.Option("--data-root", envvar=ROOT_VARIABLE, help="Folder of the data sets.")]

TileOption = Annotated[
    int | None,
    typer.Option(help="Side of the tiles, in LR pixels (the paper's tables: 64). Default: the whole image."),
]
OverlapOption = Annotated[int, _inference("overlap")]
BlendOption = Annotated[str, _inference("blend")]
EnsembleOption = Annotated[bool, typer.Option("--ensemble", help=help_of(InferenceConfig, "ensemble"))]
PrecisionOption = Annotated[str, _inference("precision")]
BorderOption = Annotated[str, typer.Option(help=help_of(EvalConfig, "border"))]
ProtocolOption = Annotated[str, typer.Option(help=help_of(EvalConfig, "protocol"))]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")]
BatchOption = Annotated[int, typer.Option(min=1, help="Tiles that go through the network at once.")]


def use_data_root(root: Path | None) -> str:
    """Let everything that follows find its data sets in ``root``, also the runs of a study in their own processes.

    Returns:
        What the next command needs to find them, too: the option, or nothing if the shell has the variable.
    """
    if root is None:
        return ""
    known = str(root) == os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = str(root.absolute())
    return "" if known else f" --data-root {shlex.quote(str(root))}"


def read_changes(changes: list[str] | None) -> dict[str, dict[str, Any]]:
    """The values of ``--set`` by section: ``['model.esa=false']`` becomes ``{'model': {'esa': False}}``.

    Raises:
        ValueError: A change is not of the form ``section.field=value`` with a value in YAML.
    """
    sections: dict[str, dict[str, Any]] = {}
    for change in changes or []:
        name, separator, value = change.partition("=")
        section, dot, field = name.partition(".")
        if not (separator and dot and field):
            raise ValueError(f"--set {change}: expected section.field=value, e.g. model.attention_sharing=none")
        try:
            sections.setdefault(section, {})[field] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"--set {change[:200]}: not a YAML value: {error}") from None
    return sections
