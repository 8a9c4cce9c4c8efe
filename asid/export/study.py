"""A study for other tools: TensorBoard, MLflow, or plain tables. Exporting again replaces what was exported before.

- ``csv``: ``scores.csv``, a row per run and image with every field of the configuration, and ``curves.csv``, a row per
  run and step.
- ``tensorboard``: event files with curves, final scores and hyperparameters, the seeds of a variant as one session
  group.
- ``mlflow``: a file store with an experiment per study, in it a run per variant, and in that one per seed; MLflow 3
  reads it with ``MLFLOW_ALLOW_FILE_STORE=true``.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from asid.ablation.report.escape import to_csv
from asid.ablation.report.frame import FIELD_COLUMNS
from asid.ablation.report.frame import results as all_results
from asid.ablation.report.results import StudyResults
from asid.ablation.statistics.records import StoredRecord
from asid.files import write_text

CURVES = ("loss", "learning_rate", "psnr")
_RUN_ID = "asid.run_id"


def _to_csv(results: StudyResults, folder: Path) -> None:
    curves = [
        pd.DataFrame(stored.record.history).assign(variant=stored.record.variant, seed=stored.record.config.seed)
        for stored in results.runs
    ]
    table = pd.concat(curves)[["variant", "seed", "step", *CURVES, "seconds"]]
    write_text(folder / "scores.csv", to_csv(all_results(*(stored.folder for stored in results.records))))
    write_text(folder / "curves.csv", to_csv(table))


def _to_tensorboard(results: StudyResults, folder: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    for stored in results.runs:
        record = stored.record
        place = folder / record.variant / f"seed-{record.config.seed}"
        for file in place.glob("events.out.tfevents.*"):  # of an earlier export
            file.unlink()
        scores = {f"scores/{name}": value for name, value in _scores(stored).items()}
        experiment, start, end = hparams(_settings(stored), scores)
        plugin = start.value[0].metadata.plugin_data
        session = HParamsPluginData.FromString(plugin.content)
        session.session_start_info.group_name = record.variant  # torch has no argument for it
        plugin.content = session.SerializeToString()
        with SummaryWriter(str(place)) as writer:
            for summary in (experiment, start, end):
                writer._get_file_writer().add_summary(summary)
            for name, step, value in _curves(stored):
                writer.add_scalar(f"training/{name}", value, step)
            for name, value in scores.items():
                writer.add_scalar(name, value, record.config.train.steps)


def _to_mlflow(results: StudyResults, folder: Path) -> None:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it prefers a database, and its packages
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=folder.absolute().as_uri())
    name = results.plan.study.full_name
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    while earlier := client.search_runs([experiment], filter_string=f"tags.`{_RUN_ID}` != ''"):  # a page at a time
        for run in earlier:
            client.delete_run(run.info.run_id)
    parents: dict[str, str] = {}
    for stored in results.runs:
        record = stored.record
        if record.variant not in parents:
            parent = client.create_run(experiment, tags={_RUN_ID: "all seeds"}, run_name=record.variant)
            parents[record.variant] = parent.info.run_id
            client.set_terminated(parents[record.variant])
        tags = {"mlflow.parentRunId": parents[record.variant], _RUN_ID: record.run_id}
        run_id = client.create_run(
            experiment, tags=tags, run_name=f"{record.variant} seed {record.config.seed}"
        ).info.run_id
        metrics = [Metric(f"training/{name}", value, 0, step) for name, step, value in _curves(stored)]
        metrics += [Metric(name, value, 0, record.config.train.steps) for name, value in _scores(stored).items()]
        parameters = [Param(name, str(value)) for name, value in _settings(stored).items()]
        client.log_batch(run_id, metrics=metrics, params=parameters)
        client.set_terminated(run_id)


def _curves(stored: StoredRecord) -> Iterator[tuple[str, int, float]]:
    """Name, step and value of each point of the training curves."""
    for row in stored.record.history:
        for name in CURVES:
            value: Any = row[name]  # type: ignore[literal-required]
            if value is not None and math.isfinite(value):
                yield name, row["step"], value


def _scores(stored: StoredRecord) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM on each evaluation set."""
    table = stored.record.score_table
    values = {
        f"{name}/{data}": float(rows[name].mean()) for data, rows in table.groupby("data") for name in ("psnr", "ssim")
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _settings(stored: StoredRecord) -> dict[str, Any]:
    """Every field of the configuration that has a value, by the names of :data:`FIELD_COLUMNS`, and the seed."""
    row = all_results(stored.folder).iloc[0]
    values = {name: row[name] for name in ("variant", "seed", *FIELD_COLUMNS.values()) if not pd.isna(row[name])}
    return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}


WRITERS: dict[str, Callable[[StudyResults, Path], None]] = {
    "csv": _to_csv,
    "tensorboard": _to_tensorboard,
    "mlflow": _to_mlflow,
}
"""By target, what writes the finished runs of a study to a folder. Raises ``ImportError`` if the tool is missing."""
