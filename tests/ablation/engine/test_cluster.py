"""Real clusters: a Dask scheduler with its workers, SLURM with stand-ins for its commands; GPUs in turn."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster, Security
from short_notebook import RECORDS, write_notebook

from asid.ablation.engine import cluster
from asid.ablation.engine.cluster import ClusterConfig, environment_of, open_cluster, threads_each
from asid.ablation.engine.dispatcher import Dispatcher
from asid.ablation.engine.progress import Progress
from asid.ablation.engine.runner import run_study
from asid.ablation.study.expand import Study, expand
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.study import StudyConfig

pytestmark = pytest.mark.process

SBATCH = """#!/bin/sh
# Runs a copy of the first job's script in the background, as SLURM would on a node of its own. Others wait.
# Jobs are submitted at the same time: who makes the folder is the first.
if mkdir {0}/first 2> /dev/null; then
    cp "$1" {0}/first/job
    setsid sh {0}/first/job > {0}/first/log 2>&1 &
else
    sleep 600 > {0}/queue.log 2>&1 &
fi
echo "$!" >> {0}/jobs
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- "-$1" 2>/dev/null || kill "$1"
"""


@pytest.fixture
def study(crops: Path) -> Study:
    train = {"steps": 4, "batch_size": 2, "validate_every": 2, "checkpoint_every": 4, "accelerator": "cpu"}
    data = {"train": str(crops / "train"), "validation": str(crops / "validation"), "patch_size": 16}
    return expand(
        StudyConfig.model_validate(
            {
                "name": "elsewhere",
                "question": "Does the study run on another cluster?",
                "preset": "asid-tiny",
                "base": {
                    "model": {"num_groups": 1},
                    "data": data,
                    "train": train,
                    "evaluate": {"data": [str(crops / "validation")]},
                },
                "variants": {"no-esa": {"model": {"esa": False}}},
            }
        )
    )


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a Dask scheduler with a worker, each a process of its own that was started from a shell."""
    address = tmp_path / "scheduler.json"
    processes = []
    try:
        with (tmp_path / "dask.log").open("ab") as log:
            words = [sys.executable, "-m", "dask", "scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"]
            processes.append(subprocess.Popen([*words, "--scheduler-file", str(address)], stdout=log, stderr=log))
            words = [sys.executable, "-m", "dask", "worker", "--scheduler-file", str(address), "--nthreads", "1"]
            words += ["--no-dashboard", "--local-directory", str(tmp_path)]
            processes.append(subprocess.Popen(words, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        while not address.exists():
            assert time.monotonic() < deadline, (tmp_path / "dask.log").read_text()
            time.sleep(0.1)
        yield json.loads(address.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def test_a_study_runs_on_an_existing_cluster(study: Study, scheduler: str, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path, RECORDS)
    outcomes = run_study(study, notebook, tmp_path / "out", ClusterConfig(scheduler=scheduler))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert all(run.is_done() for run in plan_runs(study, tmp_path / "out"))


def test_a_scheduler_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 1.0)
    with (
        pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9: .*start one"),
        open_cluster(ClusterConfig(scheduler="tcp://127.0.0.1:9"), 1),
    ):
        pass


@pytest.mark.parametrize("greeting", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "foreign"])
def test_a_server_that_is_no_scheduler_is_given_up(greeting: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 1.0)
    connections = []

    def answer() -> None:
        with suppress(OSError):
            while True:
                connections.append(server.accept()[0])
                if greeting:
                    connections[-1].sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(OSError, match="no Dask scheduler answers"),
            open_cluster(ClusterConfig(scheduler=address), 1),
        ):
            pass
    for connection in connections:
        connection.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")
