"""What a study costs: measured speeds, hours and disk space; and how minutes of training become steps."""

import platform
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, TypeAdapter, ValidationError

from asid.ablation.study.expand import Study
from asid.config import ModelConfig, RunConfig
from asid.data.cache import MACHINE_SPEEDS, cache_folder
from asid.data.sources import find_pairs
from asid.files import SPEEDS, read_json, write_json
from asid.model.build import build_network
from asid.model.complexity import count_macs
from asid.runs.record import Record
from asid.training.devices import device_type
from asid.training.memory import is_out_of_memory

_WARMUP, _TIMED = 1, 3
"""Repetitions before and during a measurement, of which the fastest counts."""
_RECENT = 86400.0
"""Seconds for which a measured speed counts for a plan, and for the first estimate of a run."""
_START = 5.0
"""Seconds of a run apart from training and evaluation: kernel, references, plots."""
_NOTEBOOK = 1.5
"""Megabytes of an executed notebook, curves and record."""
Seconds = Annotated[float, Field(ge=0, lt=1e9)]


@dataclass(frozen=True)
class Speed:
    """The speed of a network on this machine with a given number of threads."""

    seconds_a_step: Annotated[Seconds, Field(gt=0)]
    """Seconds per training step."""
    seconds_a_pixel: Seconds
    """Seconds of the forward pass per LR pixel."""


_SPEED = TypeAdapter(Speed)


def measure_speed(config: RunConfig, threads: int) -> Speed:
    """Time a few training steps and a forward pass on constant images. The global random state is not touched."""
    before = torch.get_num_threads()
    device = torch.device(device_type(config.train.accelerator))
    torch.set_num_threads(threads)
    try:
        model = build_network(config.model, seed=config.seed).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
        side, scale = config.data.patch_size, config.model.scale
        lr = torch.full((config.train.batch_size, 3, side, side), 0.5, device=device)
        hr = torch.full((config.train.batch_size, 3, side * scale, side * scale), 0.4, device=device)

        def step() -> None:
            optimizer.zero_grad()
            F.l1_loss(model(lr), hr).backward()
            optimizer.step()

        image = torch.full((1, 3, 96, 96), 0.5, device=device)
        seconds_a_step = _best_time(step, device)
        model.eval()
        with torch.inference_mode():
            forward = _best_time(lambda: model(image), device)
    finally:
        torch.set_num_threads(before)
    return Speed(seconds_a_step, forward / (96 * 96))


def recorded_speed(record: Record) -> Speed:
    """The speed with which a finished run was trained and evaluated."""
    training = record.total_seconds("train") or 0.0
    sources = [data["source"] for use, data in record.data.items() if use.startswith("evaluate ")]
    pixels = _count_pixels(sources) / record.config.model.scale**2
    return Speed(max(training, 1e-9) / record.config.train.steps, (record.total_seconds("upscale") or 0.0) / pixels)


def _best_time(action: Callable[[], Any], device: torch.device) -> float:
    times = []
    for repetition in range(_WARMUP + _TIMED):
        start = time.perf_counter()
        action()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        times += [time.perf_counter() - start] if repetition >= _WARMUP else []
    return min(times)


