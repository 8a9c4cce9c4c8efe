"""What state each run of a study is in, read from its folder; and what differs between two runs. No torch in here."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

from asid.ablation.study.plan import PlannedRun, read_plan
from asid.files import CONFIG, ERROR, GRID_LOCK, HEARTBEAT, read_json, write_json
from asid.runs.record import Record, RecordError, read_record
from asid.training.history import read_history

State = Literal["planned", "running", "done", "failed", "stale"]
BEAT = 5.0
"""Seconds between two heartbeats of a running run."""
_LOST = 60.0
"""Seconds without a heartbeat after which a run on another machine counts as dead."""


@dataclass(frozen=True)
class RunState:
    """A run as it stands.

    ``planned``: nothing has begun. ``running``: its process is alive. ``done``: its complete record exists. ``failed``: it ended
    with an error. ``stale``: it was begun, but its process is gone; or what is in its folder belongs to another run.
    """

    variant: str
    seed: int
    run_id: str
    folder: Path
    state: State
    step: int | None = None
    steps: int | None = None
    psnr: float | None = None
    """Mean over the images where it is done, else the last validation (dB)."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


@contextmanager
def heartbeat(folder: Path, run_id: str) -> Iterator[None]:
    """While inside, ``folder`` says that this process is at work on the run."""
    me = psutil.Process()
    content = {"run_id": run_id, "host": socket.gethostname(), "pid": me.pid, "started": me.create_time()}
    path = folder / HEARTBEAT
    write_json(path, content)  # whole, whenever it is read
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def is_alive(folder: Path) -> bool | None:
    """Whether the process that began the run in ``folder`` is at work on it; ``None`` where none has begun or it has ended in order."""
    path = folder / HEARTBEAT
    try:
        content, beaten = read_json(path), path.stat().st_mtime
        host, pid, started = content["host"], content["pid"], content["started"]
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):  # damaged
        return False
    if host != socket.gethostname():
        return time.time() - beaten < _LOST
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    return False


def run_state(variant: str, seed: int, run_id: str, folder: Path) -> RunState:
    """The state of one run, from what is in its folder."""
    step, steps, psnr = _progress(folder)

    def state(name: State, note: str = "", psnr: float | None = psnr, step: int | None = step) -> RunState:
        return RunState(variant, seed, run_id, folder, name, step, steps, psnr, note)

    damage = ""
    try:
        record = read_record(folder, run_id)
    except FileNotFoundError:
        pass
    except RecordError as error:
        damage = str(error)
    else:
        return state("done", psnr=float(record.score_table["psnr"].mean()) if record.scores else None, step=steps)
    alive = is_alive(folder)
    if alive:
        return state("running")
    if (folder / ERROR).exists():
        lines = (folder / ERROR).read_text().strip().splitlines()
        return state("failed", lines[-1] if lines else "no error was written")
    if damage:
        return state("stale", damage)
    if alive is False:
        return state("stale", "its process is gone; resume goes on from its last checkpoint")
    return (
        state("planned") if step is None else state("stale", "it was stopped; resume goes on from its last checkpoint")
    )


def study_states(folder: str | Path) -> list[RunState]:
    """The state of each run that the study in ``folder`` planned, and at the end the folders of runs that are not in its plan.

    Raises ``FileNotFoundError`` where there is no study.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    states = [run_state(run.variant, run.seed, run.run_id, run.folder) for run in plan.runs]
    planned = {state.folder.name for state in states}
    current = {(run.variant, run.seed): run for run in plan.runs}
    for path in sorted(path for path in (folder / "runs").glob("*") if path.is_dir() and path.name not in planned):
        with suppress(FileNotFoundError, RecordError):
            record = read_record(path)
            wanted = current.get((record.variant, record.config.seed))
            note = "; ".join(_foreign(record, wanted)) if wanted else "no longer in the study"
            states.append(
                RunState(
                    record.variant, record.config.seed, record.run_id, path, "stale", note=f"not in the plan: {note}"
                )
            )
            continue
        states.append(RunState(path.name, 0, "", path, "stale", note="not in the plan, and without a record"))
    return states


def is_executed(folder: str | Path) -> bool:
    """Whether a process executes the study in ``folder`` now."""
    path = Path(folder) / GRID_LOCK
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that is only read
        return False


def _progress(folder: Path) -> tuple[int | None, int | None, float | None]:
    """Last step, steps in all and last validation PSNR of a training."""
    steps = None
    with suppress(OSError, KeyError, ValueError):
        steps = int(read_json(folder / CONFIG)["train"]["steps"])
    history = read_history(folder)
    scores = history["psnr"].dropna()
    step = int(history["step"].iloc[-1]) if len(history) else None
    return step, steps, (float(scores.iloc[-1]) if len(scores) else None)


def _foreign(record: Record, planned: PlannedRun) -> list[str]:
    """Why a record does not belong to the present plan."""
    mine, wanted = record.config.to_dict(), planned.config.to_dict()
    found = [f"{name} {old} → {new}" for name, old, new in config_differences(mine, wanted)]
    hashes = {use: manifest["manifest"] for use, manifest in record.data.items()}
    found += [
        f"images of {use} {hashes.get(use)} → {value}"
        for use, value in planned.data.items()
        if hashes.get(use) != value
    ]
    source = record.provenance.get("source")
    found += [f"source of the package {source} → {planned.source}"] if source != planned.source else []
    return found or ["it has another identity"]


def config_differences(first: dict[str, Any], second: dict[str, Any], path: str = "") -> list[tuple[str, Any, Any]]:
    """The fields in which two configurations (JSON values) differ, with both values."""
    found = []
    for key in [*first, *(key for key in second if key not in first)]:
        name, mine, theirs = f"{path}{key}", first.get(key), second.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += config_differences(mine, theirs, f"{name}.")
        elif mine != theirs:
            found.append((name, mine, theirs))
    return found


def compare_runs(first: str | Path, second: str | Path) -> dict[str, Any]:
    """What differs between two finished runs: JSON values with the keys config, data, code and scores (change of PSNR and SSIM by image).

    Raises as :func:`read_record` does.
    """
    a, b = read_record(first), read_record(second)
    config = {name: [mine, theirs] for name, mine, theirs in config_differences(a.config.to_dict(), b.config.to_dict())}
    data = {
        use: [a.data.get(use, {}).get("manifest"), b.data.get(use, {}).get("manifest")]
        for use in {**a.data, **b.data}
        if a.data.get(use, {}).get("manifest") != b.data.get(use, {}).get("manifest")
    }
    ignored = {"finished"}
    code = {
        key: [a.provenance.get(key), b.provenance.get(key)]
        for key in {**a.provenance, **b.provenance}
        if key not in ignored and a.provenance.get(key) != b.provenance.get(key)
    }
    others = {(row["data"], row["image"]): row for row in b.scores}
    scores = [
        {"data": row["data"], "image": row["image"], **{name: [row[name], other[name]] for name in ("psnr", "ssim")}}
        for row in a.scores
        if (other := others.get((row["data"], row["image"])))
    ]
    return {"runs": [str(first), str(second)], "config": config, "data": data, "code": code, "scores": scores}
