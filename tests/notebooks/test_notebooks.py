"""The notebooks: clean files that run, a parameters cell as interface, and one notebook that studies execute."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml
from jupyter_client.kernelspec import KernelSpecManager
from paths import ROOT
from pictures import check_pictures

from asid.ablation.engine.execution import notebook_parameters
from asid.ablation.engine.forked import imports_of
from asid.ablation.engine.kernel import tied_kernel_manager
from asid.ablation.study.expand import expand
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig, build_run

pytestmark = pytest.mark.process

FOLDER = ROOT / "notebooks"
INDEX = FOLDER / "00_index.ipynb"
NOTEBOOKS = sorted(path for path in FOLDER.glob("*.ipynb") if path != INDEX)
TRAIN_VARIANT = FOLDER / "03_train_variant.ipynb"
OF_THE_RUN = {"study", "variant", "preset", "output", "progress", "expected_run_id"}
"""Parameters that are not part of the configuration."""

SMALLER: dict[str, dict[str, Any]] = {
    "01_quickstart.ipynb": {"models": ["asid-tiny"]},
    "02_architecture.ipynb": {"model": {"num_groups": 2, "distillation_steps": 1}},
    "05_attention_maps.ipynb": {"models": ["asid-tiny", "asid-tiny-no-sharing"], "size": 16},
    "06_receptive_field.ipynb": {"size": 64, "row": 28, "column": 28, "tile": 32, "steps": 2, "passes": 32}
    | {"models": {"meso only": "asid-tiny-meso", "both": "asid-tiny"}, "compared": ["meso only", "both"]}
    | {"frequency_size": 32},
}
"""Parameters with which slow notebooks finish sooner."""

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
    return {
        statement.target.id: ast.literal_eval(statement.value) for statement in ast.parse(parameters_source(path)).body
    }  # type: ignore


def without_magics(cell: Any) -> str:
    """The source of a cell as Python, without lines such as ``%matplotlib inline``."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def test_the_notebook_of_studies_exists() -> None:
    assert TRAIN_VARIANT in NOTEBOOKS


@each_notebook
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(read(path))


@pytest.mark.parametrize("path", [INDEX, *NOTEBOOKS], ids=lambda path: path.name)
def test_a_notebook_is_clean(path: Path) -> None:
    """No outputs, execution counts, widget state, versions or metadata of a run."""
    notebook = read(path)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        assert len(cell.id) <= 32
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_the_index_leads_to_each_notebook_with_a_picture_and_the_question_of_the_readme() -> None:
    (cell,) = read(INDEX).cells
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| !\[[^]]+\]\((.+)\) \| \[.+\]\((.+)\) \| (.+) \| \S+ \|$", cell.source, re.MULTILINE)
    assert [FOLDER / notebook for _, notebook, _ in rows] == NOTEBOOKS
    for picture, notebook, question in rows:
        assert (FOLDER / picture).is_file()
        assert f"(notebooks/{notebook}) | {question} |" in readme


@each_notebook
def test_a_notebook_begins_with_its_question_its_run_time_and_its_data(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"\*\*Question:\*\*.*\?", first.source)
    assert re.search(r"\*\*Run time:\*\*.*(second|minute|hour)", first.source)
    assert re.search(r"\*\*Data:\*\* \w", first.source)


