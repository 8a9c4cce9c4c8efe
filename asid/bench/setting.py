"""What a bench is run with, and the two sides that most sections compare: the package and a plain implementation."""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from asid.bench.timing import Work
from asid.config import ModelConfig, RunConfig
from asid.model.build import build_network

CHECKOUT = Path(__file__).parents[2]
"""The repository, if the package is used from one."""


class Plain(Protocol):
    """A plain implementation of the network."""

    def __call__(self, x: Tensor) -> Tensor:
        """From a batch (B, 3, H, W) to a batch (B, 3, sH, sW)."""

    def parameters(self) -> Iterable[Tensor]:
        """What is trained."""

    def to(self, device: str) -> "Plain":
        """Move the weights."""


@dataclass(frozen=True)
class Setting:
    """What a bench is run with."""

    quick: bool = False
    """Small sizes and few rounds: to see whether everything works, not to compare."""
    against: Path | None = None
    """The module of the plain implementation; ``None``: its columns are left out."""

    def rounds(self, number: int) -> int:
        """How often to measure what the full bench measures ``number`` times."""
        return min(number, 2) if self.quick else number

    @property
    def thread_numbers(self) -> list[int]:
        """One thread, and one for each core that this process may use."""
        return sorted({1, available_cores()})

    def plain(self, config: ModelConfig) -> Plain | None:
        """The plain implementation of a network, or ``None`` if there is none."""
        return load_plain(self.against)(config) if self.against else None


def available_cores() -> int:
    """Cores that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def find_plain() -> Path | None:
    """The plain implementation of the tests, if the package is used from a checkout."""
    path = CHECKOUT / "tests" / "plain_network.py"
    return path if path.is_file() else None


def load_plain(path: Path) -> Callable[[ModelConfig], Plain]:
    """The function ``build`` of the module at ``path``: from a configuration to a network.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has no function ``build``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no module at {path}: expected a Python file with a function build(config)")
    spec = importlib.util.spec_from_file_location("asid_bench_plain", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(build := getattr(module, "build", None)):
        raise ValueError(f"{path}: expected a function build(config) that returns a network, got none")
    return build


def training_steps(setting: Setting, config: RunConfig) -> dict[str, Work]:
    """One training step on constant patches.

    Returns:
        ``asid``: the package's network and optimiser; with ``config.train.compile``, the first step compiles.
            The precision is float32 or, if ``config.train.precision`` says so, bf16 autocast.
        ``plain``, if there is such a network: that, with PyTorch's AdamW as it comes.
    """
    from asid.training.module import TrainingModule  # Lightning: seconds, and memory that inference does not need

    side, scale = config.data.patch_size, config.model.scale
    lr = torch.full((config.train.batch_size, 3, side, side), 0.5)
    hr = torch.full((config.train.batch_size, 3, side * scale, side * scale), 0.4)

    def step(network: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer) -> Work:
        def work() -> None:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=config.train.precision == "bf16-mixed"):
                loss = F.l1_loss(network(lr), hr)
            loss.backward()
            optimizer.step()

        return work

    module = TrainingModule(config)
    module.on_train_start()
    sides = {"asid": step(module.model, module.configure_optimizers()["optimizer"])}
    if isinstance(config.model, ModelConfig) and (plain := setting.plain(config.model)):
        sides["plain"] = step(plain, torch.optim.AdamW(plain.parameters(), lr=config.train.learning_rate))
    return sides


def forward_passes(
    setting: Setting, config: ModelConfig, height: int, width: int, device: str = "cpu"
) -> dict[str, Work]:
    """A forward pass on an LR image of ``height`` × ``width``: the package, and if there is one, the plain network."""
    image = torch.full((1, 3, height, width), 0.5, device=device)

    def forward(network: Callable[[Tensor], Tensor]) -> Work:
        def work() -> None:
            with torch.inference_mode():
                network(image)

        return work

    sides = {"asid": forward(build_network(config).eval().to(device))}
    if plain := setting.plain(config):
        sides["plain"] = forward(plain.to(device))
    return sides
