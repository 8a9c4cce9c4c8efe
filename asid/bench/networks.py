"""Sections about the network: training step, inference, compilation, growth of the cost, GPU."""

import os
import shutil
from typing import Any

import torch
import torch._inductor.config

from asid.bench.machine import matmul_peak
from asid.bench.setting import Setting, forward_passes, training_steps
from asid.bench.timing import Row, exponent, median, ratio, threads, time_in_turn
from asid.config import ModelConfig, RunConfig, preset
from asid.model.build import build_network
from asid.model.complexity import OUTPUT, count_macs
from asid.process import fit_threads

STEPS = {"asid-tiny": (8, 16), "asid-laptop": (4, 32), "asid": (8, 32)}
"""Presets with their batch and the side of their LR patches."""
_PASSES = 3
"""A training step is a forward and a backward pass, and the latter counts twice."""


def training_config(name: str) -> RunConfig:
    """A run of the preset ``name`` with the batch of :data:`STEPS`."""
    batch, side = STEPS[name]
    settings = {"data": {"patch_size": side}, "train": {"batch_size": batch, "accelerator": "cpu"}}
    return RunConfig.model_validate({"model": preset(name).to_dict(), **settings})


def measure_steps(setting: Setting) -> list[Row]:
    """Training steps of three presets, with one thread and with one for each core."""
    rows = []
    for name in STEPS:
        config = training_config(name)
        batch, side = STEPS[name]
        pixels = config.model.scale * side
        macs = _PASSES * batch * count_macs(config.model, (pixels, pixels))
        sides = training_steps(setting, config)
        for number in setting.thread_numbers[: 1 if setting.quick else None]:
            with threads(number):
                times = time_in_turn(sides, setting.rounds(9))
            work = {"network": name, "batch": f"{batch} × {side}×{side}", "threads": number}
            rows.append(work | _compared(times) | _share(macs, times["asid"], number))
    return rows


def measure_compile(setting: Setting) -> list[Row]:
    """Training steps with and without ``train.compile``, one thread. No rows without a C++ compiler."""
    if not shutil.which(os.environ.get("CXX", "g++")):
        return []
    rows = []
    for name in ("asid-tiny",) if setting.quick else ("asid-tiny", "asid"):
        config = training_config(name)
        compiling = config.override(train={**config.train.to_dict(), "compile": True})
        with threads(1), torch._inductor.config.patch(force_disable_caches=True):
            sides = {side: training_steps(Setting(), c)["asid"] for side, c in (("as is", config), ("c", compiling))}
            first = time_in_turn({"first": sides["c"]}, 1, warm=False)["first"][0]
            times = time_in_turn(sides, setting.rounds(9))
        row: Row = {"network": name, "first step s": first} | median("ms", times["as is"], 1000)
        row |= median("compiled ms", times["c"], 1000) | ratio("as is / compiled", times["as is"], times["c"])
        gain = (row["ms"] - row["compiled ms"]) / 1000
        rows.append(row | {"pays after steps": round(first / gain) if gain > 0 else None})
    return rows


def measure_precision(setting: Setting) -> list[Row]:
    """Training steps in float32 and with bf16 autocast, one thread."""
    rows = []
    for name in ("asid-tiny",) if setting.quick else ("asid-tiny", "asid"):
        config = training_config(name)
        half = config.override(train={**config.train.to_dict(), "precision": "bf16-mixed"})
        with threads(1):
            sides = {side: training_steps(Setting(), c)["asid"] for side, c in (("float", config), ("half", half))}
            times = time_in_turn(sides, setting.rounds(5))
        row: Row = {"network": name} | median("float32 ms", times["float"], 1000)
        row |= median("bf16 ms", times["half"], 1000)
        rows.append(row | ratio("float32 / bf16", times["float"], times["half"]))
    return rows


