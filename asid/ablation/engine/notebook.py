"""The notebook that executes one run: checked before it is executed."""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from asid.config import RunConfig, describe_errors
from asid.files import read_json


class _Tags(BaseModel):
    tags: list[str] = []


class _Cell(BaseModel):
    cell_type: Literal["code", "markdown", "raw"]
    metadata: _Tags
    source: str | list[str]


class _Notebook(BaseModel):
    """What is read of a notebook's file, and what papermill needs."""

    nbformat: Literal[4]
    metadata: dict[str, Any]
    cells: list[_Cell]


@contextmanager
def without_iri_checks() -> Iterator[None]:
    """Inside, jsonschema is imported, with papermill or nbformat, without what checks IRIs: notebooks have none.

    That takes 1.5 s to import. Nothing is left behind: a worker may be somebody else's, and do other work afterwards.
    """
    name = "rfc3987_syntax"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(name, None)


def check_notebook(notebook: Path) -> None:
    """Reject a notebook that does not declare one of its parameters: papermill would only warn and run the default."""
    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook at {notebook}: the study's 'notebook' is relative to the study file")
    needed = {*RunConfig.model_fields, "study", "variant", "preset", "output", "progress", "expected_run_id"}
    if missing := sorted(needed - _declared_parameters(notebook)):
        raise ValueError(f"{notebook}: the cell tagged 'parameters' does not declare {', '.join(missing)}")


def _declared_parameters(notebook: Path) -> set[str]:
    """Names that are assigned in the cell tagged ``parameters``. Importing papermill for this would take seconds."""
    try:
        cells = _Notebook.model_validate(read_json(notebook)).cells
    except ValidationError as error:
        raise ValueError(f"{notebook} is not a notebook: " + "; ".join(describe_errors(error))) from None
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.tags]
    try:
        body = ast.parse("".join(tagged[0])).body if tagged else []
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{notebook}: the cell tagged 'parameters' is not valid Python: {error}") from None
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
