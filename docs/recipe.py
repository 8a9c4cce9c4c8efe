"""Measures training recipes: many short trainings on one thread each, one row of ``docs/recipe.csv`` per training.

The loop is leaner than :mod:`asid.training`, to try what the package does not offer: schedules over CPU seconds, other
optimisers, patches chosen by their difficulty, several weight averages of one training. Data, network, start, rates,
uniform maps and scores are the package's own. ``docs/recipe.md`` draws the conclusions.
"""

import argparse
import copy
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sections import replace_section
from torch import Tensor, nn

from asid.config import TrainConfig, preset
from asid.data.images import RGBImage
from asid.data.linear import even_sample, fit_linear_filters, linear_upscale
from asid.data.photographs import Photograph
from asid.data.samples import TRAIN_SAMPLES, sample_paths
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import comparable, psnr
from asid.files import grouped
from asid.model.interventions import uniform_attention
from asid.model.network import ASID
from asid.process import keep_freed_memory
from asid.training import start
from asid.training.module import parameter_groups

FOLDER = Path(__file__).parent
SCALE = 2
Pairs = list[tuple[RGBImage, RGBImage]]
RATES = {"shallow": 0.02, "deep": 0.2, "upsample": 0.03}
AVERAGES = (0.9, 0.96, 0.98, 0.99, 0.995)
"""Decays of the weight averages that every training keeps side by side."""


@dataclass(frozen=True)
class Trial:
    """One training. The defaults are the recipe of ``ablations/quick.yaml``."""

    name: str
    seed: int = 0
    network: str = "asid-laptop"
    """A preset, or ``cnn``."""
    model: dict[str, Any] = field(default_factory=dict)
    photographs: str = "samples"
    """``samples``, ``more samples``, ``all samples``, or ``BSDS500``; scored on the validation samples or on Set5."""
    steps: int | None = None
    seconds: float | None = None
    """CPU seconds of training, if not a number of steps."""
    score_every: int = 0
    """Steps between scores; 0: at the end only."""
    start: str = "linear"
    """``random``, ``linear``, ``linear, random attention``, ``RGB``: RGB at four shifts instead of whitened bands."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    optimizer: str = "adamw"
    """``adamw``, ``muon`` (matrices inside the groups; AdamW for the rest), ``schedule-free`` (AdamW)."""
    learning_rate: float = 0.005
    muon_rate: float = 0.02
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    schedule: str = "trapezoid"
    decay_fraction: float = 0.4
    warmup_steps: int = 20
    clip: float | None = 0.3
    batch: int = 4
    patch: int = 32
    choose_from: int = 1
    """Each patch is the most difficult of this many random ones."""
    difficulty: str = "linear"
    """``linear``: the error of the linear filter; ``detail``: :func:`asid.data.patches.detail`."""
    branch_scale: float = 1.0
    """Factor of the initial weights of each group's last projection."""


