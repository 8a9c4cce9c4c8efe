"""Ctrl-C and SIGTERM, sent to real processes: the first ends a command cleanly, the second immediately."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from asid.cli.stopping import stops_cleanly
from asid.files import CHECKPOINT, WEIGHTS

pytestmark = pytest.mark.process

SCRIPT = """
import subprocess, sys, time
from rich.console import Console
from asid.cli.stopping import stops_cleanly
from asid.files import CHECKPOINT, WEIGHTS

def work(seconds):
    for _ in range(20 * seconds):  # in slices: a signal in the instant before a sleep is noticed after it
        time.sleep(0.05)

sleep = "import time; time.sleep(60)"
parent = (
    f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {sleep!r}]); "
    "print(p.pid, flush=True); p.wait()"
)
try:
    with stops_cleanly(Console()):
        try:
            child = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
            print(child.pid, child.stdout.readline().strip(), flush=True)
            work(60)
        except SystemExit:
            print("closing", flush=True)
            work(60 if sys.argv[1] == "slowly" else 0)
            raise
finally:
    print("ended", flush=True)
"""
"""Work with a child and a grandchild. Interrupted, it closes what it has opened, which may take long."""

each_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


class Worker:
    """A process of :data:`SCRIPT` at work, with the processes that it has started."""

    def __init__(self, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.children = [int(word) for word in self.line().split()]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Exit status and remaining output; not that of its children, which may live on and hold the pipe."""
        status = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return status, self.process.stdout.read(), self.process.stderr.read()


@pytest.fixture
def work() -> Iterator[Callable[[str], Worker]]:
    workers = []

    def begin(how: str) -> Worker:
        workers.append(Worker(how))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.process.kill()
        for pid in worker.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.process.communicate()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_gone(pids: list[int]) -> bool:
    """Whether the processes are gone, after a moment."""
    for _ in range(200):
        if not any(map(lives, pids)):
            return True
        time.sleep(0.02)
    return False


@each_signal
def test_the_first_signal_ends_it_after_it_has_closed_what_it_opened(
    number: signal.Signals, work: Callable[[str], Worker]
) -> None:
    worker = work("quickly")
    assert len(worker.children) == 2
    worker.process.send_signal(number)
    status, out, err = worker.end()
    assert (status, err) == (128 + number, "")
    assert out.splitlines() == ["stopping; interrupt again to stop immediately", "closing", "ended"]


@each_signal
def test_the_second_signal_ends_it_at_once_with_all_its_processes(
    number: signal.Signals, work: Callable[[str], Worker]
) -> None:
    worker = work("slowly")
    assert all(map(lives, worker.children))
    worker.process.send_signal(signal.SIGINT)
    assert [worker.line(), worker.line()] == ["stopping; interrupt again to stop immediately", "closing"]
    worker.process.send_signal(number)
    assert worker.process.wait(timeout=30) == 128 + number
    assert all_gone(worker.children)
    assert worker.end()[1:] == ("", "")


@each_signal
def test_afterwards_signals_mean_what_they_meant_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stops_cleanly(Console()):
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before
    with pytest.raises(ValueError, match="wrong"), stops_cleanly(Console()):
        raise ValueError("wrong")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("error", [OSError("the terminal is gone"), RuntimeError("reentrant call")], ids=str)
def test_a_signal_is_heard_though_nothing_can_be_written(error: Exception) -> None:
    """A terminal that is closed, or a line that is being written, does not turn an interruption into another error."""

    class Closed:
        def write(self, _: str) -> None:
            raise error

        def flush(self) -> None: ...

    with pytest.raises(SystemExit), stops_cleanly(Console(file=Closed())):  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGTERM)


def test_in_another_thread_it_leaves_signals_alone() -> None:
    """Only the main thread may change them; a notebook may run a study in another thread."""
    seen = []

    def run() -> None:
        with stops_cleanly(Console()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_terminated_training_does_not_count_as_done(crops: Path, tmp_path: Path) -> None:
    """Else a scheduler that preempts the job would mark it completed, and ``train && evaluate`` would go on."""
    settings = {
        "model.num_groups": 1,
        "data.train": crops / "train",
        "data.validation": crops / "validation",
        "data.patch_size": 16,
        "train.steps": 100_000,
        "train.batch_size": 1,
        "train.checkpoint_every": 2,
        "train.accelerator": "cpu",
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "asid.cli", "train", tmp_path / "run", "--preset", "asid-tiny", *changes],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / CHECKPOINT).exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 143
    assert errors.strip().splitlines()[-1].startswith("terminated; the same command goes on")
    assert "Traceback" not in errors
    assert not (tmp_path / "run" / WEIGHTS).exists()
