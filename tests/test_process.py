"""How a process uses its machine."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from asid import process
from asid.process import KEEP_MEMORY, THREADS, fit_threads, set_threads

FAULTS = """
import resource
import numpy as np
from asid.process import keep_freed_memory

keep_freed_memory()
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    a, b = np.ones(3_000_000), np.ones(6_000_000)  # 24 and 48 MB: glibc maps those above 32 MiB apart
    del a, b
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
@pytest.mark.parametrize(("value", "kept"), [(None, True), ("1", True), ("0", False)])
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(value: str | None, kept: bool) -> None:
    environment = {name: text for name, text in os.environ.items() if name != KEEP_MEMORY}
    environment |= {KEEP_MEMORY: value} if value else {}
    faults = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    assert (int(faults.stdout) < 100) == kept


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which torch would use four threads, and where the user has set nothing."""
    for name in (THREADS, "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(process, "_set_here", None)
    monkeypatch.setattr(process, "time", Clock)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Clock:
    """In place of the module :mod:`time`: only work takes time."""

    now = 0.0

    @classmethod
    def perf_counter(cls) -> float:
        return cls.now


class Working(nn.Module):
    """A network of two layers that takes so many milliseconds with so many threads."""

    def __init__(self, milliseconds: dict[int, float]) -> None:
        super().__init__()
        self.milliseconds, self.layers = milliseconds, nn.Sequential(nn.Identity(), nn.Identity())

    def forward(self, image: Tensor) -> Tensor:
        for layer in self.layers:
            Clock.now += self.milliseconds[torch.get_num_threads()] / 2000
            image = layer(image)
        return image


IMAGE = torch.zeros(1, 3, 2, 2)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("milliseconds", "fastest"),
    [
        ({1: 10, 2: 100}, 1),  # a busy machine; four are not even tried
        ({1: 10, 2: 9.9, 4: 1}, 1),  # hardly faster
        ({1: 40, 2: 20, 4: 10}, 4),
        ({1: 40, 2: 10, 4: 40}, 2),
        ({1: 1200}, 1),  # no time to try more
    ],
)
def test_more_threads_are_used_only_if_they_pay(milliseconds: dict[int, float], fastest: int) -> None:
    network = Working(milliseconds)
    assert fit_threads(network, IMAGE) == fastest
    assert torch.get_num_threads() == fastest
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.usefixtures("four_threads")
def test_a_second_trial_may_find_more_threads_than_the_first() -> None:
    assert fit_threads(Working({1: 10, 2: 100}), IMAGE) == 1
    assert fit_threads(Working({1: 40, 2: 10, 4: 40}), IMAGE) == 2
    set_threads(3)  # as a training that resumes
    assert fit_threads(Working({1: 40, 2: 20, 4: 10}), IMAGE) == 4


@pytest.mark.usefixtures("four_threads")
def test_a_number_that_the_user_sets_after_a_trial_is_the_most_that_is_tried() -> None:
    assert fit_threads(Working({1: 40, 2: 20, 4: 10}), IMAGE) == 4
    torch.set_num_threads(2)
    assert fit_threads(Working({1: 40, 2: 20}), IMAGE) == 2
    torch.set_num_threads(1)
    assert fit_threads(Working({}), IMAGE) == 1  # nothing to try


@pytest.mark.usefixtures("four_threads")
def test_a_pass_that_would_take_minutes_is_cut_off() -> None:
    class Endless(Working):
        def forward(self, image: Tensor) -> Tensor:
            for _ in range(1 if torch.get_num_threads() == 1 else 10_000):
                image = super().forward(image)
            return image

    assert fit_threads(Endless({1: 10, 2: 100}), IMAGE) == 1


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("name", "expected"), [(THREADS, 3), ("OMP_NUM_THREADS", 4), ("MKL_NUM_THREADS", 4)])
def test_what_the_user_has_set_is_kept(name: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")  # torch reads OMP_NUM_THREADS when it is loaded, and has four here
    assert fit_threads(Working({}), IMAGE) == expected


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, text)
    with pytest.raises(ValueError, match=rf"{THREADS}={text}: expected a whole number"):
        fit_threads(Working({}), IMAGE)


@pytest.mark.process
@pytest.mark.parametrize(("value", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_wait_passively_by_default(value: str | None, policy: str) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": value} if value else {}
    code = "import asid, os; print(os.environ['OMP_WAIT_POLICY'])"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == policy
