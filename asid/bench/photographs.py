"""The section about a training set of large photographs: how soon a second run begins, and what two hold together."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from asid.bench.child import Cost, run_work
from asid.bench.data import own_cache
from asid.bench.images import LARGE, written_large_photographs, written_photographs
from asid.bench.setting import Setting
from asid.bench.timing import Row
from asid.config import preset

_STEPS = 20
"""Training steps of the two runs at once."""


def measure_photographs(setting: Setting) -> list[Row]:
    """Trainings at ×2: until the first step with an empty and with a filled cache, and the memory of two at once."""
    number, different = (8, 2) if setting.quick else (800, 40)
    with own_cache(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written_large_photographs(folder / "train", number, different)
        written_photographs(folder / "validation", 1)
        train = partial(_train, folder)
        first, second = train(1, "first"), train(1, "second")
        with ThreadPoolExecutor() as pool:
            both = list(pool.map(train, (_STEPS, _STEPS), ("third", "fourth")))
    width, height = LARGE
    row: Row = {"photographs": f"{number} of {width}×{height}", "different": different}
    row |= {"empty cache: first step after s": first.seconds, "filled cache: after s": second.seconds}
    return [row | {"two at once: peak MB together": sum(c.peak_mb for c in both), "before it MB": _before(both)}]


def _before(costs: list[Cost]) -> float:
    return sum(cost.before_mb for cost in costs)


def _train(folder: Path, steps: int, name: str) -> Cost:
    train = {"steps": steps, "batch_size": 8, "validate_every": steps, "checkpoint_every": steps, "accelerator": "cpu"}
    config: dict[str, Any] = {
        "model": preset("asid-tiny").to_dict(),
        "data": {"train": str(folder / "train"), "validation": str(folder / "validation"), "patch_size": 32},
        "train": train,
    }
    return run_work("training", {"config": config, "folder": str(folder / name)})