@each_notebook
def test_a_notebook_draws_without_pyplot(path: Path) -> None:
    """Its figures would be blank when a callback draws them in JupyterLab."""
    assert [cell.source for cell in code_cells(path) if "pyplot" in cell.source or "pylab" in cell.source] == []


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path != TRAIN_VARIANT], ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_pictures(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With papermill, without a browser and without data sets; panels show their first picture.

    The notebook of runs is executed by the study in ``tests/ablation/engine/test_runner.py``. The kernels are forked as
    those of a study, so that they share what they import.
    """
    monkeypatch.delenv("ASID_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    writes = {name: str(tmp_path / "written") for name in ("output", "folder") if name in defaults(path)}
    parameters = {**SMALLER.get(path.name, {}), **writes}
    assert set(parameters) <= set(defaults(path))
    manager = tied_kernel_manager(str(tmp_path), {}, imports_of(path))
    check_pictures(
        papermill.execute_notebook(
            path,
            tmp_path / path.name,
            parameters,
            cwd=FOLDER,
            progress_bar=False,
            kernel_manager_class=manager,
            shutdown_kernel="immediate",
        )
    )


def test_the_kernel_of_the_notebooks_is_that_of_this_environment() -> None:
    """Not one of the user or the system, which would not have the package."""
    kernel = KernelSpecManager().get_kernel_spec("python3")
    assert Path(kernel.resource_dir).is_relative_to(sys.prefix)
    assert kernel.argv[0] in ("python", sys.executable)  # Jupyter replaces python by its own interpreter


def test_the_hook_strips_what_running_a_notebook_leaves(tmp_path: Path) -> None:
    hooks = {
        hook["id"]: hook
        for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repo["hooks"]
    }
    assert re.search(hooks["nbstripout"]["files"], "notebooks/03_train_variant.ipynb")
    notebook, dirty = read(TRAIN_VARIANT), tmp_path / "dirty.ipynb"
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    notebook.metadata.papermill = {"duration": 1.0}
    notebook.metadata.language_info.update(
        version="3.11.7", file_extension=".py", codemirror_mode={"name": "ipython", "version": 3}
    )
    for cell in notebook.cells:
        cell.metadata.papermill = {"status": "completed"}
        if cell.cell_type == "code":
            cell.execution_count = 7
            cell.metadata.execution = {"iopub.status.busy": "2026-01-01"}
            cell.outputs = [nbformat.v4.new_output("stream", text="42")]
    nbformat.write(notebook, dirty)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [*shlex.split(hooks["nbstripout"]["entry"]), dirty], cwd=ROOT, env={**os.environ, "PATH": tools}, check=True
    )
    assert dirty.read_bytes() == TRAIN_VARIANT.read_bytes(), "as committed"


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
    # papermill parses the cell line by line, and skips lines that it does not understand.
    described = papermill.inspect_notebook(path)
    assert list(described) == names
    assert [name for name, parameter in described.items() if not parameter["help"]] == []


@each_notebook
def test_every_code_cell_compiles(path: Path) -> None:
    for cell in code_cells(path):
        compile(without_magics(cell), path.name, "exec")


def test_the_parameters_are_the_configuration_and_the_names_of_the_run() -> None:
    assert set(defaults(TRAIN_VARIANT)) == set(RunConfig.model_fields) | OF_THE_RUN


def test_a_study_passes_exactly_the_declared_parameters(tmp_path: Path) -> None:
    study = expand(StudyConfig.model_validate({"name": "s", "question": "What?", "variants": {"a": {}}}))
    assert set(notebook_parameters(plan_runs(study, tmp_path)[0])) == set(defaults(TRAIN_VARIANT))


def test_the_parameters_of_a_study_build_the_planned_configuration(tmp_path: Path) -> None:
    """Nothing is lost or added on the way through JSON and the preset that the notebook starts from."""
    content = {
        "name": "s",
        "question": "What?",
        "preset": "asid-tiny",
        "variants": {
            "a": {},
            "b": {"model": {"distillation_ratio": "1/8", "spatial_windows": []}, "train": {"ema_decay": 0.9}},
        },
        "seeds": [3],
    }
    for run in plan_runs(expand(StudyConfig.model_validate(content)), tmp_path):
        given = notebook_parameters(run)
        sections = {name: given[name] for name in ("model", "data", "train", "evaluate")}
        assert build_run(given["preset"], sections, given["seed"]) == run.config


def test_the_defaults_are_a_valid_run() -> None:
    values = defaults(TRAIN_VARIANT)
    sections = {name: values[name] for name in ("model", "data", "train", "evaluate")}
    config = build_run(values["preset"], sections, values["seed"])
    assert config.train.steps <= 1000, "the defaults run in about a minute"
    assert config.data.train == "samples"


def test_the_notebook_checks_that_it_is_the_planned_run() -> None:
    """A wrong identity stops the notebook before it trains."""
    parameters, check = (without_magics(cell) for cell in code_cells(TRAIN_VARIANT)[:2])
    scope: dict[str, Any] = {}
    exec(parameters, scope)
    exec(check, scope)
    scope["expected_run_id"] = "0" * 12
    with pytest.raises(ValueError, match=r"expected 0{12}"):
        exec(check, scope)