def test_a_scheduler_is_reached_through_tls(tmp_path: Path) -> None:
    """With the certificates of Dask's own configuration; without them it is refused."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=asid", "-days", "1"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls: dict[str, str | None] = {"distributed.comm.tls.ca-file": str(certificate)}
    for role in ("scheduler", "worker", "client"):
        tls |= {f"distributed.comm.tls.{role}.key": str(key), f"distributed.comm.tls.{role}.cert": str(certificate)}
    with dask.config.set(tls):
        options = {"n_workers": 0, "processes": False, "dashboard_address": None, "host": "tls://127.0.0.1"}
        with LocalCluster(security=Security(require_encryption=True), **options) as served:
            address = served.scheduler_address
            assert address.startswith("tls://127.0.0.1:")
            with open_cluster(ClusterConfig(scheduler=address), 1) as client:
                assert client.nthreads() == {}
            with (
                dask.config.set(dict.fromkeys(tls)),
                pytest.raises(OSError, match="no Dask scheduler answers at tls"),
                open_cluster(ClusterConfig(scheduler=address), 1),
            ):
                pass


def test_slurm_without_its_commands_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="sbatch"), open_cluster(ClusterConfig(slurm=tmp_path / "slurm.yaml"), 1):
        pass


def test_a_study_runs_through_slurm(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of SLURM are stand-ins; the job scripts, the worker in the first and the study are real."""
    for name, text in (("sbatch", SBATCH.format(tmp_path)), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    profile = tmp_path / "slurm.yaml"
    profile.write_text(
        f"cores: 1\nmemory: 2GB\ninterface: lo\npython: {sys.executable}\nlocal_directory: {tmp_path}\nqueue: short\n"
    )
    notebook = write_notebook(tmp_path, RECORDS)
    outcomes = run_study(study, notebook, tmp_path / "out", ClusterConfig(slurm=profile, workers=2))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len((tmp_path / "jobs").read_text().split()) == 2, "a job for each worker"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cores: [", "not valid YAML"),
        ("- 1", "expected a mapping with the arguments of SLURMCluster"),
        ("corse: 1", "corse|cores"),
    ],
)
def test_a_slurm_profile_that_makes_no_sense_is_reported(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "slurm.yaml"
    profile.write_text(text)
    monkeypatch.setattr("shutil.which", lambda _: "sbatch")
    with pytest.raises(ValueError, match=words) as caught, open_cluster(ClusterConfig(slurm=profile), 1):
        pass
    assert str(profile) in str(caught.value)


def test_two_clusters_at_once_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="got both"),
        open_cluster(ClusterConfig(slurm=tmp_path / "a.yaml", scheduler="tcp://127.0.0.1:9"), 1),
    ):
        pass


def test_gpus_are_shared_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [environment_of(position, 2) for position in range(3)] == [
        {"CUDA_VISIBLE_DEVICES": str(gpu)} for gpu in (0, 1, 0)
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [environment_of(position, 2)["CUDA_VISIBLE_DEVICES"] for position in range(3)] == ["4", "7", "4"]
    assert environment_of(1, 0) == {}


def test_workers_outlive_the_sleep_of_their_machine() -> None:
    """A pause of minutes without heartbeats must not end runs that continue afterwards; nor a slow start a worker."""
    patience = "distributed.deploy.lost-worker-timeout"
    assert dask.config.get(patience) == "15s", "Dask has this setting"
    with open_cluster(ClusterConfig(), 1) as client:
        assert dask.config.get(patience) == "10 minutes"
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl) is None


def test_cpu_threads_are_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    assert [threads_each(workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


@pytest.mark.process
def test_living_workers_are_found_while_the_client_renews_what_it_knows(tmp_path: Path) -> None:
    """Dask's client replaces its list of workers by an empty one every other second."""
    with open_cluster(ClusterConfig(), workers=1) as client:
        client.wait_for_workers(1)
        client._periodic_callbacks["scheduler-info"].callback_time = 0.1  # milliseconds: as on a busy machine
        client._periodic_callbacks["scheduler-info"].stop()
        client.loop.add_callback(client._periodic_callbacks["scheduler-info"].start)
        dispatcher = Dispatcher(client, tmp_path / "unused.ipynb", 1, True, 0, Progress([]))
        assert {len(dispatcher._find_workers()) for _ in range(300)} == {1}
