"""Imports go one way, and importing is cheap: the walls between the folders of the package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asid

PACKAGE = Path(asid.__file__).parent

BASICS = {"config", "files", "process"}
NUMBERS = BASICS | {"data", "model"}
ALLOWED = {
    "config": {"files"},
    "files": set(),
    "process": set(),
    "data": BASICS,
    "model": BASICS,
    "evaluation": NUMBERS,
    "training": NUMBERS | {"evaluation"},
    "runs": NUMBERS | {"evaluation", "training"},
    "ablation.study": NUMBERS | {"runs"},
    "ablation.statistics": BASICS | {"runs", "ablation.study"},
    "ablation.engine": NUMBERS | {"evaluation", "training", "runs", "ablation.study", "ablation.statistics"},
    "ablation.report": BASICS | {"data", "runs", "ablation.study", "ablation.statistics", "plots"},
    "export": NUMBERS | {"evaluation", "runs", "ablation.study", "ablation.statistics", "ablation.report"},
    "interpret": NUMBERS | {"evaluation"},
    "plots": BASICS,
    "panels": NUMBERS
    | {"evaluation", "training", "runs", "ablation.study", "ablation.engine", "ablation.report", "interpret", "plots"},
    "bench": NUMBERS
    | {"evaluation", "training", "runs", "ablation.study", "ablation.engine", "ablation.report", "interpret", "plots"},
    "doctor": NUMBERS | {"training", "runs"},
    "cli": NUMBERS
    | {"evaluation", "training", "runs", "ablation.study", "ablation.statistics", "ablation.engine", "ablation.report"}
    | {"bench", "doctor", "export"}
    | {"interpret", "plots"},
}
"""For each part of the package the parts that it may import, besides itself."""


def part_of(module: str) -> str:
    """``asid.ablation.report.page`` to ``ablation.report``; the package itself to the empty text."""
    _, *parts = module.split(".")
    return ".".join(parts[: 2 if parts[:1] == ["ablation"] else 1])


def imported_modules(source: str) -> Iterator[str]:
    """Every ``asid`` module that ``source`` imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "asid")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "asid":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crossings(module: str, source: str) -> list[str]:
    """The imports of ``module`` that its part is not allowed."""
    mine = part_of(module)
    others = {part_of(name): name for name in imported_modules(source)}
    return [
        f"{module} imports {name}"
        for part, name in others.items()
        if part in ALLOWED and part not in {mine, *ALLOWED[mine]}
    ]


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    module = ".".join(["asid", *path.relative_to(PACKAGE).with_suffix("").parts])
    assert part_of(module) in ALLOWED, "a new folder: say in ALLOWED what it may import"
    assert crossings(module, path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asid.data.images", "from asid.model.network import ASID"),
        ("asid.model.network", "def f():\n    import asid.training.train"),
        ("asid.plots.study", "from asid.model import network"),
        ("asid.ablation.report.page", "from asid.ablation.engine.runner import run_study"),
        ("asid.interpret.gradients", "from asid.plots import style"),
        ("asid.runs.run", "from asid.panels.live_curves import LiveCurves"),
    ],
)
def test_a_wrong_import_is_noticed(module: str, source: str) -> None:
    assert len(crossings(module, source)) == 1


@pytest.mark.process
@pytest.mark.parametrize(
    "module", ["asid", "asid.cli.main", "asid.ablation.report.page", "asid.ablation.engine.status"]
)
def test_importing_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}\nprint(sorted({{'torch', 'lightning', 'papermill'}} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_the_package_has_four_loose_modules() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "config.py", "files.py", "process.py"}
