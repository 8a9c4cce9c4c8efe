"""``asid doctor``: what is wrong is found, and ends with the command that fixes it."""

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from command_line import Call

from asid.config import RunConfig
from asid.data.cache import FOLDER_VARIABLE, SIZE_VARIABLE
from asid.data.sources import ROOT_VARIABLE
from asid.doctor import trial
from asid.doctor.examine import examine
from asid.doctor.finding import Finding
from asid.model.base import Network
from asid.process import THREADS
from asid.training import train as training

Break = Callable[[pytest.MonkeyPatch, Path], None]


def set_variable(name: str, value: str) -> Break:
    return lambda patch, folder: patch.setenv(name, value.format(folder))


def old_numpy(patch: pytest.MonkeyPatch, _: Path) -> None:
    version = metadata.version
    patch.setattr(metadata, "version", lambda name: "1.26.0" if name == "numpy" else version(name))


def no_einops(patch: pytest.MonkeyPatch, _: Path) -> None:
    version = metadata.version

    def missing(name: str) -> str:
        if name == "einops":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    patch.setattr(metadata, "version", missing)


def latin_names(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")


def half_a_set(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "data" / "Set5" / "HR").mkdir(parents=True)
    patch.setenv(ROOT_VARIABLE, str(folder / "data"))


@pytest.mark.parametrize(
    ("wrong", "check", "state", "text", "fix"),
    [
        (old_numpy, "packages", "problem", "numpy 1.26.0, expected >=2", "pip install 'numpy>=2"),
        (no_einops, "packages", "problem", "einops is not installed", "pip install 'einops"),
        (latin_names, "locale", "warning", "file names: iso8859-1", "LC_ALL=C.UTF-8"),
        (set_variable(THREADS, "many"), "threads", "problem", "whole number", f"unset {THREADS}"),
        (set_variable(THREADS, "5000"), "threads", "warning", "5000 by", f"unset {THREADS}"),
        (set_variable(ROOT_VARIABLE, "{0}/missing"), "data", "problem", "no such folder", "mkdir -p"),
        (half_a_set, "data", "warning", "Set5", "asid data check Set5"),
        (set_variable(FOLDER_VARIABLE, "{0}/file/in"), "cache", "warning", "cannot write", FOLDER_VARIABLE),
        (set_variable(SIZE_VARIABLE, "large"), "images", "problem", "number of GB", f"unset {SIZE_VARIABLE}"),
    ],
)
def test_what_is_wrong_is_found(
    wrong: Break, check: str, state: str, text: str, fix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    wrong(monkeypatch, tmp_path)
    found = [finding for finding in examine(quick=True) if finding.check == check and finding.state != "ok"]
    assert [finding.state for finding in found] == [state]
    assert text in found[0].text
    assert fix in (found[0].fix or "")


def test_the_command_shows_findings_and_their_cure(cli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ended = cli("doctor", "--quick", "--json")
    assert ended.status == 0
    findings = [Finding(**row) for row in json.loads(ended.out)]
    assert {"python", "packages", "devices", "locale", "results"} <= {finding.check for finding in findings}
    assert not {"training", "determinism"} & {finding.check for finding in findings}
    assert all((finding.fix is None) == (finding.state == "ok") for finding in findings)

    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "missing"))
    ended = cli("doctor", "--quick")
    assert ended.status == 1
    last = ended.out.splitlines()[-1]
    assert last.startswith("data: mkdir -p ")
    assert str(tmp_path) in last, "a command is not broken into lines"


@pytest.mark.process
def test_two_trainings_of_two_steps_give_the_same_bytes(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"train": str(crops / "train"), "validation": str(crops / "validation"), "patch_size": 16}
    monkeypatch.setattr(trial, "_SETTINGS", {**trial._SETTINGS, "model": {"num_groups": 1}, "data": data})
    assert [(found.check, found.state) for found in trial.trainings()] == [("training", "ok"), ("determinism", "ok")]

    def differently(config: RunConfig, folder: Path, **options: object) -> Network:
        seed = 1 if folder.name == "second" else 0
        return original(config.override(seed=seed), folder, progress=False)

    original = training.train
    monkeypatch.setattr(training, "train", differently)
    states = {found.check: found.state for found in trial.trainings()}
    assert states == {"training": "ok", "determinism": "warning"}


def test_a_training_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(training, "train", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    last = list(examine())[-1]
    assert (last.check, last.state) == ("training", "problem")
    assert "illegal instruction" in last.text
