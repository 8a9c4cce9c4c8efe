"""Before a grid runs: every network is built and compared, its speed is measured, and the cost of the study is added up."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from asid.ablation.study.expand import Study
from asid.ablation.study.study import StudyError
from asid.ablation.study.variants import describe_delta
from asid.config import RunConfig
from asid.data.sources import find_pairs
from asid.model.complexity import count_macs, count_parameters
from asid.model.network import ASID

_WARM_STEPS, _TIMED_STEPS = 1, 3
_PROBE = (40, 56)
"""Height and width of the image that networks are compared on: no two kinds of window are the same at this size."""


def check_networks(study: Study) -> dict[str, int]:
    """Build the network of every cell; returns its number of parameters by name.

    Raises :class:`StudyError` where two cells that are trained alike have the same parameters and, from the same seed, the same
    output: then the axis in which they differ does nothing, and hours would be spent on a difference that cannot be.
    """
    image = torch.rand(1, 3, *_PROBE, generator=torch.Generator().manual_seed(0))
    seen: list[tuple[str, RunConfig, torch.Tensor]] = []
    parameters: dict[str, int] = {}
    for name, variant in study.variants.items():
        config = study.run_config(name)
        model = ASID(config.model, seed=config.seed).eval()
        parameters[name] = count_parameters(model)
        with torch.inference_mode():
            output = model(image)
        for other, other_config, other_output in seen:
            alike = config.override(model=other_config.model) == other_config
            if alike and parameters[name] == parameters[other] and torch.equal(output, other_output):
                mine, theirs = config.model.to_dict(), other_config.model.to_dict()
                axes = ", ".join(key for key in mine if mine[key] != theirs[key])
                change = describe_delta(variant.delta) or "no changes"
                raise StudyError(
                    f"variants {name} ({change}) and {other} are the same network, with the same output: "
                    f"{axes} does nothing there; take one of the two out, or exclude it"
                )
        seen.append((name, config, output))
    return parameters


@dataclass(frozen=True)
class Speed:
    """How quick a network is on this machine with that many threads."""

    seconds_a_step: float
    """Seconds of one training step."""
    seconds_a_pixel: float
    """Seconds of the forward pass for one LR pixel."""


def measure_speed(config: RunConfig, threads: int) -> Speed:
    """Time some training steps, and a forward pass, on random images; takes seconds. The global random state is left alone."""
    before = torch.get_num_threads()
    device = torch.device(
        "cuda" if torch.cuda.is_available() and config.train.accelerator in ("auto", "gpu") else "cpu"
    )
    torch.set_num_threads(threads)
    try:
        model = ASID(config.model, seed=config.seed).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
        side, scale = config.data.patch_size, config.model.scale
        lr = torch.full((config.train.batch_size, 3, side, side), 0.5, device=device)
        hr = torch.full((config.train.batch_size, 3, side * scale, side * scale), 0.4, device=device)

        def step() -> None:
            optimizer.zero_grad()
            F.l1_loss(model(lr), hr).backward()
            optimizer.step()

        image = torch.full((1, 3, 96, 96), 0.5, device=device)
        a_step = _best_time(step, device)
        model.eval()
        with torch.inference_mode():
            forward = _best_time(lambda: model(image), device)
    finally:
        torch.set_num_threads(before)
    return Speed(a_step, forward / (96 * 96))


def _best_time(action: Any, device: torch.device) -> float:
    times = []
    for turn in range(_WARM_STEPS + _TIMED_STEPS):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times += [time.perf_counter() - start] if turn >= _WARM_STEPS else []
    return min(times)


@dataclass(frozen=True)
class Estimate:
    """What one variant of a study costs."""

    variant: str
    change: str
    seeds: int
    parameters: int
    macs: int
    """Multiply-adds for a 1280×720 output."""
    steps: int
    seconds_a_step: float
    hours: float
    """Of all its runs, one after the other: training, validation and evaluation."""
    megabytes: float
    """On disk, of all its runs: weights, one checkpoint, SR images and the executed notebook."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_START = 10.0
"""Seconds that a run takes beside training and evaluation: its kernel, its imports, its plots."""
_NOTEBOOK = 1.5
"""Megabytes of an executed notebook, curves and record."""


def estimate(study: Study, parameters: dict[str, int], speeds: dict[str, Speed]) -> list[Estimate]:
    """The cost of each variant, from measured speeds; ``parameters`` and ``speeds`` by variant."""
    pixels: dict[tuple[str, ...], int] = {}
    rows = []
    for name, variant in study.variants.items():
        config = study.run_config(name)
        train, scale, speed = config.train, config.model.scale, speeds[name]
        for sources in (config.evaluate.data, (config.data.validation,)):
            if sources not in pixels:
                pixels[sources] = _count_pixels(sources)
        views = 8 if config.evaluate.ensemble else 1
        tiles = (
            (config.evaluate.tile / (config.evaluate.tile - config.evaluate.overlap)) ** 2
            if config.evaluate.tile
            else 1.0
        )
        validations = -(-train.steps // train.validate_every)
        lr_pixels = (
            pixels[config.evaluate.data] / scale**2 * views * tiles
            + validations * pixels[(config.data.validation,)] / scale**2
        )
        seconds = _START + train.steps * speed.seconds_a_step + lr_pixels * speed.seconds_a_pixel
        megabytes = _megabytes(parameters[name], pixels[config.evaluate.data])
        count = len(study.config.seeds)
        rows.append(
            Estimate(
                name,
                describe_delta(variant.delta) or "–",
                count,
                parameters[name],
                count_macs(config.model),
                train.steps,
                speed.seconds_a_step,
                count * seconds / 3600,
                count * megabytes,
            )
        )
    return rows


def disk_megabytes(study: Study, parameters: dict[str, int]) -> float:
    """What all runs of a study leave on disk, in MB."""
    pixels = _count_pixels(study.run_config(study.base_name).evaluate.data)
    return len(study.config.seeds) * sum(_megabytes(count, pixels) for count in parameters.values())


def _megabytes(parameters: int, pixels: int) -> float:
    """Weights and, while it is trained, a checkpoint with the moments of AdamW; SR images as PNG; the notebook."""
    return parameters * 4 * 4 / 1e6 + pixels * 1.5 / 1e6 + _NOTEBOOK


def _count_pixels(sources: Sequence[str]) -> int:
    """HR pixels of evaluation sets, from the headers of the files."""
    from PIL import Image

    total = 0
    for source in sources:
        for pair in find_pairs(source, None):
            with Image.open(pair.hr) as image:
                total += image.width * image.height
    return total
