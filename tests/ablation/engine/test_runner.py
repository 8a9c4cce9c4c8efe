"""Studies executed with papermill and Dask on trainings of four steps: what a failure leaves and does not stop."""

import contextlib
import io
import json
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
import pytest
from paths import TRAIN_VARIANT
from pictures import check_pictures
from short_notebook import RECORDS, write_notebook

from asid.ablation.engine import references, runner
from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.execution import execute_run
from asid.ablation.engine.notebook import check_notebook
from asid.ablation.engine.outcome import Outcome
from asid.ablation.engine.runner import run_study
from asid.ablation.report.results import load_results
from asid.ablation.report.write import write_report
from asid.ablation.study.expand import Study, load_study
from asid.ablation.study.plan import PlannedRun, plan_runs, read_plan
from asid.ablation.study.study import StudyError
from asid.cli import main as cli
from asid.files import CHECKPOINT, ERROR, HISTORY, NOTEBOOK, RECORD, WEIGHTS
from asid.runs.identity import data_manifests
from asid.runs.record import read_record
from asid.training.history import read_history

pytestmark = pytest.mark.process

STUDY = """
name: pair
question: Does the study run?
preset: asid-tiny
base:
  data: {{train: '{0}/train', validation: '{0}/validation', patch_size: 16}}
  train: {{steps: 4, batch_size: 2, validate_every: 2, checkpoint_every: 4, accelerator: cpu}}
  evaluate: {{data: ['{0}/validation']}}
variants:
  base:
  large-patches: {{data: {{patch_size: 64}}}}
references: [bicubic, linear, plain-cnn]
notebook: {1}
"""
GOOD, BAD = "base", "large-patches"
"""The photographs are too small for the patches of one variant, which shows only in its notebook."""
DIES = """
import pathlib, psutil, time

mark = pathlib.Path(output).with_name("mark")
if not mark.exists():
    mark.touch()
    server = psutil.Process().parent()  # from which the kernel was forked
    server.parent().kill()
    time.sleep(600)
"""
"""The first run kills the process that executes its notebook, as if memory had run out. Its kernel then has to die with
that process."""


@dataclass(frozen=True)
class Finished:
    """A study that was run once from the command line."""

    study: Study
    folder: Path
    runs: dict[str, PlannedRun]
    status: int
    output: str
    listeners: set[str]
    """Addresses at which its processes accepted connections while it ran."""
    temporary: Path
    """The folder of its temporary files."""


