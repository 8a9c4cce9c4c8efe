"""The record of an evaluation: which models can be evaluated, and what a failure leaves (nothing)."""

from pathlib import Path

import pytest

from asid.config import EvalConfig, preset
from asid.evaluation.evaluation_record import evaluate_and_record
from asid.files import WEIGHTS, read_json
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a run with an untrained network."""
    save_checkpoint(ASID(preset("asid-tiny", num_groups=1), seed=3), tmp_path / "mine" / WEIGHTS)
    return tmp_path / "mine"


def test_the_record_is_what_is_returned(run_folder: Path, crops: Path, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    config = EvalConfig(data=(str(crops / "validation"), str(crops / "train")))
    record = evaluate_and_record(
        str(run_folder), config, tmp_path / "out", device="cpu", on_image=lambda *count: done.append(count)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert record == read_json(tmp_path / "out" / "evaluation.json")
    assert (record["scale"], [row["data"] for row in record["sets"]]) == (2, ["validation", "train"])
    assert [len(files["images"]) for files in record["data"].values()] == [1, 3]
    assert not (tmp_path / "out" / "images").exists()


@pytest.mark.parametrize(
    ("model", "scale", "error", "keyword"),
    [
        ("nowhere", None, FileNotFoundError, "nowhere"),
        (".", None, FileNotFoundError, "finished run"),
        ("bicubic", None, ValueError, "needs a scale"),
        ("RUN", 3, ValueError, "×2, got scale 3"),
    ],
)
def test_a_model_that_does_not_exist_or_fit_leaves_nothing(
    model: str,
    scale: int | None,
    error: type[Exception],
    keyword: str,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=keyword):
        evaluate_and_record(str(run_folder) if model == "RUN" else model, EvalConfig(), tmp_path / "out", scale=scale)
    assert not (tmp_path / "out").exists()
