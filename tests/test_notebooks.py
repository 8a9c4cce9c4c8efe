"""The notebooks: clean files, a parameters cell that is an interface, and the one of the grid in step with the configuration."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from asid.ablation.execution import notebook_parameters
from asid.ablation.grid import StudyConfig
from asid.ablation.plan import plan
from asid.config import RunConfig, build_run

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TRAIN_VARIANT = FOLDER / "train_variant.ipynb"
OF_THE_RUN = {"study", "variant", "preset", "output", "progress", "expected_run_id"}
"""Parameters that are no part of the configuration."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def parameters_source(path: Path) -> str:
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert cell.cell_type == "code"
    return str(cell.source)


def defaults(path: Path) -> dict[str, Any]:
    return {statement.target.id: ast.literal_eval(statement.value) for statement in ast.parse(parameters_source(path)).body}  # type: ignore


def without_magics(cell: Any) -> str:
    """The source of a cell as Python, less lines such as ``%matplotlib inline``."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def test_the_notebook_of_the_grid_is_there() -> None:
    assert TRAIN_VARIANT in NOTEBOOKS


@each_notebook
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(read(path))


@each_notebook
def test_a_notebook_has_no_outputs_and_no_counts(path: Path) -> None:
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@each_notebook
def test_a_notebook_begins_with_its_question_and_its_run_time(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"\*\*Question:\*\*.*\?", first.source)
    assert re.search(r"\*\*Run time:\*\*.*(second|minute|hour)", first.source)


@each_notebook
def test_the_parameters_cell_is_annotated_assignments_with_a_comment_each(path: Path) -> None:
    source = parameters_source(path)
    lines = source.splitlines()
    statements = ast.parse(source).body
    for statement in statements:
        assert isinstance(statement, ast.AnnAssign), lines[statement.lineno - 1]
        assert statement.value is not None
        ast.literal_eval(statement.value)  # a value, not an expression
    names = [statement.target.id for statement in statements]  # type: ignore[union-attr]
    assert len(set(names)) == len(names)
    # papermill reads the cell line by line: what it does not understand it leaves out.
    described = papermill.inspect_notebook(path)
    assert list(described) == names
    assert [name for name, parameter in described.items() if not parameter["help"]] == []


@each_notebook
def test_every_code_cell_compiles(path: Path) -> None:
    for cell in code_cells(path):
        compile(without_magics(cell), path.name, "exec")


def test_the_parameters_of_the_grid_are_the_configuration_and_the_names_of_the_run() -> None:
    assert set(defaults(TRAIN_VARIANT)) == set(RunConfig.model_fields) | OF_THE_RUN


def test_the_grid_gives_exactly_the_parameters_that_are_declared(tmp_path: Path) -> None:
    study = StudyConfig.model_validate({"name": "s", "question": "What?", "variants": {"a": {}}})
    assert set(notebook_parameters(plan(study, tmp_path)[0])) == set(defaults(TRAIN_VARIANT))


def test_what_the_grid_gives_builds_the_planned_configuration(tmp_path: Path) -> None:
    """Through JSON and the preset that the notebook starts from, nothing is lost and nothing is added."""
    content = {
        "name": "s",
        "question": "What?",
        "preset": "asid-tiny",
        "variants": {"a": {}, "b": {"model": {"distillation_ratio": "1/8", "spatial_windows": []}, "train": {"ema_decay": 0.9}}},
        "seeds": [3],
    }
    for run in plan(StudyConfig.model_validate(content), tmp_path):
        given = notebook_parameters(run)
        sections = {name: given[name] for name in ("model", "data", "train", "evaluate")}
        assert build_run(given["preset"], sections, given["seed"]) == run.config


def test_the_defaults_of_the_grid_s_notebook_are_a_valid_run() -> None:
    values = defaults(TRAIN_VARIANT)
    sections = {name: values[name] for name in ("model", "data", "train", "evaluate")}
    config = build_run(values["preset"], sections, values["seed"])
    assert config.train.steps <= 1000, "the defaults run in about a minute"
    assert config.data.train == "samples"


def test_the_notebook_of_the_grid_checks_that_it_is_the_planned_run() -> None:
    """Before anything is trained: the identity it is given is that of another run."""
    parameters, check = (without_magics(cell) for cell in code_cells(TRAIN_VARIANT)[:2])
    scope: dict[str, Any] = {}
    exec(parameters, scope)
    exec(check, scope)
    scope["expected_run_id"] = "0" * 12
    with pytest.raises(ValueError, match=r"expected 0{12}"):
        exec(check, scope)
