"""The command line: help, one line per mistake, a real training; importing the package is quick and has no effect."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import Call, parse
from photographs import PHOTO

import asid
from asid.ablation.engine import runner
from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.outcome import Outcome
from asid.cli.main import app
from asid.config import Config, PlainCNNConfig, RunConfig, preset
from asid.data.benchmarks import ROOT_VARIABLE
from asid.data.images import write_image
from asid.files import HISTORY, RECORD, STUDY, WEIGHTS
from asid.model.checkpoint import load_checkpoint
from asid.model.complexity import Complexity
from asid.runs import run as experiment
from asid.runs.record import read_record
from asid.training.history import read_history

pytestmark = pytest.mark.process


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no table has to be squeezed."""
    monkeypatch.setenv("COLUMNS", "250")


# Importing


def test_importing_the_package_is_light_and_has_no_effect(tmp_path: Path) -> None:
    code = (
        "import sys, asid\n"
        "heavy = {'torch', 'lightning', 'matplotlib', 'pandas', 'numpy', 'pydantic', 'skimage', 'scipy', 'dask'}\n"
        "print(heavy & set(sys.modules), asid.__version__)\n"
    )
    environment = {"PATH": "", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"set() {asid.__version__}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_is_light(tmp_path: Path) -> None:
    """Help and mistakes are answered before anything large is loaded."""
    heavy = "{'torch', 'lightning', 'matplotlib', 'numpy', 'pandas', 'dask', 'papermill', 'psutil', 'PIL'}"
    code = f"import sys, asid.cli.main\nprint({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


@pytest.mark.parametrize("name", asid.__all__)
def test_a_name_of_the_package_is_what_it_says_each_time(name: str) -> None:
    """Also after the module of the same name was imported."""
    for _ in range(2):
        assert callable(getattr(asid, name)), f"asid.{name} is {getattr(asid, name)}"


def test_other_names_are_not_there() -> None:
    assert set(asid.__all__) <= set(dir(asid))
    with pytest.raises(AttributeError, match="no attribute 'ASDI'"):
        _ = asid.ASDI


# Help


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["train", "ablate", "report", "complexity", "fields"]),
        (["train"], ["output", "--preset", "--set", "--seed", "asid-tiny"]),
        (["ablate"], ["plan", "run", "status", "watch", "resume", "retry", "diff", "schema"]),
        (
            ["ablate", "run"],
            ["study_file", "--profile", "--output", "--workers", "--scheduler", "--slurm", "--retry", "--smoke"],
        ),
        (["ablate", "plan"], ["study_file", "--profile", "--output", "--workers", "--budget", "--json"]),
        (["report"], ["folder"]),
        (["complexity"], ["--preset", "--set", "--width", "--height"]),
        (["fields"], ["default"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 2 else "",
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_arguments(command: list[str], words: list[str], option: str, cli: Call) -> None:
    ended = cli(*command, option)
    assert (ended.status, ended.err) == (0, "")
    for word in words:
        assert word in ended.out


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example_and_each_of_its_arguments(
    path: tuple[str, ...], cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = cli(*path, "--help")
    assert ended.status == 0
    command = COMMANDS[path]
    assert command.help
    example = command.epilog.removeprefix("Example: ")
    assert shlex.split(example)[1 : 1 + len(path)] == list(path)
    parse(example)
    assert example in ended.out, "in one line, to be copied"
    for parameter in command.params:
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar or parameter.name
        assert name in ended.out
        assert getattr(parameter, "help", None), f"{' '.join(path)} {parameter.name}"


def test_version_is_that_of_the_package(cli: Call) -> None:
    assert cli("--version").out == f"asid {asid.__version__}\n"


@pytest.mark.parametrize(("words", "expected"), [((), "complexity"), (("ablate",), "resume"), (("data",), "download")])
def test_no_command_shows_the_help(words: tuple[str, ...], expected: str, cli: Call) -> None:
    ended = cli(*words)
    assert expected in ended.out + ended.err


def test_fields_lists_every_field_with_its_default(cli: Call, wide: None) -> None:
    ended = cli("fields")
    assert ended.status == 0
    rows = {
        cells[0]: cells[1:] for line in ended.out.splitlines() if len(cells := re.split(r"\s{2,}", line.strip())) == 3
    }
    sections: list[tuple[str, type[Config]]] = [(name, type(value)) for name, value in RunConfig() if name != "seed"]
    sections += [("model", PlainCNNConfig)]
    expected = {f"{name}.{field}" for name, section in sections for field in section.model_fields}
    assert expected <= set(rows)
    assert "model.attention_sharing" in expected
    assert rows["model.distillation_ratio"][0] == "1/4"
    assert all(issubclass(section, Config) for _, section in sections)


def test_names_of_fields_are_whole_in_a_usual_terminal(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = cli("fields")
    for section, info in RunConfig.model_fields.items():
        for field in getattr(info.annotation, "model_fields", ()):
            assert f"{section}.{field} " in ended.out


# Complexity


def test_complexity_prints_the_count_of_parameters(cli: Call, wide: None) -> None:
    ended = cli("complexity", "--preset", "asid-tiny")
    assert ended.status == 0
    assert "56 164" in ended.out
    assert "output 1280×720" in ended.out


def test_complexity_follows_set_and_size(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def measure(*arguments: Any) -> Complexity:
        seen.extend(arguments)
        return Complexity(1234567, 1_500_000_000, 2_500_000_000, 3_500_000_000, (64, 48))

    monkeypatch.setattr("asid.model.complexity.measure_complexity", measure)
    changes = ("--set", "model.attention_sharing=none", "--set", "model.scale=3")
    ended = cli("complexity", "--preset", "asid-tiny", *changes, "--width", "64", "--height", "48")
    assert seen == [preset("asid-tiny", attention_sharing="none", scale=3), (64, 48)]
    for word in ("asid-tiny ×3, output 64×48", "1 234 567", "1.50", "2.50", "3.50"):
        assert word in ended.words


# Bad input


@pytest.fixture
def folders(tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photographs, an unreadable image, an empty folder, a broken study, a planned one."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "note.png").write_text("not an image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "study.yaml").write_text("name: [\n")
    (tmp_path / "planned").mkdir()
    (tmp_path / "planned" / STUDY).touch()
    (tmp_path / "crops").symlink_to(crops)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "complexity_once", lambda _: None)  # takes two seconds
    return tmp_path


DATA = (
    "data.train=crops/train",
    "data.validation=crops/validation",
    "evaluate.data=[crops/validation]",
    "data.patch_size=16",
)
SMALL = (*DATA, "model.num_groups=1", "train.steps=1", "train.batch_size=1", "train.accelerator=cpu")
TRAIN = ("train", "run", "--preset", "asid-tiny", *(word for change in SMALL for word in ("--set", change)))

MISTAKES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "unknown field": (
        ("complexity", "--set", "model.atention_sharing=none"),
        ["model.atention_sharing", "did you mean 'attention_sharing'?"],
    ),
    "unknown section": (("complexity", "--set", "modle.esa=false"), ["modle", "did you mean 'model'?"]),
    "impossible ratio": (
        ("complexity", "--set", "model.distillation_ratio=1/2"),
        ["model", "1/2", "lower one of the two"],
    ),
    "ratio that cuts a channel": (
        ("complexity", "--set", "model.distillation_ratio=1/7"),
        ["model", "1/7", "whole number"],
    ),
    "value out of range": (
        ("complexity", "--set", "model.window_size=1"),
        ["model.window_size", "greater than or equal to 2", "1"],
    ),
    "value of a wrong type": (("complexity", "--set", "model.esa=perhaps"), ["model.esa", "'perhaps'"]),
    "unknown preset": (("complexity", "--preset", "asid-tinny"), ["'asid-tinny'", "did you mean 'asid-tiny'?"]),
    "set without a value": (("complexity", "--set", "model.esa"), ["--set model.esa", "section.field=value"]),
    "set without a section": (("complexity", "--set", "esa=false"), ["--set esa=false", "section.field=value"]),
    "set of a section": (("complexity", "--set", "model=3"), ["--set model=3", "section.field=value"]),
    "set of a value that is not YAML": (
        ("complexity", "--set", "model.spatial_windows=[meso"),
        ["model.spatial_windows"],
    ),
    "negative seed": (("train", "run", "--seed", "-1"), ["seed", "greater than or equal to 0"]),
    "missing data": ((*TRAIN, "--set", "data.train=nowhere"), ["nowhere", "'samples'", "or an existing folder"]),
    "data without images": ((*TRAIN, "--set", "data.validation=empty"), ["no image in empty"]),
    "data that is not an image": ((*TRAIN, "--set", "data.train=broken"), ["note.png", "not a readable image"]),
    "evaluation data that is not an image": (
        (*TRAIN, "--set", "evaluate.data=[broken]"),
        ["note.png", "not a readable image"],
    ),
    "file instead of the folder of a run": (
        ("train", "study.yaml", *TRAIN[2:]),
        ["study.yaml: expected a folder", "choose another"],
    ),
    "missing study": (("ablate", "run", "nowhere.yaml"), ["nowhere.yaml", "study.yaml"]),
    "study that is not YAML": (("ablate", "run", "study.yaml"), ["study.yaml", "not valid YAML"]),
    "folder of studies instead of a study": (
        ("ablate", "run", "empty"),
        ["empty is a folder", "a study file, such as"],
    ),
    "folder of a study instead of its file": (
        ("ablate", "run", "planned"),
        ["planned is the folder of a study", "asid ablate resume planned"],
    ),
    "training into the folder of a study": (
        ("train", "planned", *TRAIN[2:]),
        ["planned is the folder of a study", "asid ablate resume planned", "or a new one"],
    ),
    "file in the path of a run": (
        ("train", "study.yaml/run", *TRAIN[2:]),
        ["expected a folder, got a file in its path"],
    ),
    "report of nothing": (("report", "nowhere"), ["nowhere", "asid ablate"]),
    "report of a path with brackets": (("report", "re[sults]"), ["re[sults]"]),
    "report of a path like a closing tag": (("report", "re[/sults]"), ["re[/sults]"]),
}


@pytest.mark.parametrize(("command", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_in_one_line(
    command: tuple[str, ...], words: list[str], folders: Path, cli: Call
) -> None:
    ended = cli(*command)
    assert ended.status == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err + ended.out
    for word in words:
        assert word in ended.err


def test_all_mistakes_are_reported_at_once(cli: Call) -> None:
    ended = cli("complexity", "--set", "model.esaa=1", "--set", "train.step=2", "--set", "model.scale=5")
    assert ended.status == 2
    assert ended.err.count("error: ") == ended.err.count("\n") == 3


@pytest.mark.parametrize(
    "words",
    [("complexity", "--bogus"), ("train",), ("ablate", "run"), ("ablate", "study.yaml"), ("nothing",)],
    ids=" ".join,
)
def test_a_wrong_call_is_reported_without_a_traceback(words: tuple[str, ...], cli: Call) -> None:
    ended = cli(*words)
    assert ended.status == 2
    assert "Error" in ended.err
    assert "Traceback" not in ended.err


def test_a_mistake_from_a_shell_is_reported_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asid.cli", "complexity", "--set", "model.atention_sharing=none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: model.atention_sharing: unknown key; did you mean 'attention_sharing'?\n"


def test_a_mistake_in_the_data_does_not_claim_the_folder(
    folders: Path, cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command must run once the mistake is fixed."""

    def stop(*_: Any, **__: Any) -> None:
        raise ValueError("trained")

    assert cli(*TRAIN, "--set", "data.train=nowhere").status == 2
    monkeypatch.setattr(experiment, "evaluate", stop)
    assert "trained" in cli(*TRAIN).err


def test_missing_evaluation_data_is_reported_before_the_training(
    folders: Path, cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise ValueError("trained for days")

    monkeypatch.setattr(experiment, "train", train)
    ended = cli(*TRAIN, "--set", "evaluate.data=[nowhere]")
    assert "nowhere" in ended.err
    assert "trained for days" not in ended.err


def test_a_benchmark_is_found_below_the_data_root(folders: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise ValueError("its data was found")

    monkeypatch.setattr(experiment, "train", train)
    monkeypatch.setenv(ROOT_VARIABLE, "elsewhere")
    for index in range(5):
        write_image(folders / "sets" / "Set5" / f"{index}.png", PHOTO)
    words = (*TRAIN, "--set", "evaluate.data=[Set5]")
    assert "Set5 not found" in cli(*words).err
    assert "its data was found" in cli(*words, "--data-root", "sets").err


def test_an_interruption_says_how_to_resume(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asid.model.complexity.measure_complexity", interrupt)
    ended = cli("complexity")
    assert ended.status == 130
    assert "same command" in ended.err
    assert "Traceback" not in ended.err


def test_a_defect_is_one_line_and_its_traceback_is_there_on_request(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("x\x1b[2J")

    monkeypatch.setattr("asid.model.complexity.measure_complexity", fail)
    monkeypatch.setenv("ASID_DEBUG", "")
    ended = cli("complexity")
    assert ended.status == 70
    assert len(ended.err.splitlines()) == 1
    assert "KeyError" in ended.err
    assert "\x1b[2J" not in ended.err, "a terminal would obey it"
    assert 'raise KeyError("x' in cli("--debug", "complexity").err


# Ablate


def test_errors_of_runs_are_shown_as_they_are(cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Square brackets in a message of a library are not markup."""
    error = "ValueError: [batch] in [/data] is [red]"
    path = tmp_path / "study.yaml"
    path.write_text("name: s\nquestion: What?\npreset: asid-tiny\nvariants: {a: }")
    monkeypatch.setattr(runner, "run_study", lambda *_, **__: [Outcome("a seed 0", error)])
    monkeypatch.setenv("COLUMNS", "400")
    ended = cli("ablate", "run", str(path), "--output", str(tmp_path / "out"))
    assert ended.status == 1
    assert f"failed: a seed 0: {error}" in ended.out


@pytest.mark.parametrize("given", [True, False])
def test_the_folder_of_a_study_is_that_given_or_its_name(
    given: bool, cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def record(*arguments: Any, **options: Any) -> list[Outcome]:
        seen.extend([*arguments, options])
        return [Outcome("a seed 0", skipped=True)]

    path = tmp_path / "study.yaml"
    path.write_text("name: some-study\nquestion: What?\npreset: asid-tiny\nvariants: {a: }\nnotebook: here.ipynb")
    monkeypatch.setattr(runner, "run_study", record)
    ended = cli("ablate", "run", str(path), "--workers", "3", *(["--output", "there"] if given else []))
    folder = Path("there") if given else Path("results") / "some-study"
    command = f"asid ablate run {path} --workers 3" + (" --output there" if given else "")
    assert seen[1:] == [
        tmp_path / "here.ipynb",
        folder,
        ClusterConfig(workers=3),
        {"retry": 0, "only": None, "command": command},
    ]
    assert ended.status == 0
    assert f"1 of 1 runs done (1 before). Next: asid report {folder}" in ended.words


# Train


def test_a_training_leaves_record_weights_curves_and_images(crops: Path, tmp_path: Path, cli: Call) -> None:
    settings = {
        "data.train": crops / "train",
        "data.validation": crops / "validation",
        "data.patch_size": 16,
        "evaluate.data": f"[{crops / 'validation'}]",
        "train.steps": 4,
        "train.batch_size": 2,
        "train.accelerator": "cpu",
        "model.distillation_ratio": "1/8",
    }
    folder = tmp_path / "runs" / "first"
    command = ["train", str(folder), "--preset", "asid-tiny", "--seed", "7"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    ended = cli(*command)
    assert ended.status == 0
    assert "done:" in ended.out
    record = read_record(folder)
    assert record.config.model == preset("asid-tiny", distillation_ratio="1/8")
    assert (record.config.seed, record.config.train.steps, record.variant) == (7, 4, "first")
    (score,) = record.scores
    assert (score["data"], score["image"]) == ("validation", "face")
    assert f"{score['psnr']:.2f}" in ended.out
    assert (folder / "images" / "validation" / "face.png").is_file()
    assert load_checkpoint(folder / WEIGHTS).config == record.config.model
    assert read_history(folder)["step"].iloc[-1] == 4
    assert json.loads((folder / RECORD).read_text())["provenance"]["torch"]
    assert (folder / HISTORY).is_file()
