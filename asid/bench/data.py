"""Sections about data and scores: the way of a patch, the cache of photographs, evaluation, counting operations."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asid.bench.images import written_photographs
from asid.bench.networks import training_config
from asid.bench.setting import Setting, training_steps
from asid.bench.timing import Row, median, ratio, threads, time_in_turn
from asid.config import EvalConfig, preset
from asid.data.cache import FOLDER_VARIABLE, clear_cache
from asid.data.patches import PatchDataset, collate
from asid.data.sources import find_images
from asid.evaluation.evaluate import evaluate
from asid.model.complexity import count_macs, measure_complexity
from asid.model.pretrained import load_model
from asid.runs.counted import complexity_once


@contextmanager
def own_cache() -> Iterator[Path]:
    """Inside, the cache of photographs and counts is an empty folder."""
    before = os.environ.get(FOLDER_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ[FOLDER_VARIABLE]
            else:
                os.environ[FOLDER_VARIABLE] = before


def measure_data(setting: Setting) -> list[Row]:
    """The first batch with an empty and with a filled cache, and a batch as a share of a training step; one thread."""
    number = 4 if setting.quick else 100
    name = "asid-tiny" if setting.quick else "asid-laptop"
    config = training_config(name)
    batch, side = config.train.batch_size, config.data.patch_size
    with own_cache(), tempfile.TemporaryDirectory() as folder, threads(1):
        photographs = find_images(written_photographs(Path(folder), number))

        def patches() -> PatchDataset:
            scale, border = config.model.scale, config.data.border
            return PatchDataset(photographs, scale=scale, patch_size=side, augment=True, border=border, seed=0)

        def first(dataset: PatchDataset) -> None:
            collate([dataset[index] for index in range(batch)])

        def cold() -> None:
            clear_cache()
            first(patches())

        times = time_in_turn({"cold": cold, "warm": lambda: first(patches())}, setting.rounds(5), warm=False)
        dataset = patches()
        position = iter(range(10**9))

        def next_batch() -> None:
            collate([dataset[next(position)] for _ in range(batch)])

        step = training_steps(Setting(), config)["asid"]
        during = time_in_turn({"batch": next_batch, "step": step}, setting.rounds(9))
    row: Row = {"photographs": number} | median("first batch, empty cache s", times["cold"])
    row |= median("first batch, filled cache s", times["warm"]) | ratio("empty / filled", times["cold"], times["warm"])
    row |= {"batch": f"{batch} × {side}×{side}"} | median("batch ms", during["batch"], 1000)
    share = {"step of": name} | median("step ms", during["step"], 1000)
    return [row | share | median("% of step", [100 * b / s for b, s in zip(*during.values(), strict=True)])]


def measure_evaluation(setting: Setting) -> list[Row]:
    """Scoring a packaged network on five photographs of 256×256: in all, and in the network."""
    rows = []
    with own_cache(), tempfile.TemporaryDirectory() as name:
        folder = written_photographs(Path(name), 2 if setting.quick else 5)
        config = EvalConfig(data=(str(folder),))
        for network in ("asid-tiny",) if setting.quick else ("asid-tiny", "asid"):
            model = load_model(network, "cpu")
            evaluate(model, model.config.scale, config)  # fills the cache
            ended = [evaluate(model, model.config.scale, config).seconds for _ in range(setting.rounds(5))]
            total, inside = ([seconds[kind] for seconds in ended] for kind in ("total", "model"))
            row: Row = {"network": f"{network} ×{model.config.scale}", "images": len(list(folder.iterdir()))}
            row |= median("s", total) | median("in the network s", inside)
            rows.append(row | median("% besides", [100 * (1 - m / t) for m, t in zip(inside, total, strict=True)]))
    return rows


def measure_counting(setting: Setting) -> list[Row]:
    """Counting the operations of networks: by three counters, by torch's alone, and as a run of a study does it."""
    rows = []
    for name in ("asid-tiny",) if setting.quick else ("asid-tiny", "asid", "asid-d8"):
        config = preset(name)
        with own_cache():
            complexity_once(config)
            works = {
                "three": lambda config=config: measure_complexity(config),
                "torch": lambda config=config: count_macs(config),
                "again": lambda config=config: complexity_once(config),
            }
            times = time_in_turn(works, 1 if setting.quick else 3, warm=False)
        row = median("three counters s", times["three"]) | median("torch's alone s", times["torch"])
        rows.append({"network": name} | row | median("in a later run s", times["again"]))
    return rows
