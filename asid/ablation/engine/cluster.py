"""Where runs are executed: a Dask cluster on this machine, an existing one, or SLURM."""

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from asid.ablation.engine.kernel_files import worker_variables
from asid.config import Config
from asid.files import parse_yaml
from asid.process import chosen_threads

ANSWER = 10.0
"""Seconds that an existing scheduler has to answer."""


class ClusterConfig(Config):
    """Where the runs of a study are executed."""

    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Runs at a time. By default one per GPU, or one per CPU thread if there is no GPU; on a cluster one per worker."""
    scheduler: str | None = None
    """Address of an existing Dask scheduler, e.g. tcp://host:8786. Its workers see the same files at the same paths."""
    slurm: Path | None = None
    """YAML file with the arguments of dask_jobqueue.SLURMCluster (cores, memory, queue, walltime …)."""


def gpu_count() -> int:
    """Number of GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


def default_workers() -> int:
    """Runs at a time on this machine: one per GPU, or one per CPU thread if there is no GPU."""
    from dask.system import CPU_COUNT

    return gpu_count() or int(CPU_COUNT)


def threads_each(at_once: int) -> int:
    """CPU threads of each run on this machine if ``at_once`` runs are executed at a time: its share of them.

    Not a trial: the runs of a study are compared, and have to add in the same order.
    """
    from dask.system import CPU_COUNT

    return chosen_threads() or max(1, int(CPU_COUNT) // at_once)


def runs_at_once(config: ClusterConfig, runs: int) -> int:
    """How many of a study's ``runs`` are executed at a time."""
    local = not (config.scheduler or config.slurm)
    return min(config.workers or (default_workers() if local else runs), runs)


@contextmanager
def open_cluster(config: ClusterConfig, workers: int, threads: int = 1) -> Iterator[Any]:
    """A client of the cluster that ``config`` describes; the cluster is closed on leaving, unless it existed before.

    Args:
        config: Where runs are executed.
        workers: Number of workers, each with one task at a time.
        threads: CPU threads of a worker on this machine; elsewhere the cluster decides.

    Raises:
        ValueError: Two clusters at once, a profile that cannot be used, or dask-jobqueue is not installed.
        OSError: There is no scheduler at the address.
    """
    if config.scheduler and config.slurm:
        raise ValueError("expected a scheduler or a SLURM profile, got both: give one")
    if config.scheduler:
        with _connect(config.scheduler) as client:
            yield client
    elif config.slurm:
        with _slurm_cluster(config.slurm, workers) as client:
            yield client
    else:
        with _local_cluster(workers, threads) as client:
            yield client


def _connect(address: str) -> Any:
    """A client of the scheduler at ``address``, which has to answer within :data:`ANSWER`, in Dask's protocol."""
    from distributed import Client, Security
    from distributed.comm import connect

    keys = Security().get_connection_args("client")  # of TLS, from Dask's configuration

    async def shake_hands() -> None:
        # A client alone waits for ever for a server that accepts the connection and says nothing.
        comm = await asyncio.wait_for(connect(address, timeout=ANSWER, **keys), ANSWER)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook, this one has an event loop already
            thread.submit(lambda: asyncio.run(shake_hands())).result()
        return Client(address, timeout=ANSWER)
    except (OSError, ValueError, TypeError, MemoryError) as error:  # a server of another kind
        reason = str(error)[:300] or f"no answer within {ANSWER:g} s"
        raise OSError(f"no Dask scheduler answers at {address}: {reason}; start one with 'dask scheduler'") from None


@contextmanager
def _local_cluster(workers: int, threads: int) -> Iterator[Any]:
    import logging

    import dask
    from distributed import Client, LocalCluster

    variables = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **worker_variables()}
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # a run whose worker died is reported, not silently repeated
        # After a machine slept for minutes its workers are not dead. Those that die close their connection anyway.
        "distributed.scheduler.worker-ttl": None,
        # On a busy machine a worker needs more than the usual 15 s to start again: it would be given up meanwhile.
        "distributed.deploy.lost-worker-timeout": "10 minutes",
        "distributed.worker.daemon": False,  # data loaders start processes
        "distributed.nanny.environ": variables,
    }
    with dask.config.set(settings):
        with _ignoring_interrupts():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        with cluster, Client(cluster) as client:
            yield client


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which a terminal sends to all of them: this process shuts them down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _slurm_cluster(profile: Path, workers: int) -> Iterator[Any]:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise ValueError("SLURM needs dask-jobqueue: pip install 'asid[cluster]'") from None
    from distributed import Client

    if shutil.which("sbatch") is None:
        raise ValueError("SLURM's command sbatch is not on this machine: run the study where jobs are submitted")
    try:
        options = parse_yaml(profile.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{profile} is not valid YAML: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(
            f"{profile}: expected a mapping with the arguments of SLURMCluster, e.g. cores and memory, got {options!r}"
        )
    try:
        # Each job executes one task at a time, in a process that may start others (data loaders, kernels).
        cluster = SLURMCluster(
            **{
                "processes": 1,
                **options,
                "worker_extra_args": [*options.get("worker_extra_args", []), "--nthreads", "1"],
            }
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{profile}: {error}") from None
    with cluster, Client(cluster) as client:
        cluster.scale(jobs=workers)
        yield client


def environment_of(position: int, gpus: int) -> dict[str, str]:
    """Variables that assign a GPU to a kernel: one of ``gpus``, by the position of its worker; empty without GPUs."""
    if not gpus:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[position % len(visible)]}