def measure_speeds(
    study: Study,
    threads: int,
    folder: Path,
    *,
    store: bool,
    names: Collection[str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Speed]:
    """The speed of variants and trained references: from ``speeds.json``, measured on this day, or measured now.

    Args:
        study: The study.
        threads: CPU threads of a run.
        folder: The study's folder, in which ``speeds.json`` may be.
        store: Write ``speeds.json``, so that the steps of ``minutes`` are the same when the study is run again.
        names: Of which variants and references; ``None``: all.
        say: Told what is measured.

    Raises:
        OSError: ``store``, and the folder cannot be created.
        MemoryError: A step does not fit into memory.
    """
    path = folder / SPEEDS
    if store:  # report a folder that cannot be written before spending time on measurements
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot write to {folder}: {error.strerror}; choose another folder with --output") from None
    stored: dict[str, Any] = read_json(path) if path.is_file() else {}
    speeds, recent = known_speeds(study, threads, folder), _recent()
    names = study.run_names if names is None else names
    for number, name in enumerate(names, 1):
        config = study.run_config(name)
        key = _key(config, threads)
        if name not in speeds:
            say(f"timing {name}, {number} of {len(names)}")
            speeds[name] = _speed_of(name, config, threads)
            recent[key] = {**asdict(speeds[name]), "measured": time.time()}
        stored.setdefault(key, asdict(speeds[name]))
    if store:
        write_json(path, stored)
    if (cache := _cache()) is not None:
        with suppress(OSError):  # it saves time only
            write_json(cache, recent)
    return {name: speeds[name] for name in names}


def _speed_of(name: str, config: RunConfig, threads: int) -> Speed:
    try:
        return measure_speed(config, threads)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        side = config.data.patch_size
        raise MemoryError(
            f"{name}: expected memory for a step with {config.train.batch_size} × {side}×{side} LR pixels, got "
            "too little on this machine: lower train.batch_size or data.patch_size, or plan where it is trained"
        ) from None


def known_speeds(study: Study, threads: int, folder: Path) -> dict[str, Speed]:
    """Those speeds of variants and trained references that :func:`measure_speeds` need not measure."""
    path = folder / SPEEDS
    stored: dict[str, Any] = read_json(path) if path.is_file() else {}
    recent, known = _recent(), {}
    for name in study.run_names:
        key = _key(study.run_config(name), threads)
        found = stored.get(key, {k: v for k, v in recent.get(key, {}).items() if k != "measured"})
        if not found and key not in stored:
            continue
        try:
            known[name] = _SPEED.validate_python(found)
        except ValidationError:
            if key in stored:
                raise ValueError(
                    f"{path} is damaged at '{key}': delete it, and the speeds are measured again"
                ) from None
    return known


def _key(config: RunConfig, threads: int) -> str:
    return f"{config.model.digest()} {config.train.batch_size}×{config.data.patch_size} {threads} threads"


def _recent() -> dict[str, Any]:
    """What was measured on this machine within a day. Nothing but time depends on it."""
    try:
        content = read_json(path) if (path := _cache()) else {}
        return {key: value for key, value in content.items() if time.time() - value["measured"] < _RECENT}
    except (OSError, ValueError, TypeError, KeyError):  # none yet, or damaged
        return {}


def _cache() -> Path | None:
    folder = cache_folder()
    return folder / f"{MACHINE_SPEEDS}{platform.node()}-torch-{torch.__version__}.json" if folder else None


def with_steps(study: Study, speeds: dict[str, Speed]) -> Study:
    """The study with the steps that its ``minutes`` allow each variant; unchanged if it has no ``minutes``.

    A trained reference always has the steps of the base.
    """
    minutes = study.config.minutes
    if minutes is None:
        return study
    steps = {name: max(1, int(minutes * 60 / speeds[name].seconds_a_step)) for name in study.variants}
    return study.override(steps_of=steps)


# Cost


@dataclass(frozen=True)
class VariantCost:
    """The cost of one variant, or of one trained reference, over all its seeds."""

    variant: str
    change: str
    seeds: int
    reused: int
    """Seeds that another study has trained already."""
    done: int
    """Seeds that are done."""
    spared: int
    """Seeds of the rest that no look needs, the last ones."""
    parameters: int
    macs: int
    """Multiply-adds for a 1280×720 output."""
    steps: int
    seconds_a_step: float
    hours_a_run: float
    """Training, validation and evaluation of one run."""
    hours: float
    """Those of the runs that are left, one after the other."""
    megabytes: float
    """Disk space of all its runs: weights, one checkpoint, SR images and the executed notebook."""

    @property
    def left(self) -> int:
        """Seeds to train."""
        return self.left_of(self.seeds)

    def left_of(self, seeds: int) -> int:
        """Seeds to train of another number of seeds."""
        needed = min(seeds, self.seeds - self.spared) if self.spared else seeds
        return max(needed - self.reused - self.done, 0)


@dataclass(frozen=True)
class Fit:
    """Whether a study fits into a budget of time, and what would fit instead."""

    hours: float
    """The budget."""
    fits: bool
    seeds: int
    """Seeds that fit with all steps."""
    share_of_steps: float
    """Share of the steps that fits with all seeds."""
    text: str
    """The answer as a sentence."""


@dataclass(frozen=True)
class StudyCost:
    """The cost of a study."""

    workers: int
    """Runs at a time."""
    variants: list[VariantCost]
    origins: dict[str, str]
    """Runs (by label) that another study has trained already, with the name of that study."""

    @property
    def done(self) -> int:
        """Number of runs that are done."""
        return sum(variant.done for variant in self.variants)

    @property
    def left(self) -> int:
        """Number of runs to train."""
        return sum(variant.left for variant in self.variants)

    @property
    def hours(self) -> float:
        """Wall-clock hours."""
        return sum(variant.hours for variant in self.variants) / self.workers

    def hours_of(self, seeds: int) -> float:
        """Wall-clock hours with another number of seeds."""
        return sum(row.left_of(seeds) * row.hours_a_run for row in self.variants) / self.workers

    @property
    def megabytes(self) -> float:
        """Disk space."""
        return sum(variant.megabytes for variant in self.variants)

    def fit(self, hours: float) -> Fit:
        """Whether the study fits into ``hours``; otherwise, with how many seeds or steps it would."""
        total, seeds = self.hours, max(variant.seeds for variant in self.variants)
        fitting = next(n for n in range(seeds, -1, -1) if n == 0 or self.hours_of(n) <= hours)
        steps = sum(row.left * row.steps * row.seconds_a_step for row in self.variants)
        training = steps / 3600 / self.workers
        share = min(1.0, max(0.0, (hours - (total - training)) / training)) if training else 1.0
        if total <= hours:
            return Fit(hours, True, fitting, share, f"it fits into {hours:g} h")
        options = [f"{fitting} of {seeds} seeds"] if fitting else []
        options += [f"{share:.0%} of the steps with all seeds"] if share > 0.01 else []
        what = " or ".join(options) or "not one run of each variant"
        return Fit(hours, False, fitting, share, f"it does not fit into {hours:g} h; what fits: {what}")


def estimate(
    study: Study,
    parameters: dict[str, int],
    speeds: dict[str, Speed],
    reused: Mapping[str, int] | None = None,
    done: Mapping[str, int] | None = None,
    spared: Mapping[str, int] | None = None,
) -> list[VariantCost]:
    """The cost of every variant and trained reference.

    Args:
        study: The study, with its steps.
        parameters: Number of parameters of each.
        speeds: Measured speed of each.
        reused: Number of seeds of each that another study has trained already.
        done: Number of seeds of each that are done.
        spared: Number of the other seeds of each that no look needs.
    """
    reused, done, spared = reused or {}, done or {}, spared or {}
    pixels: dict[tuple[str, ...], int] = {}
    rows = []
    for name in study.run_names:
        config = study.run_config(name)
        train, evaluate, scale, speed = config.train, config.evaluate, config.model.scale, speeds[name]
        for sources in (evaluate.data, (config.data.validation,)):
            if sources not in pixels:
                pixels[sources] = _count_pixels(sources)
        views = 8 if evaluate.ensemble else 1
        tiling = (evaluate.tile / (evaluate.tile - evaluate.overlap)) ** 2 if evaluate.tile else 1.0
        has_maps = isinstance(config.model, ModelConfig) and config.model.spatial_windows
        maps = 2 if has_maps else 1  # the network's own, and uniform ones
        validations = -(-train.steps // train.validate_every)
        hr_pixels = pixels[evaluate.data] * views * tiling * maps + validations * pixels[(config.data.validation,)]
        forward = hr_pixels / scale**2 * speed.seconds_a_pixel
        seconds = _START + train.steps * speed.seconds_a_step + forward
        seeds = len(study.config.seeds)
        left = seeds - sum(known.get(name, 0) for known in (reused, done, spared))
        rows.append(
            VariantCost(
                variant=name,
                change=study.change(name) or "–",
                seeds=seeds,
                reused=reused.get(name, 0),
                done=done.get(name, 0),
                spared=spared.get(name, 0),
                parameters=parameters[name],
                macs=count_macs(config.model),
                steps=train.steps,
                seconds_a_step=speed.seconds_a_step,
                hours_a_run=seconds / 3600,
                hours=left * seconds / 3600,
                megabytes=seeds * _megabytes(parameters[name], pixels[evaluate.data]),
            )
        )
    return rows


def disk_megabytes(study: Study, parameters: dict[str, int]) -> float:
    """Disk space that all runs of a study take, in MB."""
    pixels = _count_pixels(study.run_config(study.base_name).evaluate.data)
    return len(study.config.seeds) * sum(_megabytes(count, pixels) for count in parameters.values())


def _megabytes(parameters: int, pixels: int) -> float:
    """Weights and, during training, a checkpoint with the moments of AdamW; SR images as PNG; the notebook."""
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
