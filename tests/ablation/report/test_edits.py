"""A number that was edited by hand after it was measured is refused, with the file's name, and never averaged in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Call
from written_study import edit_file, make_study

from asid.files import RECORD, STUDY

RUN, BICUBIC = Path("runs/no_sharing-1") / RECORD, Path("references/bicubic") / RECORD
EDITS: dict[str, tuple[Path, Callable[[Any], Any]]] = {
    "PSNR + 1 dB": (RUN, lambda record: record["scores"][0].update(psnr=record["scores"][0]["psnr"] + 1)),
    "SSIM 1.7": (RUN, lambda record: record["scores"][0].update(ssim=1.7)),
    "SSIM": (RUN, lambda record: record["scores"][0].update(ssim=0.92)),
    "parameters": (RUN, lambda record: record["complexity"].update(parameters=1)),
    "multiply-adds": (RUN, lambda record: record["complexity"].update(macs_torch=1)),
    "steps": (RUN, lambda record: record["config"]["train"].update(steps=1_000_000)),
    "protocol": (RUN, lambda record: record.update(protocol="psnr-rgb/ssim-rgb crop=scale")),
    "change of a variant": (Path(STUDY), lambda plan: plan["variants"].update(no_sharing="attention sharing: pairs")),
    "name of a variant": (RUN, lambda record: record.update(variant="base")),
    "seed": (RUN, lambda record: record["config"].update(seed=0)),
    "bicubic row": (BICUBIC, lambda record: record["scores"][0].update(psnr=20.0)),
    "curve": (RUN, lambda record: record["history"][1].update(psnr=33.0)),
    "map use": (RUN, lambda record: record["scores"][0].update(psnr_uniform_maps=20.0)),
    "an image removed": (RUN, lambda record: record["scores"].pop()),
    "an image doubled": (RUN, lambda record: record["scores"].append(record["scores"][0])),
    "evaluation": (RUN, lambda record: record["config"]["evaluate"].update(ensemble=True)),
    "commit": (RUN, lambda record: record["provenance"].update(commit="f" * 12)),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("edits"), map_use={"set_5": 0.1})


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_refused_with_the_name_of_the_file(edit: str, study: Path, cli: Call) -> None:
    name, change = EDITS[edit]
    before = (study / name).read_text()
    content = json.loads(before)
    change(content)
    (study / name).write_text(json.dumps(content))
    try:
        ended = cli("report", study)
    finally:
        (study / name).write_text(before)
    assert ended.status == 2
    assert ended.err.startswith(f"error: {study / name} is damaged or was edited: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (RUN, lambda record: record.update(variant="base"), "expected variant no_sharing as planned, got base"),
        (RUN, lambda record: record["config"].update(seed=3), "expected seed 1 as planned, got 3"),
        (RUN, lambda record: record["config"]["train"].update(steps=9), "expected train.steps 70 as planned, got 9"),
        (BICUBIC, lambda record: record.update(variant="linear"), "expected variant bicubic as planned, got linear"),
    ],
)
def test_a_record_in_the_place_of_another_is_refused(
    name: Path, change: Callable[[Any], Any], words: str, cli: Call, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    edit_file(study / name, change)
    assert cli("report", study).err == f"error: {study / name}: {words}\n"
