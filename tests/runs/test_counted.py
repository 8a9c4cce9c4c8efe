"""Operations are counted once per network, and again whenever that could matter."""

from pathlib import Path

import pytest

from asid.config import ModelConfig, preset
from asid.data.cache import FOLDER_VARIABLE
from asid.model.complexity import Complexity
from asid.runs import counted


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ModelConfig]:
    """The networks whose operations were counted."""
    calls: list[ModelConfig] = []

    def measure(config: ModelConfig) -> Complexity:
        calls.append(config)
        return Complexity(1, 2, 3, 4, (1280, 720))

    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(counted, "measure_complexity", measure)
    return calls


def test_each_network_is_counted_once(calls: list[ModelConfig]) -> None:
    first, other = preset("asid-tiny"), preset("asid-tiny", attention_sharing="none")
    counts = [counted.complexity_once(config) for config in (first, other, first)]
    assert calls == [first, other]
    assert counts == [Complexity(1, 2, 3, 4, (1280, 720))] * 3


def test_other_code_counts_again(calls: list[ModelConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    for code in ("before", "after"):
        monkeypatch.setattr(counted, "scores_code", lambda code=code: code)
        counted.complexity_once(preset("asid-tiny"))
    assert len(calls) == 2


@pytest.mark.parametrize("text", ["", "{}", '{"parameters": 1}', '{"output": 1}'])
def test_a_damaged_file_is_replaced(text: str, tmp_path: Path, calls: list[ModelConfig]) -> None:
    counted.complexity_once(preset("asid-tiny"))
    (path,) = tmp_path.glob("complexity-*.json")
    path.write_text(text)
    for _ in range(2):
        assert counted.complexity_once(preset("asid-tiny")).parameters == 1
    assert len(calls) == 2


def test_without_a_cache_it_is_counted_each_time(calls: list[ModelConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "off")
    for _ in range(2):
        counted.complexity_once(preset("asid-tiny"))
    assert len(calls) == 2
