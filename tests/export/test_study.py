"""``asid export``: what other tools read back. Those of TensorBoard and MLflow need ``pip install 'asid[export]'``."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from command_line import Call
from written_study import PSNR, make_study

MEANS = {(variant, seed): sum(images.values()) / 2 for variant, seeds in PSNR.items() for seed, images in seeds.items()}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path)


def test_plain_tables(study: Path, cli: Call) -> None:
    assert cli("export", study).status == 0
    scores, curves = (pd.read_csv(study / "export" / "csv" / f"{name}.csv") for name in ("scores", "curves"))
    assert len(scores) == 3 * 2 * 2 + 2
    assert scores["attention_sharing"].notna().sum() == 3 * 2 * 2
    assert len(curves) == 3 * 2 * 3
    assert curves["psnr"].max() == 27


def test_tensorboard_reads_the_seeds_of_a_variant_as_one_group(study: Path, cli: Call) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    for _ in range(2):  # the second replaces the first
        assert cli("export", study, "--to", "tensorboard").status == 0
    folders = {path.parent for path in study.rglob("events.out.tfevents.*")}
    assert len(folders) == 3 * 2
    for (variant, seed), psnr in MEANS.items():
        place = study / "export" / "tensorboard" / variant / f"seed-{seed}"
        events = accumulator.EventAccumulator(str(place)).Reload()
        (final,) = events.Scalars("scores/psnr/set_5")
        assert (final.step, final.value) == (70, pytest.approx(psnr))
        assert [(point.step, point.value) for point in events.Scalars("training/psnr")] == [
            (10, 21),
            (40, 24),
            (70, 27),
        ]
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = plugin.HParamsPluginData.FromString(content).session_start_info
        assert start.group_name == variant
        assert start.hparams["seed"].number_value == seed
        assert start.hparams["attention_sharing"].string_value == "all"


def test_mlflow_reads_a_run_for_each_variant_and_seed(study: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    for _ in range(2):
        assert cli("export", study, "--to", "mlflow").status == 0
    client = mlflow.MlflowClient(tracking_uri=(study / "export" / "mlflow").as_uri())
    (experiment,) = [found for found in client.search_experiments() if found.name == "hand-written"]
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.info.run_id: run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert sorted(parents.values()) == sorted(PSNR)
    children = [run for run in runs if run.info.run_id not in parents]
    found = {
        (parents[run.data.tags["mlflow.parentRunId"]], int(run.data.params["seed"])): run.data.metrics["psnr/set_5"]
        for run in children
    }
    assert found == pytest.approx(MEANS)
    assert [point.value for point in client.get_metric_history(children[0].info.run_id, "training/psnr")] == [
        21,
        24,
        27,
    ]


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed")
def test_a_tool_that_is_not_installed_is_named(study: Path, cli: Call) -> None:
    ended = cli("export", study, "--to", "mlflow")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "pip install 'asid[export]'" in ended.err
