"""``asid check``: results are compared with their records, file by file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Call
from written_study import edit_file, make_study

from asid.ablation.study.check import check_results
from asid.files import CONFIG, HISTORY, WEIGHTS
from asid.runs.identity import Identity
from asid.runs.record import bind_files, read_record, write_record


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study whose records stand for files."""
    folder = make_study(tmp_path)
    for path in [path.parent for path in folder.rglob("record.json")]:
        if path.parent.name == "runs":
            for name in (CONFIG, HISTORY, WEIGHTS):
                (path / name).write_text(f"{name} of {path.name}")
        identity = Identity(training=path.name, evaluations={"set_5": "0" * 12})
        write_record(bind_files(read_record(path).override(identity=identity), path), path)
    edit_file(
        folder / "study.json",
        lambda plan: [run["identity"].update(evaluations={"set_5": "0" * 12}) for run in plan["runs"]],
    )
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_results_as_they_were_written_pass(study: Path, cli: Call) -> None:
    ended = cli("check", study.parent)
    assert (ended.status, ended.err) == (0, "")
    assert "7 records with 32 files compared, 0 problems" in ended.words  # 6 × (3 + 2 images) + 2 images of bicubic


RUN, OTHER = "runs/base-0", "runs/no_sharing-1"


@pytest.mark.parametrize(
    ("damage", "name", "words"),
    [
        (lambda study: flip(study / RUN / WEIGHTS), f"{RUN}/{WEIGHTS}", "differs"),
        (lambda study: flip(study / RUN / HISTORY), f"{RUN}/{HISTORY}", "differs"),
        (lambda study: flip(study / RUN / CONFIG), f"{RUN}/{CONFIG}", "differs"),
        (lambda study: flip(study / RUN / "images/set_5/ant.png"), f"{RUN}/images/set_5/ant.png", "differs"),
        (lambda study: flip(study / RUN / "record.json"), f"{RUN}/record.json", "damaged"),
        (lambda study: flip(study / "study.json"), "study.json", "damaged"),
        (lambda study: (study / RUN / WEIGHTS).unlink(), f"{RUN}/{WEIGHTS}", "missing"),
        (lambda study: (study / RUN / "record.json").unlink(), f"{RUN}/record.json", "missing"),
        (lambda study: (study / RUN / "images/set_5/cat.png").touch(), f"{RUN}/images/set_5/cat.png", "foreign"),
        (lambda study: shutil.copytree(study / RUN, study / "runs/x"), "runs/x", "foreign"),
        (lambda study: shutil.copy(study / OTHER / WEIGHTS, study / RUN), f"{RUN}/{WEIGHTS}", "differs"),
        (
            lambda study: shutil.copytree(study / OTHER, study / RUN, dirs_exist_ok=True),
            f"{RUN}/record.json",
            "planned",
        ),
        (lambda study: flip(study / "references/bicubic/images/set_5/bee.png"), "references/bicubic/", "differs"),
    ],
)
def test_each_damage_is_found_by_the_file_s_name(
    damage: Callable[[Path], None], name: str, words: str, study: Path
) -> None:
    damage(study)
    problems = check_results(study).problems
    assert any(line.startswith(f"{study / name}") and words in line for line in problems), problems
    if name != "study.json":
        assert len(problems) == 1


def test_runs_that_are_not_done_and_notes_are_no_problem(study: Path, cli: Call) -> None:
    shutil.rmtree(study / RUN)
    (study / OTHER / "note.txt").write_text("the one with the blue curve")
    ended = cli("check", study)
    assert (ended.status, ended.err) == (0, "")
    assert "1 planned runs have no record" in ended.words


def test_records_without_their_files_are_accepted(study: Path) -> None:
    """As they are kept in a repository."""
    for path in (study / "runs").glob("*/*"):
        if path.name != "record.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert check_results(study).problems == []


def test_a_folder_without_results_is_refused(tmp_path: Path, cli: Call) -> None:
    ended = cli("check", tmp_path)
    assert (ended.status, "no record.json" in ended.err) == (2, True)