def measure_inference(setting: Setting) -> list[Row]:
    """Forward passes to 1280×720, with the threads that a command would choose."""
    width, height = (320, 180) if setting.quick else OUTPUT
    cases = [("asid-tiny", 4), ("asid", 4), ("asid-tiny", 2), ("asid", 3), ("asid", 2), ("asid-d8", 4)]
    rows = []
    for name, scale in cases[: 2 if setting.quick else None]:
        config = preset(name, scale=scale)
        number = fit_threads(build_network(config).eval(), torch.zeros(1, 3, 48, 48))
        with threads(number):
            sides = forward_passes(setting, config, height // scale, width // scale)
            times = time_in_turn(sides, setting.rounds(3), warm=setting.quick)
        work = {"network": name, "scale": f"×{scale}", "output": f"{width}×{height}", "threads": number}
        share = _share(count_macs(config, (width, height)), times["asid"], number)
        rows.append(work | _compared(times) | share)
    return rows


def measure_gpu(setting: Setting) -> list[Row]:
    """Forward passes on a GPU; no rows without one."""
    if not torch.cuda.is_available():
        return []
    width, height = OUTPUT
    rows = []
    for name, scale in [("asid-tiny", 4), ("asid", 4), ("asid", 2), ("asid-d8", 4)]:
        sides = forward_passes(setting, preset(name, scale=scale), height // scale, width // scale, "cuda")
        times = time_in_turn(sides, setting.rounds(9))
        work = {"network": name, "scale": f"×{scale}", "output": f"{width}×{height}"}
        rows.append(work | {"device": torch.cuda.get_device_name()} | _compared(times))
    return rows


def _compared(times: dict[str, list[float]]) -> Row:
    row = median("ms", times["asid"], 1000)
    if "plain" in times:
        row |= median("plain ms", times["plain"], 1000) | ratio("plain / asid", times["plain"], times["asid"])
    return row


def _share(macs: int, times: list[float], number: int) -> Row:
    """Operations per second as a share of what matrix products reach with as many threads."""
    achieved = 2 * macs / median("s", times)["s"] / 1e9
    return {"GFLOP/s": achieved, "% of peak": 100 * achieved / matmul_peak(number)}


def growing_work(quick: bool) -> dict[str, dict[int, tuple[ModelConfig, int, int]]]:
    """For each way to grow: its sizes, each with a network, the side of the LR image, and the batch."""

    def network(**changes: int) -> ModelConfig:
        return preset("asid-tiny", **{"num_groups": 1, **changes})

    grown = {
        "LR pixels": {side**2: (network(), side, 1) for side in (48, 96, 144, 192)},
        "batch": {batch: (network(), 32, batch) for batch in (1, 4, 16, 64)},
        "groups": {groups: (network(num_groups=groups), 48, 1) for groups in (1, 2, 4, 8)},
        "width": {width: (network(num_features=width), 64, 1) for width in (16, 32, 64, 128)},
        "window side": {side: (network(window_size=side, global_size=side), 96, 1) for side in (4, 8, 16, 32)},
    }
    return {name: dict(list(sizes.items())[:3]) for name, sizes in grown.items()} if quick else grown


def measure_growth(setting: Setting) -> list[Row]:
    """Forward passes of growing work on one thread, with the exponents of time and of multiply-adds."""
    rows = []
    for grows, work in growing_work(setting.quick).items():
        sides, macs = {}, []
        for size, (config, side, batch) in work.items():
            network = build_network(config).eval()
            sides[str(size)] = _forward(network, torch.zeros(batch, 3, side, side))
            macs.append(batch * count_macs(config, (config.scale * side, config.scale * side)))
        with threads(1):
            times = time_in_turn(sides, setting.rounds(5))
        costs = [median("s", times[name])["s"] for name in sides]
        rows.append(
            {
                "grows": grows,
                "sizes": list(work),
                "ms": [1000 * cost for cost in costs],
                "G MACs": [count / 1e9 for count in macs],
                "exponent of time": exponent(list(work), costs),
                "exponent of MACs": exponent(list(work), macs),
            }
        )
    return rows


def _forward(network: torch.nn.Module, image: torch.Tensor) -> Any:
    def work() -> None:
        with torch.inference_mode():
            network(image)

    return work
