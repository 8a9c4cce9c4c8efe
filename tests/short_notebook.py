"""Notebooks for runs that do one thing instead of training."""

from pathlib import Path

import nbformat
from paths import TRAIN_VARIANT

RECORDS = """
from asid.runs.identity import data_manifests, run_identity
from asid.runs.record import Record, write_record
from asid.config import build_run

config = build_run(preset, {"model": model, "data": data, "train": train, "evaluate": evaluate}, seed)
rest = {"identity": run_identity(config), "protocol": "any", "data": data_manifests(config), "complexity": None}
rest |= {"seconds": {}, "provenance": {}}
write_record(Record(study=study, variant=variant, config=config, scores=[], history=[], **rest), output)
"""
"""What makes a run done: its record, without scores."""


def write_notebook(folder: Path, action: str) -> Path:
    """Write a notebook to ``folder`` that declares what a run is given, and then executes ``action``."""
    notebook = nbformat.read(TRAIN_VARIANT, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    notebook.cells = [parameters, nbformat.v4.new_code_cell(action)]
    path = folder / "action.ipynb"
    nbformat.write(notebook, path)
    return path
