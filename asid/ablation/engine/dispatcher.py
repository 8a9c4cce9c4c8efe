"""Distributing runs over the workers of a Dask cluster.

``as_completed`` with at most as many futures as workers would be shorter, but a run takes hours, leaves files behind,
and owns a GPU. Dask's defaults do not fit that:

- The tasks of a worker that died are moved to other workers, three times. The limit is a setting of the scheduler,
  which on an existing cluster is not ours to change. A run whose worker died, out of memory for example, has to be
  reported as failed instead of killing one worker after another. So each task is bound to one worker. Dask then waits
  for that worker to return, and its loss has to be noticed here.
- A worker is given more tasks than it executes, and the waiting ones are lost with it. So each worker has one run.
- GPUs belong to positions: a worker that replaces a dead one takes over its position. Dask only knows addresses.
- Cancelling a future does not stop a task that has started. On a cluster that outlives this process, the kernels have
  to be killed.
- A worker with another version of the package would silently produce different numbers.
"""

import os
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from asid.ablation.engine.cluster import environment_of, gpu_count
from asid.ablation.engine.execution import execute_run, stop_run
from asid.ablation.engine.progress import Progress
from asid.ablation.study.plan import PlannedRun
from asid.runs.identity import source_hash


class Dispatcher:
    """Gives each worker one run at a time, and yields every run with its error when it has ended.

    Args:
        client: A ``distributed.Client``.
        notebook: Notebook that executes one run.
        workers: Runs at a time.
        local: Whether the cluster is on this machine and ends with this process.
        retry: How many times a failed run is repeated.
        progress: Where retries and waiting are reported.
    """

    def __init__(self, client: Any, notebook: Path, workers: int, local: bool, retry: int, progress: Progress) -> None:
        self.client, self.notebook, self.progress = client, notebook.resolve(), progress
        self.workers, self.local, self.retry = workers, local, retry
        self.gpus = gpu_count() if local else 0
        self.positions: list[str] = []
        """Addresses of workers; the position in this list decides the GPU."""
        self.running: dict[Any, tuple[PlannedRun, str]] = {}
        """Runs in progress by future, with the address of the worker."""
        self.attempts: dict[str, int] = {}
        self.waiting_reported = False

    def execute(self, pending: Sequence[PlannedRun]) -> Generator[tuple[PlannedRun, str | None], None, None]:
        """Execute all runs. An exception stops the runs in progress.

        Yields:
            Each run when it has ended, with ``None`` or its error as text.
        """
        waiting = list(pending)
        try:
            while waiting or self.running:
                alive = self._find_workers()
                busy = {address for _, address in self.running.values()}
                free = [address for address in alive if address not in busy]
                for address in free[: self.workers - len(busy)]:
                    if waiting:
                        self._submit(waiting.pop(0), address)
                for run, error in self._wait(alive):
                    attempt = self.attempts[run.label]
                    if error and attempt <= self.retry:
                        self.progress.say(f"{run.label}: {error}; retrying, attempt {attempt + 1} of {self.retry + 1}")
                        waiting.append(run)
                    else:
                        yield run, error
        except BaseException:
            self._stop()
            raise

    def _find_workers(self) -> list[str]:
        """Addresses of the living workers, by position.

        Raises:
            ValueError: A worker has another version of the package.
        """
        # Not scheduler_info: the client renews that in the background without workers, and may return it so.
        alive = list(self.client.nthreads())
        if new := [address for address in alive if address not in self.positions]:
            for address, source in self.client.run(source_hash, workers=new, on_error="ignore").items():
                if source != source_hash():
                    raise ValueError(
                        f"the worker {address} has another version of this package: install the same on all machines"
                    )
            vacant = [index for index, address in enumerate(self.positions) if address not in alive]
            for address in new:
                if vacant:
                    self.positions[vacant.pop(0)] = address
                else:
                    self.positions.append(address)
        return [address for address in self.positions if address in alive]

    def _submit(self, run: PlannedRun, address: str) -> None:
        environment = environment_of(self.positions.index(address), self.gpus)
        environment |= {name: value for name, value in os.environ.items() if name.startswith("ASID_")}
        absolute = run.model_copy(update={"folder": run.folder.resolve()})
        self.attempts[run.label] = self.attempts.get(run.label, 0) + 1
        future = self.client.submit(
            execute_run,
            absolute,
            self.notebook,
            Path.cwd(),
            environment,
            key=f"{run.label}, attempt {self.attempts[run.label]}",
            pure=False,
            workers=[address],
            allow_other_workers=False,
        )
        self.running[future] = (run, address)

    def _wait(self, alive: list[str]) -> Iterator[tuple[PlannedRun, str | None]]:
        """Wait up to a second; yields the runs that have ended, each with its error."""
        from distributed import wait

        if not self.running:
            if not alive and not self.waiting_reported:
                self.waiting_reported = True
                self.progress.say("waiting for the first worker of the cluster")
            time.sleep(0.2)
            return
        try:
            ended = set(wait(list(self.running), timeout=1, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            ended = set()
            self.progress.refresh()
        for future, (run, address) in list(self.running.items()):
            if future in ended:
                del self.running[future]
                if future.status == "finished":
                    yield run, future.result()
                else:
                    yield run, f"its process died ({future.exception()})"
            elif address not in alive:
                del self.running[future]
                future.cancel()
                yield run, f"its process died (the worker {address} is gone)"

    def _stop(self) -> None:
        """Stop the runs in progress on a cluster that outlives this process."""
        if self.local:
            return
        try:
            self.client.cancel(list(self.running))
            for run, address in self.running.values():
                self.client.run(stop_run, str(run.folder.resolve()), workers=[address], on_error="ignore")
        except Exception:  # the cluster may be gone as well
            return