class ResidualCNN(nn.Module):
    """The plain competitor: 3×3 head, residual blocks, 3×3 tail to sub-pixels, plus bicubic interpolation."""

    def __init__(self, value_range: tuple[float, float], width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.value_range, self.scale = value_range, SCALE
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.tail = nn.Conv2d(width, 3 * SCALE**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """LR (B, 3, h, w) to SR (B, 3, s·h, s·w)."""
        y = self.head(x)
        for block in self.body:
            y = y + block(y)
        return F.interpolate(x, scale_factor=SCALE, mode="bicubic") + F.pixel_shuffle(self.tail(y), SCALE)


def linear_error(lr: RGBImage, hr: RGBImage, filters: Any) -> Any:
    """Mean absolute error of the linear filter at each LR pixel, (h, w)."""
    error = np.abs(linear_upscale(lr, filters, SCALE).astype(np.int16) - hr).mean(2)
    return error.reshape(lr.shape[0], SCALE, lr.shape[1], SCALE).mean((1, 3))


def detail_by_pixel(hr: RGBImage) -> Any:
    """:func:`asid.data.patches.detail` for each LR pixel, (h, w)."""
    height, width = (side // SCALE for side in hr.shape[:2])
    blocks = hr[..., 1].reshape(height, SCALE, width, SCALE).astype(np.float32)
    return np.abs(blocks - blocks.mean((1, 3), keepdims=True)).mean((1, 3))


class HardPatches:
    """Patches of which each is the most difficult for the linear filter among some random ones."""

    def __init__(self, pairs: Pairs, patch: int, seed: int, choose_from: int, difficulty: str) -> None:
        self.pairs, self.patch_size, self.seed, self.choose_from = pairs, patch, seed, choose_from
        self.difficulty: list[Any] = []
        if choose_from > 1:
            filters = fit_linear_filters(even_sample(pairs), SCALE, "symmetric", 5)
            for lr, hr in pairs:
                low = detail_by_pixel(hr) if difficulty == "detail" else linear_error(lr, hr, filters)
                table = np.pad(low.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
                p = patch
                self.difficulty.append(table[p:, p:] - table[:-p, p:] - table[p:, :-p] + table[:-p, :-p])

    def crop_position(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Image, top and left of a patch."""
        best = (-1.0, 0, 0, 0)
        for _ in range(self.choose_from):
            image = int(rng.integers(len(self.pairs)))
            height, width = self.pairs[image][0].shape[:2]
            top = int(rng.integers(height - self.patch_size + 1))
            left = int(rng.integers(width - self.patch_size + 1))
            error = self.difficulty[image][top, left] if self.difficulty else 0.0
            best = max(best, (float(error), image, top, left))
        return best[1:]

    def batch(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """LR (B, 3, p, p) and HR (B, 3, sp, sp) in [0, 1]."""
        p, pieces = self.patch_size, []
        for index in range(first, first + count):
            rng = np.random.default_rng((self.seed, index))
            image, top, left = self.crop_position(rng)
            lr, hr = self.pairs[image]
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            patches = (
                lr[top : top + p, left : left + p],
                hr[SCALE * top : SCALE * (top + p), SCALE * left : SCALE * (left + p)],
            )
            pieces.append([np.rot90(patch[:, ::-1] if flip else patch, turns) for patch in patches])
        lr, hr = (
            torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).float() / 255 for side in zip(*pieces, strict=True)
        )
        return lr, hr


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal by Newton–Schulz iterations (Jordan et al., 2024)."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                mean = state.setdefault("momentum", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(mean, group["momentum"]).flatten(1)
                wide = update.shape[0] <= update.shape[1]
                x = update if wide else update.T
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    gram = x @ x.T
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                x = x if wide else x.T
                gain = math.sqrt(max(1.0, update.shape[0] / update.shape[1]))
                parameter.add_(x.reshape(parameter.shape), alpha=-group["lr"] * gain)


class ScheduleFree(torch.optim.Optimizer):
    """AdamW without a schedule (Defazio et al., 2024): gradients at y, between the average x and the iterate z."""

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": 0.0, "betas": betas})
        self.weights = 0.0
        self.count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step: the parameters move to the next y."""
        self.count += 1
        largest = max(group["lr"] for group in self.param_groups)
        self.weights += largest**2
        share = largest**2 / self.weights
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state |= {"x": parameter.clone(), "z": parameter.clone(), "square": torch.zeros_like(parameter)}
                state["square"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                root = (state["square"] / (1 - beta2**self.count)).sqrt().add_(1e-8)
                state["z"].addcdiv_(parameter.grad, root, value=-group["lr"])
                state["x"].lerp_(state["z"], share)
                parameter.copy_(state["z"].lerp(state["x"], beta1))


def build(trial: Trial, pairs: Pairs) -> Any:
    """The network of a trial with its initial weights."""
    if trial.network == "cnn":
        torch.manual_seed(trial.seed)
        return ResidualCNN(trial.value_range, **trial.model)
    model = ASID(preset(trial.network, **trial.model), seed=trial.seed, value_range=trial.value_range)
    if trial.start != "random":
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        start.start_linear(model, pairs, seed=trial.seed)
        if trial.start == "RGB":
            _rgb_start(model, pairs, kept)
        if trial.start in ("linear, random attention", "RGB"):
            own = model.state_dict()
            for name in own:
                if ".attention." in name and ".spatial." in name:
                    own[name].copy_(kept[name])
    with torch.no_grad():
        for group in model.groups:
            group.project.weight.mul_(trial.branch_scale)  # type: ignore[union-attr, operator]
    return model


@torch.no_grad()
def _rgb_start(model: ASID, pairs: Pairs, random: dict[str, Tensor]) -> None:
    """RGB at the four corners of 3×3 pixels in the first twelve channels, random weights in the others."""
    filters = fit_linear_filters(even_sample(pairs), SCALE, "symmetric", 5)
    shallow = random["shallow.weight"].double().clone()
    shallow[:12] = 0
    for corner, (y, x) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        for colour in range(3):
            shallow[3 * corner + colour, colour, y, x] = 1
    readout = random["upsample.weight"].double()[:, 12:, 1, 1] * 0.1
    model.shallow.weight.copy_(shallow)
    model.upsample.weight.copy_(start.upsample_weights(shallow, 12, filters, readout))


def optimizers(trial: Trial, model: Any) -> list[torch.optim.Optimizer]:
    """What changes the weights of a trial."""
    if trial.network == "cnn":
        groups: list[dict[str, Any]] = [{"params": list(model.parameters()), "lr": trial.learning_rate}]
    else:
        groups = parameter_groups(model, TrainConfig(learning_rate=trial.learning_rate, rates=trial.rates))
    if trial.optimizer == "schedule-free":
        return [ScheduleFree([{"params": g["params"], "lr": g["lr"]} for g in groups], trial.betas)]
    matrices: list[nn.Parameter] = []
    if trial.optimizer == "muon":
        matrices = [p for n, p in model.named_parameters() if n.startswith("groups") and p.ndim > 1 and p.shape[1] > 1]
        inside = set(map(id, matrices))
        groups = [{**group, "params": [p for p in group["params"] if id(p) not in inside]} for group in groups]
    adamw = torch.optim.AdamW(groups, betas=trial.betas, weight_decay=trial.weight_decay)
    return [adamw, Muon(matrices, trial.muon_rate)] if matrices else [adamw]


def score(model: Any, pairs: Pairs, uniform: bool = False) -> float:
    """Mean PSNR-Y in dB by the package's protocol, optionally with uniform attention maps."""
    with uniform_attention(model) if uniform else nullcontext():
        return float(np.mean([psnr(*comparable(_upscale(model, lr), hr, crop=SCALE)) for lr, hr in pairs]))


@torch.inference_mode()
def _upscale(model: Any, lr: RGBImage) -> RGBImage:
    if isinstance(model, ASID):
        return upscale(model, lr)
    low, high = model.value_range
    sr = model(torch.from_numpy(lr.copy()).permute(2, 0, 1)[None].float() / 255 * (high - low) + low)
    pixels = ((sr[0] - low) / (high - low)).clamp(0, 1).mul(255).round()
    return pixels.to(torch.uint8).permute(1, 2, 0).numpy()


def run(trial: Trial, train: Pairs, test: Pairs) -> dict[str, Any]:
    """Train and score one trial. Returns its settings and what was measured."""
    model = build(trial, train)
    low, high = trial.value_range
    patches = HardPatches(train, trial.patch, trial.seed, trial.choose_from, trial.difficulty)
    steppers = optimizers(trial, model)
    peaks = [[group["lr"] for group in stepper.param_groups] for stepper in steppers]
    parameters = list(model.parameters())
    averages = {decay: copy.deepcopy(model) for decay in AVERAGES}
    slow = copy.deepcopy(model)  # decay 0.99, rising slowly at first
    averaged = {decay: list(average.parameters()) for decay, average in averages.items()}
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    used, step = 0.0, 0

    def record() -> None:
        curve.append({"step": step, "seconds": round(used, 2), "psnr": round(score(slow, test), 4)})

    if trial.score_every:
        record()
    while True:
        began = time.process_time()
        progress = step / trial.steps if trial.steps else used / trial.seconds  # type: ignore[operator]
        if progress >= 1:
            break
        shape = {
            "trapezoid": min(1.0, (1 - progress) / trial.decay_fraction),
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "constant": 1.0,
        }[trial.schedule]
        factor = shape * min(1.0, (step + 1) / (trial.warmup_steps + 1))
        for stepper, rates in zip(steppers, peaks, strict=True):
            for group, rate in zip(stepper.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        lr, hr = (images * (high - low) + low for images in patches.batch(step * trial.batch, trial.batch))
        loss = F.l1_loss(model(lr), hr)
        loss.backward()
        if trial.clip:
            nn.utils.clip_grad_norm_(parameters, trial.clip)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        step += 1
        with torch.no_grad():
            for decay, values in averaged.items():
                torch._foreach_lerp_(values, parameters, 1.0 if step == 1 else 1 - decay)
            torch._foreach_lerp_(list(slow.parameters()), parameters, 1 - min(0.99, step / (step + 9)))
        losses.append(loss.item() / (high - low))
        used += time.process_time() - began
        if not math.isfinite(losses[-1]):
            break
        if trial.score_every and step % trial.score_every == 0:
            record()
    if trial.optimizer == "schedule-free":
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(steppers[0].state[parameter]["x"])
    results: dict[str, Any] = {"steps_done": step, "cpu_seconds": round(used, 1)}
    results["parameters"] = sum(parameter.numel() for parameter in parameters)
    scores = {"last": score(model, test), **{str(decay): score(average, test) for decay, average in averages.items()}}
    scores["0.99 rising"] = score(slow, test)
    results["psnr"] = {name: round(value, 4) for name, value in scores.items()}
    if trial.network != "cnn" and model.config.spatial_windows:
        kinds = {"0.96": averages[0.96], "0.99 rising": slow}
        results["map_use"] = {k: round(scores[k] - score(m, test, uniform=True), 4) for k, m in kinds.items()}
    results["loss"] = round(float(np.mean(losses[-50:])), 6)
    results["curve"] = curve
    return {**asdict(trial), **results}


_PHOTOGRAPHS: dict[str, Pairs] = {}


def _read(path: Path) -> tuple[RGBImage, RGBImage]:
    return Photograph(path).pair(SCALE, "symmetric")


def load(data: Path) -> None:
    """Decode all photographs once, before the processes are forked."""
    import matplotlib
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    samples = [folder / name for name in TRAIN_SAMPLES if (folder / name).exists()]
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    grey = [folder / name for name in ("camera.png", "brick.png", "grass.png", "gravel.png")]
    bsds = [path for part in ("train", "test") for path in sorted((data / "bsds500" / part).glob("*.jpg"))]
    sources = {
        "samples": list(dict.fromkeys(samples)),
        "more samples": [*dict.fromkeys([*samples, hopper])],
        "all samples": [*dict.fromkeys([*samples, hopper]), *grey],
        "samples validation": sample_paths("validation"),
        "BSDS500": bsds,
        "Set5": sorted((data / "Set5").glob("*.png")),
    }
    with multiprocessing.get_context("fork").Pool() as pool:
        for name, paths in sources.items():
            _PHOTOGRAPHS[name] = pool.map(_read, paths, chunksize=4)


def _work(trial: Trial) -> dict[str, Any]:
    torch.set_num_threads(1)
    keep_freed_memory()
    test = "Set5" if trial.photographs == "BSDS500" else "samples validation"
    try:
        return run(trial, _PHOTOGRAPHS[trial.photographs], _PHOTOGRAPHS[test])
    except Exception as error:  # one failed trial must not end the others
        return {**asdict(trial), "error": repr(error)}


def trials() -> Iterator[Trial]:
    """Everything that is compared, the most important first."""
    set5 = {"photographs": "BSDS500", "steps": 400}
    often = {**set5, "score_every": 25}
    cnn = {"network": "cnn", "rates": {}, "learning_rate": 0.002, "photographs": "BSDS500", "clip": None}
    for seed in range(3):
        yield Trial("Set5: recipe", seed, **often)
        yield Trial("Set5: CNN, recipe", seed, **cnn, steps=1000, score_every=50)
        yield Trial("Set5: random start", seed, **set5, start="random")
        yield Trial("Set5: random attention", seed, **set5, start="linear, random attention")
        yield Trial("Set5: RGB start", seed, **set5, start="RGB")
        yield Trial("Set5: one rate 0.001", seed, **set5, rates={}, learning_rate=0.001)
        yield Trial("Set5: one rate 0.005", seed, **set5, rates={})
        yield Trial("Set5: images in [0, 1]", seed, **set5, value_range=(0.0, 1.0))
        yield Trial("Set5: cosine", seed, **set5, schedule="cosine")
        yield Trial("Set5: no clipping", seed, **set5, clip=None)
        yield Trial("Set5: no spatial attention", seed, **set5, model={"spatial_windows": []})
        yield Trial("Set5: no sharing", seed, **set5, model={"attention_sharing": "none"})
        yield Trial("Set5: asid-tiny", seed, **often, network="asid-tiny")
    for seed in range(3):
        yield Trial("Set5: asid", seed, **{**often, "score_every": 50}, network="asid")
    old = {"start": "random", "rates": {}, "learning_rate": 0.002, "schedule": "cosine", "value_range": (0.0, 1.0)}
    old |= {"clip": 1.0, "warmup_steps": 100, "betas": (0.9, 0.999), "batch": 8, "photographs": "BSDS500"}
    for seed in range(3):
        yield Trial("Set5: before, asid-laptop", seed, **old, steps=1000, score_every=100)
        yield Trial("Set5: CNN, before", seed, **{**cnn, "learning_rate": 0.001, "value_range": (0.0, 1.0)},
                    schedule="cosine", steps=1000, score_every=50)  # fmt: skip
    yield Trial("Set5: before, asid", 0, **old, network="asid", steps=600, score_every=100)
    detailed: dict[str, Any] = {"choose_from": 4, "difficulty": "detail"}
    short: dict[str, dict[str, Any]] = {
        "recipe": {},
        "best of 4 patches by detail": detailed,
        "best of 4 patches by error": {"choose_from": 4},
        "Muon": {"optimizer": "muon"},
        "Muon, best of 4 patches by detail": {"optimizer": "muon", **detailed},
        "schedule-free": {"optimizer": "schedule-free", "schedule": "constant"},
        "no weight decay": {"weight_decay": 0.0},
        "weight decay 0.01": {"weight_decay": 0.01},
        "warm-up 60": {"warmup_steps": 60},
        "branches × 0.3": {"branch_scale": 0.3},
        "branches × 3": {"branch_scale": 3.0},
        "clip 0.1": {"clip": 0.1},
    }
    for seed in range(3):
        for name, change in short.items():
            yield Trial(f"300 steps: {name}", seed, steps=300, **change)
    changes: dict[str, dict[str, Any]] = {
        "recipe": {},
        "rate 0.0025": {"learning_rate": 0.0025},
        "rate 0.01": {"learning_rate": 0.01},
        "batch 2": {"batch": 2},
        "batch 8": {"batch": 8},
        "patch 16": {"patch": 16, "batch": 16},
        "patch 24": {"patch": 24, "batch": 7},
        "patch 48": {"patch": 48, "batch": 2},
        "patch 64": {"patch": 64, "batch": 1},
        "best of 2 patches": {"choose_from": 2},
        "best of 4 patches": {"choose_from": 4},
        "more photographs": {"photographs": "more samples"},
        "more and grey photographs": {"photographs": "all samples"},
        "Muon 0.02": {"optimizer": "muon"},
        "Muon 0.005": {"optimizer": "muon", "muon_rate": 0.005},
        "schedule-free": {"optimizer": "schedule-free", "schedule": "constant"},
        "schedule-free, rate 0.01": {"optimizer": "schedule-free", "schedule": "constant", "learning_rate": 0.01},
        "no weight decay": {"weight_decay": 0.0},
        "weight decay 0.01": {"weight_decay": 0.01},
        "clip 0.1": {"clip": 0.1},
        "clip 1": {"clip": 1.0},
        "clip 0.1, rate 0.01": {"clip": 0.1, "learning_rate": 0.01},
        "decay over 20 %": {"decay_fraction": 0.2},
        "decay over 70 %": {"decay_fraction": 0.7},
        "warm-up 60": {"warmup_steps": 60},
        "betas 0.95, 0.99": {"betas": (0.95, 0.99)},
        "betas 0.9, 0.999": {"betas": (0.9, 0.999)},
        "branches × 0.3": {"branch_scale": 0.3},
        "branches × 3": {"branch_scale": 3.0},
        "shallow and upsample rates × 3": {"rates": {"shallow": 0.06, "deep": 0.2, "upsample": 0.09}},
        "deep rate × 3": {"rates": {**RATES, "deep": 0.6}},
        "random start": {"start": "random"},
        "24 channels": {"model": {"num_features": 24}},
        "one group, 48 channels": {"model": {"num_features": 48, "num_groups": 1}},
        "three groups, one step": {"model": {"num_groups": 3, "distillation_steps": 1}},
        "no spatial attention": {"model": {"spatial_windows": []}},
        "CNN": {"network": "cnn", "rates": {}, "learning_rate": 0.002, "clip": None},
        "CNN of 100 000 parameters": {
            "network": "cnn", "rates": {}, "learning_rate": 0.002, "clip": None, "model": {"width": 42}},
    }  # fmt: skip
    for seed in range(3):
        for name, change in changes.items():
            yield Trial(f"samples: {name}", seed, seconds=60, **change)


KEPT = ("last", "0.96", "0.99 rising")
"""Weight averages whose scores the table keeps."""
DEFAULT = asdict(Trial(""))


def write_table(results: Path, table: Path) -> None:
    """Turn the JSON lines of :func:`main` into a CSV with one row per training, in the order of :func:`trials`."""
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    order = {(trial.name, trial.seed, trial.seconds): index for index, trial in enumerate(trials())}
    rows = []
    for line in sorted(lines, key=lambda line: order[line["name"], line["seed"], line["seconds"]]):
        if "error" in line:
            continue
        changed = {key: line[key] for key in DEFAULT if line[key] != json.loads(json.dumps(DEFAULT[key]))}
        settings = {k: v for k, v in changed.items() if k not in ("name", "seed", "seconds", "score_every")}
        rows.append(
            {
                "trial": line["name"],
                "seed": line["seed"],
                "seconds allowed": line["seconds"],
                "settings": json.dumps(settings),
                "parameters": line["parameters"],
                "steps": line["steps_done"],
                "cpu seconds": line["cpu_seconds"],
                **{f"psnr {average}": line["psnr"][average] for average in (*KEPT[:1], *map(str, AVERAGES), KEPT[-1])},
                **{f"map use {average}": line.get("map_use", {}).get(average) for average in KEPT[1:]},
                "curve": " ".join(f"{p['step']}:{p['seconds']:.1f}:{p['psnr']:.2f}" for p in line["curve"]),
            }
        )
    pd.DataFrame(rows).to_csv(table, index=False)


def reached(curve: str, level: float) -> float:
    """CPU seconds after which a curve (step:seconds:PSNR) first stands at ``level`` dB; NaN if it never does."""
    points = [tuple(map(float, point.split(":"))) for point in curve.split()]
    return next((seconds for _, seconds, value in points if value >= level), math.nan)


def tables(table: Path) -> dict[str, str]:
    """The tables of ``docs/recipe.md`` in Markdown, by name."""
    rows = pd.read_csv(table, keep_default_na=True)
    score = f"psnr {KEPT[-1]}"
    on_set5 = rows[rows["trial"].str.startswith("Set5")]
    set5 = []
    for name, group in on_set5.groupby("trial", sort=False):
        levels = [group["curve"].fillna("").map(lambda curve, v=v: reached(curve, v)) for v in (35.0, 35.5, 36.0)]
        set5.append(
            {
                "training": str(name).removeprefix("Set5: "),
                "parameters": grouped(group["parameters"].iloc[0]),
                "seeds": len(group),
                "steps": group["steps"].iloc[0],
                "PSNR (dB)": _spread(group[score], 2),
                "map use (dB)": _spread(group[f"map use {KEPT[-1]}"], 2),
                "CPU s": _spread(group["cpu seconds"], 0),
                **{f"s to {v}": _spread(level, 0) for v, level in zip((35.0, 35.5, 36.0), levels, strict=True)},
            }
        )
    timed = rows[rows["trial"].str.startswith("samples")]
    found = {
        "set5": set5,
        "minute": _changes(timed[timed["seconds allowed"] == 60], "samples: ", score),
        "steps": _changes(rows[rows["trial"].str.startswith("300 steps")], "300 steps: ", score),
    }
    return {name: _markdown(pd.DataFrame(content)) for name, content in found.items()}


def _changes(rows: pd.DataFrame, prefix: str, score: str) -> list[dict[str, Any]]:
    """Each change against the recipe, paired by seed, the best first."""
    by_seed = rows.set_index(["trial", "seed"])
    base = by_seed.loc[f"{prefix}recipe"]
    table = []
    for name, group in by_seed.groupby(level="trial", sort=False):
        change = (group.droplevel("trial")[score] - base[score]).dropna()
        table.append(
            {
                "training": str(name).removeprefix(prefix),
                "seeds": len(group),
                "steps": round(group["steps"].mean()),
                "PSNR (dB)": f"{group[score].mean():.2f}",
                "Δ dB": _spread(change, 2, "+"),
                "map use (dB)": f"{group[f'map use {KEPT[-1]}'].mean():.2f}".replace("nan", "–"),
            }
        )
    return sorted(table, key=lambda row: -float(row["PSNR (dB)"]))


def _spread(values: "pd.Series[float]", digits: int, sign: str = "") -> str:
    """Mean ± standard deviation; a dash if a value is missing."""
    if values.isna().any() or not len(values):
        return "–"
    spread = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.{digits}f}{spread}"


def _markdown(table: pd.DataFrame) -> str:
    cells = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def write_document(table: Path, document: Path) -> None:
    """Replace the tables of a document."""
    text = document.read_text()
    for name, content in tables(table).items():
        text = replace_section(text, name, content)
    document.write_text(text)


def main() -> None:
    """Run the trials that are not yet in a file, and append a JSON line for each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, help="folder with bsds500/ and Set5/")
    parser.add_argument(
        "--tables", action="store_true", help="train nothing; write recipe.csv and recipe.md from OUTPUT"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="beginning of the names of the trials to run")
    parser.add_argument("--seeds", type=int, default=3, help="seeds below this number")
    parser.add_argument("--scale-time", type=float, default=1.0, help="factor of all steps and seconds")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    if options.tables:
        write_table(options.output, FOLDER / "recipe.csv")
        write_document(FOLDER / "recipe.csv", FOLDER / "recipe.md")
        return
    load(options.data)
    chosen = [trial for trial in trials() if trial.name.startswith(options.only) and trial.seed < options.seeds]
    chosen = [
        replace(
            trial,
            steps=trial.steps and max(2, int(trial.steps * options.scale_time)),
            seconds=trial.seconds and trial.seconds * options.scale_time,
        )
        for trial in chosen
    ]
    done = [json.loads(line) for line in options.output.read_text().splitlines()] if options.output.exists() else []
    measured = {(line["name"], line["seed"], line["seconds"]) for line in done}
    chosen = [trial for trial in chosen if (trial.name, trial.seed, trial.seconds) not in measured]
    began = time.time()
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        for result in pool.imap_unordered(_work, chosen):
            with options.output.open("a") as file:
                file.write(json.dumps(result) + "\n")
            summary = [result[key] for key in ("name", "seed", "psnr", "error") if key in result]
            sys.stdout.write(f"{time.time() - began:.0f} s {summary}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
