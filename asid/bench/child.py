"""Work that is measured in a process of its own: its peak memory, page faults and CPU time are those of the work.

``python -m asid.bench.child WORK JSON`` prepares the work called WORK with the arguments in JSON, does it, and prints
what it cost.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from asid.bench.timing import Row, Work, median


@dataclass(frozen=True)
class Cost:
    """What work cost."""

    seconds: float
    """Wall-clock time."""
    cpu: float
    """CPU time, of all threads."""
    before_mb: float
    """Resident memory before the work: of Python, the libraries, the network."""
    peak_mb: float
    """Peak resident memory of the process, with what it has imported."""
    faults: int
    """Pages that the system had to provide during the work."""


def run_work(name: str, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Cost:
    """Do the work called ``name`` (:data:`WORKS`) in a new process.

    Args:
        name: The work.
        arguments: Its arguments, JSON values.
        environment: Variables that are added to the environment.

    Raises:
        RuntimeError: It failed; the message has the end of what it printed.
    """
    command = [sys.executable, "-m", __name__, name, json.dumps(arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if ended.returncode:
        raise RuntimeError(f"{name} {dict(arguments)} failed: {ended.stderr.strip()[-1000:]}")
    return Cost(**json.loads(ended.stdout.splitlines()[-1]))


def summarise(costs: Sequence[Cost]) -> Row:
    """Median time with its quartiles, and median CPU time, peak and page faults, as cells of a row."""
    row = median("s", [cost.seconds for cost in costs])
    for column, values in {"CPU s": [c.cpu for c in costs], "peak MB": [c.peak_mb for c in costs]}.items():
        row[column] = median(column, values)[column]
    return row | {"page faults (k)": median("f", [cost.faults / 1000 for cost in costs])["f"]}


def _measure(work: Work) -> Cost:
    before = psutil.Process().memory_info().rss / 1e6
    start, cpu, faults = time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    seconds, used, now = (
        time.perf_counter() - start,
        time.process_time() - cpu,
        resource.getrusage(resource.RUSAGE_SELF),
    )
    return Cost(seconds, used, before, _peak_mb(now.ru_maxrss), now.ru_minflt - faults)


def _peak_mb(most: int) -> float:
    """Peak resident memory of this process. On Linux ``ru_maxrss`` is at least that of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
    return most / 1e6  # macOS: bytes


# Works: each prepares, and returns what is measured.


def _inference(side: str, against: str | None, preset: str, scale: int, height: int, width: int) -> Work:
    from asid.bench.setting import Setting, forward_passes
    from asid.config import preset as network
    from asid.process import keep_freed_memory

    keep_freed_memory()
    setting = Setting(against=Path(against) if against and side == "plain" else None)
    return forward_passes(setting, network(preset, scale=scale), height, width)[side]


def _upscale(preset: str, scale: int, height: int, width: int, tile: int | None) -> Work:
    import numpy as np

    from asid.config import InferenceConfig
    from asid.config import preset as network
    from asid.evaluation.inference import upscale
    from asid.model.build import build_network
    from asid.model.pretrained import fit_inference_threads

    model = build_network(network(preset, scale=scale)).eval()
    fit_inference_threads(model)
    image = np.full((height, width, 3), 128, np.uint8)
    return lambda: upscale(model, image, InferenceConfig(tile=tile))


def _steps(side: str, against: str | None, preset: str, count: int, choose_threads: bool) -> Work:
    from asid.bench.networks import training_config
    from asid.bench.setting import Setting, training_steps
    from asid.process import keep_freed_memory
    from asid.training.threads import fit_training_threads

    keep_freed_memory()
    config = training_config(preset)
    if choose_threads:
        fit_training_threads(config)
    setting = Setting(against=Path(against) if against and side == "plain" else None)
    step = training_steps(setting, config)[side]

    def work() -> None:
        for _ in range(count):
            step()

    return work


def _training(config: dict[str, Any], folder: str) -> Work:
    from asid.config import RunConfig
    from asid.training.train import train

    return lambda: train(RunConfig.model_validate(config), folder, progress=False)


def _evaluation(folder: str) -> Work:
    from asid.config import EvalConfig
    from asid.evaluation.evaluate import evaluate
    from asid.model.pretrained import load_model

    model = load_model("asid-tiny", "cpu")
    return lambda: evaluate(model, model.config.scale, EvalConfig(data=(folder,)))


def _report(folder: str) -> Work:
    from asid.ablation.report.results import load_results
    from asid.ablation.report.write import write_report

    return lambda: write_report(load_results(folder))


def _plan(study: str, folder: str) -> Work:
    from asid.ablation.study.expand import load_study
    from asid.ablation.study.plan import plan_study, write_plan

    def work() -> None:
        write_plan(plan_study(load_study(study), folder, Path("notebook.ipynb")), folder)

    return work


def _cost(study: str, folder: str) -> Work:
    from asid.ablation.engine.cluster import ClusterConfig
    from asid.ablation.engine.preflight import estimate_cost
    from asid.ablation.study.expand import load_study
    from asid.data.cache import FOLDER_VARIABLE

    os.environ[FOLDER_VARIABLE] = "off"  # it remembers speeds
    return lambda: estimate_cost(load_study(study), Path(folder), ClusterConfig())


def _status(folder: str) -> Work:
    from asid.ablation.engine.status import study_states

    return lambda: study_states(folder)


WORKS: dict[str, Callable[..., Work]] = {
    "inference": _inference,
    "upscale": _upscale,
    "steps": _steps,
    "training": _training,
    "evaluation": _evaluation,
    "report": _report,
    "plan": _plan,
    "cost": _cost,
    "status": _status,
}

if __name__ == "__main__":
    print(json.dumps(asdict(_measure(WORKS[sys.argv[1]](**json.loads(sys.argv[2]))))))  # noqa: T201
