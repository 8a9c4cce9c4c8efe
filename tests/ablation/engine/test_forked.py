"""Kernels that are forked with the imports of their notebook."""

import multiprocessing
import sys
from pathlib import Path

import nbformat
import pytest

from asid.ablation.engine.forked import fork_kernel, imports_of


def test_the_imports_of_a_notebook_are_those_of_its_plain_cells(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("import nothing"),
        nbformat.v4.new_code_cell("%matplotlib inline\nimport numpy as np\nfrom asid.config import preset"),
        nbformat.v4.new_code_cell("if True:\n    import inner\nimport numpy, asid.files"),
        nbformat.v4.new_code_cell("no Python; import lost"),
        nbformat.v4.new_code_cell("from . import relative"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "some.ipynb")
    assert imports_of(tmp_path / "some.ipynb") == ["numpy", "asid.config", "asid.files"]


def test_what_cannot_be_forked_is_left_to_a_new_process() -> None:
    kernel = ["python", "-m", "ipykernel_launcher", "-f", "connection.json"]
    assert fork_kernel(["R", "--slave"], {}, None, []) is None
    assert fork_kernel(kernel, {"CUDA_VISIBLE_DEVICES": "0"}, None, []) is None


def test_a_temporary_folder_too_long_for_a_socket_means_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(process: object) -> None:
        raise OSError(reason)

    monkeypatch.setattr(multiprocessing.context.ForkServerProcess, "start", start)
    kernel = [sys.executable, "-m", "ipykernel_launcher"]
    reason = "AF_UNIX path too long"
    assert fork_kernel(kernel, {}, None, []) is None
    reason = "no processes left"
    with pytest.raises(OSError, match="no processes left"):
        fork_kernel(kernel, {}, None, [])