@contextlib.contextmanager
def watched_listeners() -> Iterator[set[str]]:
    """The addresses at which this process and its descendants listen, collected every half second until the end."""
    addresses: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            me = psutil.Process()
            for process in [me, *me.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    sockets = process.net_connections(kind="inet")
                    addresses.update(socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield addresses
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def finished(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("a {study} with 'quotes' of é")
    path = folder / "pair.yaml"
    path.write_text(STUDY.format(crops, TRAIN_VARIANT))
    study = load_study(path)
    output = io.StringIO()
    temporary = tmp_path_factory.mktemp("t")  # short: Unix names sockets with at most 107 bytes
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        watched_listeners() as listeners,
    ):
        patch.setattr(
            sys, "argv", ["asid", "ablate", "run", str(path), "--output", str(folder / "out"), "--workers", "2"]
        )
        patch.setenv("HOME", "/proc")  # not even root can write there
        patch.setenv("TMPDIR", str(temporary))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    runs = {run.variant: run for run in plan_runs(study, folder / "out")}
    assert isinstance(ended.value.code, int)
    return Finished(study, folder / "out", runs, ended.value.code, output.getvalue(), listeners, temporary)


def without(study: Study, variant: str) -> Study:
    """The study without one of its two variants, and without the reference that is trained: one run."""
    others = {name: delta for name, delta in study.config.variants.items() if name != variant}
    return study.override(variants=others, references=("bicubic", "linear"))


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


def no_cluster(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing was to be run")


def test_nothing_listens_beyond_this_machine(finished: Finished) -> None:
    """Scheduler, workers, dashboard and kernels of a study: their ports execute code, or show logs and stacks."""
    assert finished.listeners == {"127.0.0.1"}


def test_nothing_temporary_is_left(finished: Finished) -> None:
    """Connection files hold the keys of kernels, and each kernel makes one."""
    left = [path for path in finished.temporary.rglob("*.json") if path.is_file()]
    assert left == []


def test_a_run_leaves_its_record_curves_weights_and_images(finished: Finished) -> None:
    run = finished.runs[GOOD]
    record = read_record(run.folder, run.run_id)
    assert (record.study, record.variant, record.config) == ("pair", GOOD, run.config)
    assert record.complexity is not None
    assert record.complexity["parameters"] == 56164
    assert [row["image"] for row in record.scores] == ["face"]
    assert [row["step"] for row in record.history][-1] == 4
    assert read_history(run.folder)["psnr"].notna().sum() == 2
    assert {path.name for path in run.folder.iterdir()} >= {RECORD, HISTORY, WEIGHTS, NOTEBOOK}
    assert not (run.folder / CHECKPOINT).exists()
    assert not (run.folder / ERROR).exists()
    assert (run.folder / "images" / "validation" / "face.png").is_file()


def test_a_run_leaves_its_executed_notebook(finished: Finished) -> None:
    notebook = nbformat.read(finished.runs[GOOD].folder / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    check_pictures(notebook)
    (injected,) = [cell.source for cell in code if "injected-parameters" in cell.metadata.tags]
    assert f'variant = "{GOOD}"' in injected
    assert finished.runs[GOOD].run_id in injected


def test_a_failed_run_leaves_the_error_and_the_executed_notebook(finished: Finished) -> None:
    folder = finished.runs[BAD].folder
    assert not (folder / RECORD).exists()
    text = (folder / ERROR).read_text()
    assert "ImageError" in text
    assert "expected at least 128 pixels per side" in text
    assert "train_and_score" in text, "the traceback"
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    errors = [
        output.ename
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert errors == ["ImageError"]


def test_the_error_is_plain_text(finished: Finished) -> None:
    assert "\x1b" not in (finished.runs[BAD].folder / ERROR).read_text(), "colours of a terminal, in a file"


def test_the_command_names_the_failed_run_and_ends_with_status_one(finished: Finished) -> None:
    text = " ".join(finished.output.split())
    assert finished.status == 1
    assert f"failed: {BAD} seed 0: ImageError:" in text
    assert "lower data.patch_size" in text
    assert f"2 of 3 runs done (0 before). Next: asid ablate retry {shlex.quote(str(finished.folder))}" in text
    assert f"failed: {GOOD}" not in text


def test_the_command_writes_paths_that_can_be_copied(finished: Finished) -> None:
    """A path that is broken over lines cannot be opened."""
    assert str(finished.runs[BAD].folder / ERROR) in finished.output
    assert str(finished.runs[BAD].folder / NOTEBOOK) in finished.output


def test_references_are_scored_on_the_same_images(finished: Finished) -> None:
    data = read_record(finished.runs["base"].folder).data
    (evaluated,) = [use for use in data if use.startswith("evaluate")]
    psnr = {}
    for name, uses in (("bicubic", [evaluated]), ("linear", ["train", evaluated])):
        record = read_record(finished.folder / "references" / name)
        assert record.complexity is None
        assert [(row["data"], row["image"]) for row in record.scores] == [("validation", "face")]
        assert record.data == {use: data[use] for use in uses}
        psnr[name] = record.scores[0]["psnr"]
    assert psnr["linear"] > psnr["bicubic"]


def test_a_plain_cnn_is_run_and_reported_as_a_reference(finished: Finished) -> None:
    run, base = finished.runs["plain-cnn"], finished.runs[GOOD]
    record = read_record(run.folder, run.run_id)
    assert record.complexity is not None
    assert record.complexity["parameters"] == pytest.approx(56164, rel=0.05)
    assert record.scores[0]["psnr_uniform_maps"] is None
    assert (record.config.data, record.config.evaluate) == (base.config.data, base.config.evaluate)
    notebook = (run.folder / NOTEBOOK).read_text()
    assert "no spatial attention" in notebook
    results = load_results(finished.folder)
    assert list(results.table["variant"]) == ["bicubic", "linear", "plain-cnn", GOOD]
    assert pd.isna(results.rows("validation")["verdict"].iloc[2])
    assert results.variants == [GOOD]


def test_linear_is_fitted_to_the_training_photographs_as_they_are_reduced_there(finished: Finished) -> None:
    config = finished.runs[GOOD].config
    manifests = data_manifests(config)
    upscalers = {
        references._reference_identity("linear", changed, manifest).training
        for changed, manifest in [
            (config, manifests),
            (config.override(data={**config.data.to_dict(), "border": "replicate"}), manifests),
            (config, {**manifests, "train": {**manifests["train"], "manifest": "another"}}),
        ]
    }
    assert len(upscalers) == 3
    assert read_record(finished.folder / "references" / "linear").identity.training in upscalers


def test_the_plan_lists_every_run_with_its_folder(finished: Finished) -> None:
    plan = read_plan(finished.folder)
    assert (plan.name, plan.base, plan.references) == ("pair", "base", ("bicubic", "linear", "plain-cnn"))
    assert plan.runs == tuple(finished.runs.values())
    assert plan.notebook.resolve() == TRAIN_VARIANT


def test_the_plan_holds_no_path_outside_the_folder(finished: Finished) -> None:
    """A study's folder can be moved."""
    content = json.loads((finished.folder / "study.json").read_text())
    assert [run["folder"] for run in content["runs"]] == [f"runs/{run.folder.name}" for run in finished.runs.values()]


def test_only_the_failed_run_is_left_to_do(finished: Finished) -> None:
    assert {run.variant for run in plan_runs(finished.study, finished.folder) if not run.is_done()} == {BAD}


def test_the_report_lists_the_failed_run_as_without_a_record(finished: Finished) -> None:
    assert load_results(finished.folder).missing == (f"{BAD} seed 0",)
    write_report(load_results(finished.folder))
    text = (finished.folder / "comparison.md").read_text()
    assert f"Without a record, not in the table: {BAD} seed 0." in text
    assert f"| {BAD}" not in text


def test_what_is_done_is_not_run_again(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "open_cluster", no_cluster)
    before = snapshot(finished.folder / "runs")
    outcomes = run_study(without(finished.study, BAD), TRAIN_VARIANT, finished.folder)
    assert outcomes == [Outcome(f"{GOOD} seed 0", error=None, skipped=True)]
    assert snapshot(finished.folder / "runs") == before


def test_a_changed_run_gets_a_folder_of_its_own(finished: Finished) -> None:
    longer = finished.study.override(
        base={**finished.study.config.base, "train": {**finished.study.config.base["train"], "steps": 5}}
    )
    assert not {run.folder for run in plan_runs(longer, finished.folder)} & {
        run.folder for run in finished.runs.values()
    }


def test_what_is_left_of_a_study_gets_the_threads_of_the_whole(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads change the last digits: otherwise a stopped study would not end in the same table."""
    asked = []

    def open_cluster(config: ClusterConfig, workers: int, threads: int) -> None:
        asked.append((workers, threads))
        raise StudyError("far enough")

    monkeypatch.setattr(runner, "open_cluster", open_cluster)
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    for only in (None, frozenset({(GOOD, 0)})):
        with pytest.raises(StudyError, match="far enough"):
            run_study(finished.study, TRAIN_VARIANT, tmp_path, ClusterConfig(workers=2), only=only)
    assert asked == [(2, 4), (1, 4)]


@pytest.mark.parametrize("damage", ["truncated", "of another run"])
def test_a_run_with_a_bad_record_is_not_done(damage: str, finished: Finished, tmp_path: Path) -> None:
    run = finished.runs["base"].model_copy(update={"folder": tmp_path})
    text = (finished.runs["base"].folder / RECORD).read_text()
    (tmp_path / RECORD).write_text(text)
    assert run.is_done()
    (tmp_path / RECORD).write_text(
        text[:-100] if damage == "truncated" else text.replace(run.identity.training, "0" * 12)
    )
    assert not run.is_done()


@pytest.mark.parametrize("name", ["expected_run_id", "model", "seed"])
def test_a_notebook_that_lacks_a_parameter_is_refused_before_anything_runs(
    name: str, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "open_cluster", no_cluster)
    notebook = nbformat.read(TRAIN_VARIANT, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = parameters.source.replace(f"{name}:", f"{name}_:")
    path = tmp_path / "lacking.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match=f"does not declare {name}$") as caught:
        run_study(make_study(crops, tmp_path), path, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_notebook_is_reported_before_anything_runs(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "open_cluster", no_cluster)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ipynb"):
        run_study(make_study(crops, tmp_path), tmp_path / "nowhere.ipynb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def make_study(crops: Path, folder: Path) -> Study:
    path = folder / "study.yaml"
    path.write_text(STUDY.format(crops, TRAIN_VARIANT))
    return load_study(path).override(references=("bicubic", "linear"))


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[[str], Path]:
    return partial(write_notebook, tmp_path)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("import os; os._exit(3)", "DeadKernelError"),
        ("raise KeyError('what')", "KeyError: 'what'"),
        ("variant", "FileNotFoundError"),
        ("import pathlib; pathlib.Path(output, 'record.json').write_text('{')", "RecordError"),
    ],
    ids=["the kernel dies", "an exception", "no record", "a damaged record"],
)
def test_whatever_goes_wrong_in_a_notebook_is_an_error_as_text(
    action: str, words: str, make_notebook: Callable[[str], Path], crops: Path, tmp_path: Path
) -> None:
    run = plan_runs(make_study(crops, tmp_path), tmp_path / "out")[0]
    error = execute_run(run, make_notebook(action))
    assert error is not None
    assert error.startswith(words)
    assert words.split(":")[0] in (run.folder / ERROR).read_text()
    assert (run.folder / NOTEBOOK).is_file()


def test_the_kernel_gets_the_environment_of_its_position(
    make_notebook: Callable[[str], Path], crops: Path, tmp_path: Path
) -> None:
    run = plan_runs(make_study(crops, tmp_path), tmp_path / "out")[0]
    notebook = make_notebook("import os; raise ValueError(os.environ['CUDA_VISIBLE_DEVICES'], os.getcwd())")
    error = execute_run(run, notebook, tmp_path, {"CUDA_VISIBLE_DEVICES": "$7"})
    assert error == f"ValueError: ('$7', '{tmp_path}')"


def test_a_process_that_dies_is_one_failed_run_and_is_run_again_alone(
    make_notebook: Callable[[str], Path], crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, notebook, out = make_study(crops, tmp_path), make_notebook(DIES + RECORDS), tmp_path / "out"
    outcomes = run_study(study, notebook, out, ClusterConfig(workers=1))
    (died,) = [outcome for outcome in outcomes if outcome.error]  # not the one that waited behind it
    assert "its process died" in str(died.error)

    (done,) = [run for run in plan_runs(study, out) if run.is_done()]
    before = snapshot(done.folder)
    assert run_study(study, notebook, out, ClusterConfig(workers=1)) == [
        Outcome(outcome.label, skipped=outcome.error is None) for outcome in outcomes
    ]
    assert snapshot(done.folder) == before

    monkeypatch.setattr(runner, "open_cluster", no_cluster)
    assert run_study(study, notebook, out) == [Outcome(outcome.label, skipped=True) for outcome in outcomes]


CELL = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "study: str = ''", "outputs": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff{",
        b"[]",
        b"{}",
        *(
            json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()
            for cells in (
                None,
                3,
                ["x"],
                [{**CELL, "metadata": None}],
                [{**CELL, "metadata": {"tags": 1}}],
                [{**CELL, "source": 1}],
                [{**CELL, "source": [1]}],
                [{**CELL, "source": "def ("}],
                [{**CELL, "source": "a\0b"}],
                [{**CELL, "source": "(" * 5000}],
                [{**CELL, "cell_type": "x"}],
                [CELL],
            )
        ),
    ],
    ids=lambda content: content[36:80].decode(errors="replace"),
)
def test_a_file_that_is_no_notebook_for_runs_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.ipynb") as caught:
        check_notebook(path)
    assert len(str(caught.value)) < 3000
