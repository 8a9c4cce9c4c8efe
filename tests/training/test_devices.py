"""Devices and machines that a training cannot have are refused before it starts."""

import os

import pytest
import torch

from asid.config import TrainConfig
from asid.training.devices import check_devices, device_type
from asid.training.strategy import LocalStrategy, strategy_of


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cores and no GPU, on which nothing has started other machines."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"accelerator": "gpu"}, "train.accelerator"),
        ({"accelerator": "mps"}, "train.accelerator"),
        ({"devices": 3}, "2 CPU cores"),
        ({"num_nodes": 2}, "torchrun or SLURM"),
    ],
)
def test_what_this_machine_lacks_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_devices(TrainConfig.model_validate(settings))


def test_what_it_has_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    check_devices(TrainConfig(devices=2, accelerator="cpu"))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    check_devices(TrainConfig(num_nodes=2))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    check_devices(TrainConfig(devices=8, accelerator="gpu"))


@pytest.mark.parametrize(
    ("has", "devices"),
    [
        ({}, {"auto": "cpu", "cpu": "cpu"}),
        ({"cuda": 2}, {"auto": "cuda", "gpu": "cuda", "cpu": "cpu"}),
        ({"mps": True}, {"auto": "mps", "gpu": "mps", "mps": "mps", "cpu": "cpu"}),
    ],
)
def test_the_device_is_the_one_that_lightning_takes(
    has: dict[str, int], devices: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: has.get("cuda", 0))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has.get("mps", False))
    assert {accelerator: device_type(accelerator) for accelerator in devices} == devices


def test_processes_that_nothing_else_starts_meet_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    several = TrainConfig(devices=2, accelerator="cpu")
    assert strategy_of(TrainConfig()) == "auto"
    assert isinstance(strategy_of(several), LocalStrategy)
    monkeypatch.setenv("NODE_RANK", "0")  # in a process that Lightning has started
    assert isinstance(strategy_of(several), LocalStrategy)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert strategy_of(several) == "auto"
