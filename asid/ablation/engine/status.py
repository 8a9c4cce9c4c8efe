"""The state of each run of a study, read from its folder. Free of torch."""

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from asid.ablation.engine.heartbeat import is_alive
from asid.ablation.study.differences import config_differences
from asid.ablation.study.plan import Plan, PlannedRun, read_plan
from asid.files import CONFIG, ERROR, STUDY_LOCK, read_json
from asid.runs.record import Record, RecordError, read_record
from asid.training.history import read_history

State = Literal["planned", "running", "done", "failed", "stale", "spared"]


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    ``planned``: not started. ``running``: its process is alive. ``done``: its complete record exists. ``failed``: it
    ended with an error. ``stale``: it was started, but its process is dead; or its folder belongs to another run.
    ``spared``: no look of the study needs it any more.
    """

    variant: str
    seed: int
    run_id: str
    folder: Path
    state: State
    step: int | None = None
    steps: int | None = None
    psnr: float | None = None
    """Mean over the images if it is done, otherwise the last validation (dB)."""
    note: str = ""
    """Why it failed or is stale, or which study trained it."""
    origin: str | None = None
    """The study that trained it, if it was not this one."""
    in_plan: bool = True
    """Whether the study's current plan contains this run."""

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def run_state(run: PlannedRun) -> RunState:
    """The state of one run, from the files in its folder."""
    folder = run.folder
    step, steps, psnr = _progress(folder)

    def state(name: State, note: str = "", psnr: float | None = psnr, step: int | None = step) -> RunState:
        return RunState(run.variant, run.seed, run.run_id, folder, name, step, steps, psnr, note)

    problem = ""
    try:
        record = read_record(folder)
    except FileNotFoundError:
        pass
    except RecordError as error:
        problem = str(error)
    else:
        if record.run_id == run.run_id:
            mean = float(record.score_table["psnr"].mean()) if record.scores else None
            done = state("done", f"from {record.origin}" if record.origin else "", psnr=mean)
            all_steps = record.config.train.steps
            return replace(done, step=all_steps, steps=all_steps, origin=record.origin)
        problem = _mismatch(record, run)
    alive = is_alive(folder)
    if alive:
        return state("running")
    if (folder / ERROR).exists():
        lines = (folder / ERROR).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return state("failed", lines[-1] if lines else "no error was written")
    if problem:
        return state("stale", problem)
    if alive is False:
        return state("stale", "its process died; resume continues from its last checkpoint")
    if step is not None:
        return state("stale", "it was stopped; resume continues from its last checkpoint")
    return state("planned")


def study_states(folder: str | Path) -> list[RunState]:
    """The state of every planned run of a study, followed by the run folders that its current plan does not contain.

    Raises:
        FileNotFoundError: There is no study in ``folder``.
        ValueError: Its plan is damaged.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    states = _mark_spared(plan, [run_state(run) for run in plan.runs])
    known = {state.folder.name for state in states}
    current = {(run.variant, run.seed): run for run in plan.runs}
    others = sorted(path for path in (folder / "runs").glob("*") if path.is_dir() and path.name not in known)
    return states + [_foreign_state(path, current) for path in others]


def _mark_spared(plan: Plan, states: list[RunState]) -> list[RunState]:
    """The states, where runs that are neither done nor needed are ``spared``."""
    if plan.study.until is None:
        return states
    from asid.ablation.statistics.looks import read_standing  # pandas takes half a second

    done = {state.folder for state in states if state.state == "done"}
    found = read_standing(plan, [run.label for run in plan.runs if run.folder in done])
    spared = {run.folder for run in found.spared} - done if found else set()
    return [
        replace(state, state="spared", note="") if state.folder in spared and state.state != "running" else state
        for state in states
    ]


def is_executed(folder: str | Path) -> bool:
    """Whether a process executes the study in ``folder`` now."""
    path = Path(folder) / STUDY_LOCK
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a read-only folder
        return False


def _progress(folder: Path) -> tuple[int | None, int | None, float | None]:
    """Last step, total steps and last validation PSNR of a training."""
    steps = None
    with suppress(OSError, KeyError, ValueError):
        steps = int(read_json(folder / CONFIG)["train"]["steps"])
    history = read_history(folder)
    scores = history["psnr"].dropna()
    step = int(history["step"].iloc[-1]) if len(history) else None
    return step, steps, (float(scores.iloc[-1]) if len(scores) else None)


def _mismatch(record: Record, planned: PlannedRun) -> str:
    """Why a record in the folder of a planned run is not the planned one."""
    if record.identity.training != planned.identity.training:
        return f"its record is that of run {record.run_id}, expected {planned.run_id}"
    mine, wanted = record.identity.evaluations, planned.identity.evaluations
    missing = [name for name, evaluation in wanted.items() if mine.get(name) != evaluation]
    if missing:
        return f"trained, but not scored on {', '.join(missing)} as planned; resume scores it and trains nothing"
    return "its record has evaluation sets that are no longer in the study; resume removes them"


def _foreign_state(folder: Path, current: dict[tuple[str, int], PlannedRun]) -> RunState:
    """The state of a run folder that is not in the plan."""
    try:
        record = read_record(folder)
    except (FileNotFoundError, RecordError):
        note = "not in the plan, and without a record"
        return RunState(folder.name, 0, "", folder, "stale", note=note, in_plan=False)
    planned = current.get((record.variant, record.config.seed))
    why = "; ".join(_differences(record, planned)) if planned else "no longer in the study"
    note = f"not in the plan: {why}"
    return RunState(record.variant, record.config.seed, record.run_id, folder, "stale", note=note, in_plan=False)


def _differences(record: Record, planned: PlannedRun) -> list[str]:
    """What distinguishes a record from the planned run of the same variant and seed."""
    changes = config_differences(record.config.to_dict(), planned.config.to_dict())
    differences = [f"{name} {old} → {new}" for name, old, new in changes]
    hashes = {use: manifest["manifest"] for use, manifest in record.data.items()}
    for use, wanted in planned.data.items():
        if hashes.get(use) != wanted:
            differences.append(f"images of {use} {hashes.get(use)} → {wanted}")
    source = record.provenance.get("source")
    if source != planned.source:
        differences.append(f"source of the package {source} → {planned.source}")
    return differences or ["it has a different identity"]
