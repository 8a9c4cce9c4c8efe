"""Sections that need processes of their own: memory, allocator, a loaded machine, start-up, the overhead of a run."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asid.bench.child import Cost, run_work, summarise
from asid.bench.images import written_photographs
from asid.bench.setting import CHECKOUT, Setting, available_cores
from asid.bench.timing import Row, median, ratio, time_in_turn
from asid.files import NOTEBOOK
from asid.process import KEEP_MEMORY, THREADS
from asid.runs.record import read_record

_ONE_THREAD = {THREADS: "1", "OMP_NUM_THREADS": "1"}


def measure_memory(setting: Setting) -> list[Row]:
    """Peak memory of whole images and training steps, each in a process of its own."""
    against = str(setting.against) if setting.against else None
    sides = ["asid", *(["plain"] if against else [])]

    def peaks(work: str, arguments: dict[str, Any]) -> Row:
        costs = {side: run_work(work, {"side": side, "against": against, **arguments}) for side in sides}
        peak = costs["asid"].peak_mb
        row = {"before it MB": costs["asid"].before_mb, "peak MB": peak}
        if "plain" in costs:
            row |= {"plain peak MB": costs["plain"].peak_mb, "asid / plain": peak / costs["plain"].peak_mb}
        return row

    sizes = [("asid", 4, 480, 270), ("asid", 2, 960, 540)][: 1 if setting.quick else None]
    rows = []
    for name, scale, width, height in sizes:
        work = f"{name} ×{scale}, untiled to {scale * width}×{scale * height}"
        size = {"preset": name, "scale": scale, "height": height, "width": width}
        rows.append({"work": work} | peaks("inference", size))
    steps = {"preset": "asid", "count": 2, "choose_threads": False}
    return [*rows, {"work": "asid, training step"} | peaks("steps", steps)]


def measure_allocator(setting: Setting) -> list[Row]:
    """The same work with freed memory returned to the system, and kept; one thread."""
    ours = {"side": "asid", "against": None}
    small = ours | {"preset": "asid-tiny", "scale": 4, "height": 120, "width": 160}
    full = ours | {"preset": "asid", "scale": 4, "height": 180, "width": 320}
    steps = ours | {"preset": "asid", "count": 5, "choose_threads": False}
    works: dict[str, tuple[str, dict[str, Any]]] = {"asid-tiny ×4, LR 160×120": ("inference", small)}
    if not setting.quick:
        works = {
            "asid ×4, LR 320×180": ("inference", full),
            "asid, 5 training steps": ("steps", steps),
            "asid-laptop, 20 training steps": ("steps", steps | {"preset": "asid-laptop", "count": 20}),
        }
    rows = []
    for label, (name, arguments) in works.items():
        costs: dict[str, list[Cost]] = {"0": [], "1": []}
        for _ in range(setting.rounds(3)):
            for kept, measured in costs.items():
                measured.append(run_work(name, arguments, {**_ONE_THREAD, KEEP_MEMORY: kept}))
        returned, kept_cpu = ([cost.cpu for cost in measured] for measured in costs.values())
        rows.append({"work": label, "freed memory": "returned"} | summarise(costs["0"]))
        gain = ratio("returned / kept (CPU)", returned, kept_cpu)
        rows.append({"work": label, "freed memory": "kept"} | summarise(costs["1"]) | gain)
    return rows


def measure_load(setting: Setting) -> list[Row]:
    """The same work on the machine as it is, and with a busy process for each core beside it."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = written_photographs(Path(folder), 2 if setting.quick else 5)
        count = 5 if setting.quick else 20
        steps = {"side": "asid", "against": None, "preset": "asid-tiny", "count": count, "choose_threads": True}
        works: dict[str, tuple[str, dict[str, Any]]] = {
            f"asid-tiny, {count} training steps": ("steps", steps),
            "asid-tiny, evaluation": ("evaluation", {"folder": str(photographs)}),
        }
        rows = []
        for label, (name, arguments) in works.items():
            quiet, loaded = [], []
            for _ in range(setting.rounds(3)):
                quiet.append(run_work(name, arguments))
                with busy_loops(available_cores()):
                    loaded.append(run_work(name, arguments))
            row: Row = {"work": label, "busy processes": available_cores()}
            row |= median("as it is s", [cost.seconds for cost in quiet])
            row |= median("with them s", [cost.seconds for cost in loaded])
            rows.append(row | ratio("with / without", [c.seconds for c in loaded], [c.seconds for c in quiet]))
    return rows


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """Inside, ``number`` processes do nothing but count."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


_STARTS = {
    "python": "pass",
    "import numpy": "import numpy",
    "import torch": "import torch",
    "import asid": "import asid",
    "import asid, with torch": "import torch, asid; asid.ModelConfig",
    "import asid, its networks and inference": "import torch, asid; asid.ASID, asid.load_model, asid.upscale",
    "asid --help": "import sys; sys.argv = ['asid', '--help']; from asid.cli.main import main; main()",
}


def measure_starts(setting: Setting) -> list[Row]:
    """How long Python takes to start, import, and answer."""

    def start(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    works = {name: (lambda code=code: start(code)) for name, code in _STARTS.items()}
    times = time_in_turn(works, 1 if setting.quick else 5, warm=not setting.quick)
    rows = []
    for name, measured in times.items():
        over = [seconds - torch for seconds, torch in zip(measured, times["import torch"], strict=True)]
        rows.append({"start": name} | median("s", measured))
        if "asid, " in name:
            rows[-1] |= median("s over torch", over)
    return rows


_STUDY = """
name: overhead
question: What does a run take besides training and scoring?
preset: asid-tiny
base:
  data: {patch_size: 16}
  train: {steps: 4, batch_size: 2, validate_every: 4, checkpoint_every: 4, accelerator: cpu}
seeds: %s
references: [bicubic]
"""


def measure_overhead(setting: Setting) -> list[Row]:
    """What a run of a study takes besides training and scoring: one worker, one thread. No rows outside a checkout."""
    notebook = CHECKOUT / "notebooks" / "03_train_variant.ipynb"
    if not notebook.is_file():
        return []
    runs = 2 if setting.quick else 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        shutil.copy(notebook, folder / "notebooks")
        (folder / "ablations").mkdir()
        (folder / "ablations" / "study.yaml").write_text(_STUDY % list(range(runs)))
        command = [sys.executable, "-m", "asid.cli", "--threads", "1", "ablate", "run", "ablations/study.yaml"]
        start = time.perf_counter()
        subprocess.run([*command, "--workers", "1"], cwd=folder, check=True, capture_output=True)
        total = time.perf_counter() - start
        inside, besides = [], []
        for run in sorted((folder / "results" / "overhead" / "runs").iterdir()):
            record = read_record(run)
            working = (record.total_seconds("train") or 0) + (record.total_seconds("evaluate") or 0)
            metadata = json.loads((run / NOTEBOOK).read_text(encoding="utf-8"))["metadata"]["papermill"]
            inside.append(float(metadata["duration"]))
            besides.append(inside[-1] - working)
    row: Row = {"runs": runs, "study s": total, "first run besides s": besides[0]}
    row |= median("other runs besides s", besides[1:])
    return [row | {"study besides its runs s": total - sum(inside)}]
