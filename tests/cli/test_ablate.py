"""``asid ablate``: what each command says, what it passes on, and what is refused before anything runs."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import psutil
import pytest
import typer
from command_line import Call
from filelock import FileLock
from paths import TRAIN_VARIANT
from written_study import edit_file

import asid
from asid.ablation.engine import cost, preflight, runner
from asid.ablation.engine.cluster import ClusterConfig, threads_each
from asid.ablation.engine.cost import Speed
from asid.ablation.engine.heartbeat import heartbeat
from asid.ablation.engine.outcome import Outcome
from asid.ablation.engine.preflight import estimate_cost
from asid.ablation.engine.preparing import announced
from asid.ablation.engine.runner import run_study
from asid.ablation.engine.status import is_executed
from asid.ablation.study.expand import Study, load_study
from asid.ablation.study.plan import PlannedRun, plan_runs, plan_study, read_plan, write_plan
from asid.cli.ablate import watch as watch_cli
from asid.config import RunConfig
from asid.data.cache import FOLDER_VARIABLE
from asid.files import CONFIG, ERROR, HEARTBEAT, NOTEBOOK, RECORD, SPEEDS, STUDY, STUDY_LOCK, write_json
from asid.model.complexity import count_macs, count_parameters
from asid.model.network import ASID
from asid.runs.identity import data_manifests
from asid.runs.owner import Owner
from asid.runs.record import Record, write_record
from asid.training.history import append_row

pytestmark = pytest.mark.process

STUDY_TEXT = """
name: some-study
question: Does [esa] help?
preset: asid-tiny
base:
  model: {{num_groups: 1}}
  data: {{train: '{0}/train', validation: '{0}/validation', patch_size: 16}}
  train: {{steps: 4, batch_size: 2, accelerator: cpu}}
  evaluate: {{data: ['{0}/validation']}}
factors: {{esa: [true, false]}}
seeds: [0, 1]
notebook: {1}
"""


Write = Callable[..., Path]


@pytest.fixture
def call(cli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """``call("status", "results/quick")``: a command in this process, as from a shell in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return partial(cli, "ablate")


@pytest.fixture
def write(tmp_path_factory: pytest.TempPathFactory, crops: Path) -> Write:
    """Study files; further lines are added at the end."""

    def make(more: str = "", notebook: str | Path = TRAIN_VARIANT) -> Path:
        path = tmp_path_factory.mktemp("studies") / "study.yaml"
        path.write_text(STUDY_TEXT.format(crops, notebook) + more)
        return path

    return make


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What would be run: instead of being executed, studies are recorded here, and every run is done."""
    calls: list[SimpleNamespace] = []

    def note(study: Study, notebook: Path, output: Path, cluster: ClusterConfig, **options: Any) -> list[Outcome]:
        calls.append(SimpleNamespace(study=study, notebook=notebook, output=output, cluster=cluster, **options))
        only = options["only"]
        names = [
            (name, seed)
            for name in study.variants
            for seed in study.config.seeds
            if only is None or (name, seed) in only
        ]
        return [Outcome(f"{name} seed {seed}") for name, seed in names]

    monkeypatch.setattr(runner, "run_study", note)
    return calls


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing was to be run")

    monkeypatch.setattr(runner, "open_cluster", fail)
    monkeypatch.setattr(runner, "write_plan", fail)


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every network takes 900 s per step and no time to evaluate. The measured networks, by digest."""
    measured = []
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("speeds")))

    def measure(config: RunConfig, threads: int) -> Speed:
        measured.append(config.model.digest())
        return Speed(900.0, 0.0)

    monkeypatch.setattr(cost, "measure_speed", measure)
    monkeypatch.setattr(cost, "count_macs", lambda _: 1_500_000_000)
    return measured


def make_record(run: PlannedRun, **changes: Any) -> Record:
    content: dict[str, Any] = {
        "study": run.study,
        "variant": run.variant,
        "identity": run.identity,
        "config": run.config,
        "protocol": run.config.evaluate.protocol,
        "data": data_manifests(run.config),
        "complexity": None,
        "scores": [{"data": "validation", "image": "face", "psnr": 30.0 + run.seed, "ssim": 0.9}],
        "history": [],
        "seconds": {},
        "provenance": {"source": "f00d"},
    }
    return Record.model_validate({**content, **changes})


@pytest.fixture(scope="module")
def finished(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose runs are done; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "study.yaml"
    path.write_text(STUDY_TEXT.format(crops, TRAIN_VARIANT))
    study = load_study(path)
    for run in plan_runs(study, folder / "out"):
        write_record(make_record(run), run.folder)
    run_study(study, TRAIN_VARIANT, folder / "out", command="asid ablate run study.yaml")
    return folder / "out"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the folder of a study whose runs are done."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def run_folder(folder: Path, variant: str, seed: int) -> Path:
    (match,) = [run.folder for run in read_plan(folder).runs if (run.variant, run.seed) == (variant, seed)]
    return match


def undo(folder: Path, variant: str, seed: int, error: str | None = None) -> Path:
    """Make a run that is done one that has not begun, or that has failed with ``error``."""
    path = run_folder(folder, variant, seed)
    (path / RECORD).unlink()
    if error is not None:
        (path / ERROR).write_text(error)
    return path


# Plan


def test_a_plan_is_a_table_with_what_is_measured_here_and_leaves_nothing(
    call: Call, write: Write, tmp_path: Path
) -> None:
    path = write()
    ended = call("plan", path, "--workers", "2")
    assert (ended.status, ended.err) == (0, "")
    assert "Does [esa] help?" in ended.out
    rows = {
        cells[0]: cells[1:] for line in ended.out.splitlines() if len(cells := re.split(r"\s{2,}", line.strip())) == 8
    }
    del rows["variant"]
    assert list(rows) == ["base", "esa-off"]
    for name, (parameters, macs, steps, seconds, *_) in rows.items():
        model = load_study(path).run_config(name, 0).model
        assert int(parameters.replace(" ", "")) == count_parameters(ASID(model))
        assert macs == f"{count_macs(model) / 1e9:.2f}"
        assert (steps, float(seconds) > 0) == ("4", True)
    assert "2 variants × 2 seeds: 4 runs, 2 at a time: about " in ended.words
    assert "in results/some-study, by speeds measured on this machine" in ended.words
    assert list(tmp_path.iterdir()) == []


def test_a_plan_as_json_adds_up(call: Call, write: Write, speed: list[str]) -> None:
    ended = call(
        "plan",
        write("exclude: [{esa: false}]\nleave_one_out: [local-module, position-bias]\n"),
        "--workers",
        "2",
        "--json",
    )
    content = json.loads(ended.out)
    assert (content["study"], content["profile"], content["runs"], content["workers"], content["seeds"]) == (
        "some-study",
        None,
        6,
        2,
        [0, 1],
    )
    assert [row["variant"] for row in content["variants"]] == ["base", "no-local-module", "no-position-bias"]
    assert content["dropped"] == [{"variant": "esa-off", "rule": "esa: off"}]
    assert content["budget"] is None
    assert content["hours"] == pytest.approx(sum(row["hours"] for row in content["variants"]) / 2)
    for row in content["variants"]:
        assert (row["seeds"], row["steps"], row["seconds_a_step"], row["macs"]) == (2, 4, 900.0, 1_500_000_000)
        assert row["hours"] == pytest.approx(2, rel=0.01)
    assert len(speed) == 3, "one measurement a variant"


def test_a_plan_says_what_seeds_detect(call: Call, write: Write, speed: list[str]) -> None:
    """Two seeds, one comparison, each run an hour: the numbers are those of the noncentral t distribution."""
    path = write()
    ended = call("plan", path, "--workers", "1", "--detect", "0.05", "--noise", "0.03")
    assert "a change of 0.05 dB, 80% power after Holm over 1 comparisons: 6 seeds, 12 runs, about 12 h" in ended.words
    content = json.loads(call("plan", path, "--workers", "1", "--detect", "0.05", "--noise", "0.03", "--json").out)
    assert (content["noise"], content["detect"]["seeds"], content["detect"]["runs"]) == (0.03, 6, 12)
    assert list(content["detectable"]) == ["esa-off"]
    looked = json.loads(call("plan", path, "--until", "decided", "--noise", "0.03", "--json").out)
    assert looked["seeds"] == list(range(8))
    assert looked["detectable"]["esa-off"] < content["detectable"]["esa-off"]


def test_a_plan_without_known_noise_asks_for_it(call: Call, write: Write, speed: list[str]) -> None:
    ended = call("plan", write(), "--detect", "0.05")
    assert ended.status == 2
    assert "--noise" in ended.err
    assert speed == []


def test_a_plan_knows_what_is_done_and_times_only_the_rest(
    call: Call, folder: Path, finished: Path, speed: list[str], runs: list[SimpleNamespace]
) -> None:
    words = ["plan", finished.parent / "study.yaml", "--output", folder, "--workers", "1"]
    assert call(*words).out.splitlines()[-1] == "4 done, 0 to train"
    refused = call("plan", folder, "--profile", "paper")
    assert (refused.status, "--profile paper" in refused.err) == (2, True), "the plan in the folder has its profile"
    undo(folder, "base", 1)
    assert speed == [], "all is known"
    for _ in range(2):
        assert call(*words).out.splitlines()[-1] == "3 done, 1 to train: 60 min"
    assert len(speed) == 1, "the second plan of the day ends at once"
    content = json.loads(call(*words, "--json").out)
    assert (content["done"], content["to_train"], content["hours"]) == (3, 1, pytest.approx(1, rel=0.01))


def test_the_first_estimate_of_a_run_is_that_of_its_plan(finished: Path, folder: Path, speed: list[str]) -> None:
    study, runs = load_study(finished.parent / "study.yaml"), read_plan(folder).runs
    costs = estimate_cost(study, folder.parent / "new", ClusterConfig(workers=2))
    progress = runner._progress(study, read_plan(folder), folder.parent / "new", 2, threads_each(2))
    assert progress.time_left({}) == "about 2.0 h left"
    assert costs.hours == pytest.approx(2, rel=0.01)
    undo(folder, "base", 0)
    append_row(runs[0].folder, [1, 0.5, 0.01, None, 10.0])
    append_row(runs[0].folder, [2, 0.5, 0.01, None, 20.0])
    progress.refresh()
    for run in runs[1:]:
        progress.finish(run.label, "done")
    assert progress.time_left({runs[0].label: 2}) == "about 1 min left", "now at the speed that was seen"


@pytest.mark.parametrize("harm", ["image", "notebook", "set"])
def test_a_plan_checks_what_is_cheap_first(
    harm: str, call: Call, write: Write, speed: list[str], tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "build_network", lambda *_, **__: pytest.fail("a network is built"))
    path = write(notebook="nowhere.ipynb" if harm == "notebook" else TRAIN_VARIANT)
    broken = Path(shutil.copytree(crops, tmp_path / "crops"))
    path.write_text(path.read_text().replace(str(crops), str(broken)))
    if harm == "image":
        (broken / "train" / "0.png").write_bytes((broken / "train" / "0.png").read_bytes()[:-100])
    if harm == "set":
        shutil.rmtree(broken / "validation")
    ended = call("plan", path)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert {"image": "train/0.png", "notebook": "nowhere.ipynb", "set": "crops/validation"}[harm] in ended.err


def test_a_plan_lists_what_is_dropped(call: Call, write: Write, speed: list[str]) -> None:
    ended = call("plan", write("exclude: [{window_size: 4, esa: false}]\nzip: {window_size: [4], esa: [false]}\n"))
    assert "dropped by the rule window size: 4, esa: off: window-size-4_esa-off" in ended.out


BUDGETS = {  # four runs of an hour each, one after the other
    "1d": (True, "it fits into 24 h"),
    "4.5 h": (True, "it fits into 4.5 h"),
    "3h": (False, "it does not fit into 3 h; what fits: 1 of 2 seeds or 75% of the steps with all seeds"),
    "90m": (False, "it does not fit into 1.5 h; what fits: 37% of the steps with all seeds"),
    "0m": (False, "it does not fit into 0 h; what fits: not one run of each variant"),
}


@pytest.mark.parametrize(
    ("budget", "fits", "text"), [(budget, *expected) for budget, expected in BUDGETS.items()], ids=BUDGETS
)
def test_a_budget_says_what_fits(
    budget: str, fits: bool, text: str, call: Call, write: Write, speed: list[str]
) -> None:
    path = write()
    assert call("plan", path, "--workers", "1", "--budget", budget).out.splitlines()[-1] == text
    answer = json.loads(call("plan", path, "--workers", "1", "--budget", budget, "--json").out)["budget"]
    assert (answer["fits"], answer["text"]) == (fits, text)
    assert (answer["seeds"] == 2) == fits
    assert (answer["share_of_steps"] == 1) == fits


@pytest.mark.parametrize("budget", ["2", "h", "2 weeks", "-2h", "2hm", "1,5h"])
def test_a_budget_that_is_not_a_time_is_reported_before_anything_is_measured(
    budget: str, call: Call, write: Write, speed: list[str]
) -> None:
    ended = call("plan", write(), "--budget", budget)
    assert (ended.status, ended.err) == (2, f"error: --budget {budget}: expected a time such as 90m, 2h or 1.5d\n")
    assert speed == []


def test_minutes_become_the_steps_that_fit_into_them(call: Call, write: Write, speed: list[str]) -> None:
    rows = json.loads(call("plan", write("minutes: 45\n"), "--json").out)["variants"]
    assert [row["steps"] for row in rows] == [3, 3]


# Run


def test_a_run_passes_on_its_options(call: Call, write: Write, runs: list[SimpleNamespace]) -> None:
    path = write(notebook="here.ipynb")
    ended = call("run", path, "--workers", "2", "--retry", "1", "--output", "my folder")
    (seen,) = runs
    assert (seen.study, seen.notebook, seen.output) == (load_study(path), path.parent / "here.ipynb", Path("my folder"))
    assert (seen.cluster, seen.retry, seen.only) == (ClusterConfig(workers=2), 1, None)
    assert seen.command == f"asid ablate run {path} --workers 2 --retry 1 --output 'my folder'"
    assert ended.status == 0
    assert "4 of 4 runs done (0 before). Next: asid report 'my folder'" in ended.words


def test_a_run_of_one_variant_runs_its_seeds_and_nothing_else(
    call: Call, write: Write, runs: list[SimpleNamespace]
) -> None:
    ended = call("run", write(), "--only", "esa-off", "--output", "there", "--data-root", "my data")
    assert runs[0].only == {("esa-off", 0), ("esa-off", 1)}
    assert ended.words.endswith("2 of 4 runs done (0 before). Next: asid ablate resume there --data-root 'my data'")
    ended = call("run", write(), "--only", "esa-of")
    assert (ended.status, len(runs)) == (2, 1)
    assert "did you mean 'esa-off'?" in ended.err


def test_a_cluster_is_passed_on(call: Call, write: Write, runs: list[SimpleNamespace]) -> None:
    call("run", write(), "--scheduler", "tcp://host:8786")
    call("run", write(), "--slurm", "slurm.yaml")
    assert [seen.cluster for seen in runs] == [
        ClusterConfig(scheduler="tcp://host:8786"),
        ClusterConfig(slurm=Path("slurm.yaml")),
    ]


PROFILES = "profiles: {laptop: {}, paper: {seeds: [7]}}\n"


@pytest.mark.parametrize(
    ("more", "options", "name"),
    [
        ("", [], "some-study"),
        ("", ["--smoke"], "some-study-smoke"),
        (PROFILES, [], "some-study-laptop"),
        (PROFILES, ["--profile", "paper"], "some-study-paper"),
        (PROFILES, ["--profile", "paper", "--smoke"], "some-study-paper-smoke"),
    ],
)
def test_the_folder_is_named_by_study_profile_and_smoke(
    more: str, options: list[str], name: str, call: Call, write: Write, runs: list[SimpleNamespace], speed: list[str]
) -> None:
    path = write(more)
    assert call("run", path, *options).status == 0
    assert runs[0].output == Path("results") / name
    assert runs[0].study.config.seeds == ((7,) if "paper" in options else (0,) if "--smoke" in options else (0, 1))
    if "--smoke" not in options:
        assert f"in results/{name}, by" in call("plan", path, *options).words


def test_smoke_runs_every_variant_for_four_steps_with_one_seed(
    call: Call, write: Write, runs: list[SimpleNamespace]
) -> None:
    path = write("minutes: 60\nleave_one_out: [position-bias]\n")
    call("run", path, "--smoke")
    study, full = runs[0].study, load_study(path)
    assert list(study.variants) == list(full.variants)
    assert (study.config.seeds, study.config.minutes) == ((0,), None)
    for name in study.variants:
        config, whole = study.run_config(name, 0), full.run_config(name, 0)
        assert (
            config.train.steps,
            config.train.validate_every,
            config.train.checkpoint_every,
            config.train.warmup_steps,
        ) == (4, 4, 4, 0)
        assert config.override(train=whole.train.to_dict()) == whole


def test_smoke_keeps_variants_different_that_differ_in_their_training_only(
    call: Call, write: Write, runs: list[SimpleNamespace]
) -> None:
    """They differ in the length of the training or in settings that a short one changes."""
    call("run", write("zip: {train.steps: [1000, 500, 4], train.warmup_steps: [0, 10, 20]}\n"), "--smoke")
    study = runs[0].study
    assert list(study.variants) == ["base", "esa-off", "steps-1000", "steps-500_warmup-steps-10", "warmup-steps-20"]
    assert [study.run_config(name, 0).train.steps for name in study.variants] == [4, 4, 6, 5, 4]
    assert [study.run_config(name, 0).train.warmup_steps for name in study.variants] == [0, 0, 0, 10, 20]


def test_a_failed_run_is_reported_with_its_evidence_and_the_next_command(
    call: Call, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / ERROR).write_text("")
    (tmp_path / "failed" / NOTEBOOK).write_text("")
    outcomes = [
        Outcome("base seed 0", skipped=True),
        Outcome("base seed 1", "ValueError: [why]", folder=tmp_path / "failed"),
        Outcome("esa-off seed 0", "its process died", folder=tmp_path / "nothing"),
    ]
    monkeypatch.setattr(runner, "run_study", lambda *_, **__: outcomes)
    ended = call("run", write(), "--output", "there")
    assert ended.status == 1
    evidence = f"traceback in {tmp_path / 'failed' / ERROR}, executed notebook in {tmp_path / 'failed' / NOTEBOOK}"
    assert ended.out.splitlines() == [
        "failed: base seed 1: ValueError: [why]",
        f"        {evidence}",
        "failed: esa-off seed 0: its process died",
        "1 of 4 runs done (1 before). Next: asid ablate resume there",
    ]


def test_steps_of_minutes_are_measured_once_and_stored(
    call: Call, write: Write, runs: list[SimpleNamespace], speed: list[str]
) -> None:
    path = write("minutes: 45\n")
    for _ in range(2):
        assert call("run", path, "--workers", "2", "--output", "there").status == 0
    assert len(speed) == 2, "the second time they are read"
    assert len(json.loads(Path("there", SPEEDS).read_text())) == 2
    assert [dict(seen.study.config.steps_of) for seen in runs] == [{"base": 3, "esa-off": 3}] * 2
    assert call("plan", path, "--workers", "2", "--output", "there").status == 0
    assert len(speed) == 2, "a plan reads them, too"


# What is refused before anything runs

MISTAKES: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "misspelt axis": ("zip: {windw_size: [4]}", (), ["windw_size: no such field; did you mean 'window_size'?"]),
    "misspelt section": (
        "zip: {trian.steps: [4]}",
        (),
        ["trian.steps: expected a field of the network, or section.field"],
    ),
    "misspelt key": ("factor: {esa: [false]}", (), ["factor: unknown key; did you mean 'factors'?"]),
    "misspelt component": ("leave_one_out: [distilation]", (), ["leave_one_out.0:", "'distillation'", "'distilation'"]),
    "value out of range": (
        "zip: {window_size: [1]}",
        (),
        ["variant window-size-1: model.window_size:", "greater than or equal to 2", "1"],
    ),
    "impossible combination": (
        "zip: {distillation_ratio: [3/8]}",
        (),
        ["variant distillation-ratio-3-8:", "3/8", "lower one of the two"],
    ),
    "two identical variants": (
        "variants: {gateless: {model: {esa: false}}}",
        (),
        ["variant esa-off is the same network", "as gateless"],
    ),
    "variant that changes nothing": (
        "variants: {b: {model: {esa: true}}}",
        (),
        ["variant b is the same", "as base", "(esa: on) changes nothing"],
    ),
    "axis that does nothing": (
        "leave_one_out: [sharing]",  # in a single group
        (),
        [
            "variants no-sharing (attention sharing: none) and base are the same network",
            "attention_sharing has no effect",
        ],
    ),
    "size that cannot be matched": (
        "match: params\nvariants: {big: {model: {num_features: 4, distillation_ratio: 0, "
        "spatial_windows: [meso, meso, meso, meso]}}}",
        (),
        ["match: variant big: no width or number of groups brings it within 2%"],
    ),
    "rule that drops nothing": (
        "exclude: [{window_size: 16}]",
        (),
        ["exclude:", "window size: 16", "correct the rule or delete it"],
    ),
    "unknown profile": ("profiles: {laptop: {}}", ("--profile", "labtop"), ["no profile labtop", "laptop"]),
    "profile of a study without any": ("", ("--profile", "paper"), ["no profile paper", "it has none"]),
}


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(("more", "options", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_study_is_one_clear_line_before_anything_runs(
    more: str,
    options: tuple[str, ...],
    words: list[str],
    command: str,
    call: Call,
    write: Write,
    runs: list[SimpleNamespace],
    speed: list[str],
    tmp_path: Path,
) -> None:
    ended = call(command, write(more + "\n"), *options)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err
    assert (runs, speed, list(tmp_path.iterdir())) == ([], [], [])


def test_missing_evaluation_data_is_reported_before_anything_runs(
    call: Call, write: Write, runs: list[SimpleNamespace], tmp_path: Path
) -> None:
    path = write()
    path.write_text(path.read_text().replace("evaluate: {data: ['", "evaluate: {data: ['/nowhere"))
    ended = call("run", path)
    assert ended.status == 2
    assert "no folder of images at /nowhere" in ended.err
    assert (runs, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(("free", "status"), [(1e6, 2), (1e12, 0)])
def test_a_disk_without_room_is_reported_before_anything_runs(
    free: float,
    status: int,
    call: Call,
    write: Write,
    runs: list[SimpleNamespace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(Path(path))
        return SimpleNamespace(total=2e12, used=0, free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    ended = call("run", write(), "--output", str(tmp_path / "not" / "yet"))
    assert asked == [tmp_path / "not" / "yet"]
    assert ended.status == status
    assert bool(runs) == (status == 0)
    assert not (tmp_path / "not").exists()
    if status:
        assert ended.err.startswith("error: the study needs about ")
        assert f"MB in {tmp_path / 'not' / 'yet'}, 1 MB are free: make room, or choose another --output\n" in ended.err


@pytest.mark.parametrize("more", ["", "minutes: 45\n"])
@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_reported_before_anything_runs(
    where: str, more: str, call: Call, write: Write, nothing_runs: None, speed: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file instead of the folder")
    ended = call("run", write(more), "--output", where)
    assert ended.status == 2
    assert ended.err.startswith(f"error: cannot write to {where}: ")
    assert ended.err.endswith("; choose another folder with --output\n")
    assert ended.err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "a file instead of the folder"
    assert speed == []


def test_a_missing_notebook_is_reported_before_anything_runs(
    call: Call, write: Write, nothing_runs: None, tmp_path: Path
) -> None:
    ended = call("run", write(notebook="nowhere.ipynb"), "--output", "out")
    assert ended.status == 2
    assert "nowhere.ipynb" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_second_process_on_a_study_is_refused(
    command: str, call: Call, write: Write, folder: Path, nothing_runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is a real one; only the patience is shorter."""
    monkeypatch.setattr(runner, "FileLock", lambda path, timeout: FileLock(path, timeout=timeout / 50))
    words = ["resume", folder] if command == "resume" else ["run", write(), "--output", folder]
    undo(folder, "base", 0)
    with FileLock(folder / STUDY_LOCK):
        ended = call(*words)
    assert ended.status == 2
    assert (
        ended.err
        == f"error: another process executes the study in {folder} now: wait for it, or choose another --output\n"
    )


# Status


def test_the_status_of_a_finished_study(call: Call, folder: Path) -> None:
    ended = call("status", folder)
    assert ended.status == 0
    rows = [cells for line in ended.out.splitlines() if len(cells := re.split(r"\s{2,}", line.strip())) == 5]
    assert [row[:3] for row in rows[1:]] == [[name, seed, "done"] for name in ("base", "esa-off") for seed in "01"]
    assert [row[4] for row in rows[1:]] == ["30.00", "31.00"] * 2
    assert ended.out.splitlines()[-1] == f"4 done. Next: asid report {folder}"


def test_the_status_shows_the_next_command(call: Call, folder: Path) -> None:
    path = undo(folder, "base", 1, "Traceback\nValueError: [/why]\n")
    ended = call("status", folder)
    assert "base seed 1, failed: ValueError: [/why]" in ended.out
    assert ended.out.splitlines()[-1] == f"3 done, 1 failed. Next: asid ablate retry {folder}"
    undo(folder, "esa-off", 0)
    assert (
        call("status", folder).out.splitlines()[-1] == f"2 done, 1 failed, 1 planned. Next: asid ablate resume {folder}"
    )
    with heartbeat(path, "any"):
        assert (
            call("status", folder).out.splitlines()[-1]
            == f"2 done, 1 running, 1 planned. Follow it: asid ablate watch {folder}"
        )


def test_run_status_and_retry_give_the_same_advice_after_a_worker_was_killed(
    call: Call, folder: Path, finished: Path, runs: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process left a curve, and no error."""
    path = undo(folder, "base", 1)
    append_row(path, [2, 0.5, 0.01, None, 1.0])
    append_row(path, [3, 0.5, 0.01, None, 1.0])
    advice = f"asid ablate resume {folder}"
    assert call("status", folder).out.splitlines()[-1] == f"3 done, 1 stale. Next: {advice}"
    outcomes = [Outcome(f"run {number}") for number in range(3)] + [Outcome("base seed 1", "died", folder=path)]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_study", lambda *_, **__: outcomes)
        ended = call("run", finished.parent / "study.yaml", "--output", folder)
    assert (ended.status, ended.out.splitlines()[-1]) == (1, f"3 of 4 runs done (0 before). Next: {advice}")
    call("retry", folder)
    assert runs[-1].only == {("base", 1)}, "it works as well"


@pytest.mark.parametrize("is_new", [True, False])
def test_a_study_that_is_prepared_is_known(
    is_new: bool, call: Call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first run may be minutes away. Whoever watches waits; a folder that was not needed is gone."""
    where = tmp_path / "new" / "study" if is_new else folder
    if not is_new:
        undo(folder, "base", 1)
    advice = f"Preparing: networks and data are checked, speeds are measured. Follow it: asid ablate watch {where}"
    with ExitStack() as preparation:
        preparation.enter_context(announced(where))
        ended = call("status", where)
        assert (ended.status, ended.out.splitlines()[-1]) == (0, advice if is_new else f"3 done, 1 planned. {advice}")
        assert call("status", where, "--json").status == 0

        def nap(_: float) -> None:
            preparation.close()
            if is_new:
                shutil.copytree(folder, where)

        monkeypatch.setattr(watch_cli.time, "sleep", nap)
        states = [
            [state["state"] for state in json.loads(line)] for line in call("watch", where, "--json").out.splitlines()
        ]
    assert states == ([[], ["done"] * 4] if is_new else [["done", "planned", "done", "done"]])
    with announced(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()


def test_cleaning_deletes_the_runs_of_other_plans_after_asking(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"nothing to clean in {folder}" in call("clean", folder).out
    old, alive = folder / "runs" / "old", folder / "runs" / "alive"
    for path in (old, alive):
        path.mkdir()
        (path / "model.safetensors").write_bytes(bytes(2_000_000))
    with heartbeat(alive, "any"):
        monkeypatch.setattr(typer, "confirm", lambda question: "1 folders, 2.0 MB" not in question)
        ended = call("clean", folder)
        assert f"{old}, 2.0 MB: not in the plan" in ended.out
        assert old.is_dir(), "the answer was no"
        with FileLock(folder / STUDY_LOCK):
            ended = call("clean", folder, "--yes")
        assert (ended.status, old.is_dir()) == (2, True), "the study is executed"
        assert call("clean", folder, "--yes").status == 0
    assert not old.exists()
    assert alive.is_dir()
    assert all(run.is_done() for run in read_plan(folder).runs)


def test_the_status_as_json(call: Call, folder: Path) -> None:
    path = undo(folder, "esa-off", 1)
    (path / CONFIG).write_text('{"train": {"steps": 4}}')
    states = json.loads(call("status", folder, "--json").out)
    assert [(state["variant"], state["seed"], state["state"], state["psnr"]) for state in states] == [
        ("base", 0, "done", 30.0),
        ("base", 1, "done", 31.0),
        ("esa-off", 0, "done", 30.0),
        ("esa-off", 1, "planned", None),
    ]
    assert (states[3]["folder"], states[3]["steps"]) == (str(path), 4)


def test_what_is_not_in_the_plan_is_listed_but_not_counted(call: Call, folder: Path) -> None:
    (folder / "runs" / "old [bold]").mkdir()
    ended = call("status", folder)
    assert "\nold [bold] " in ended.out
    assert "old [bold] seed 0, stale: not in the plan" in ended.out
    assert ended.out.splitlines()[-1] == f"4 done. Next: asid report {folder}"


@pytest.mark.parametrize("command", ["status", "watch", "resume", "retry"])
def test_a_folder_that_is_not_a_study_is_reported(command: str, call: Call, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        ended = call(command, folder)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err == f"error: no study in {folder}: expected study.json there; 'asid ablate run' writes it\n"


def test_a_note_is_shown_and_changes_nothing(call: Call, folder: Path, nothing_runs: None, finished: Path) -> None:
    path = run_folder(folder, "base", 1)
    assert call("note", folder).out == f"no note on {folder}\n"
    assert call("note", folder, "for the [rebuttal]").out == "for the [rebuttal]\n"
    call("note", path, "odd\ncurve")
    shown = call("status", folder).out.splitlines()
    assert {"note on study: for the [rebuttal]", "note on base seed 1: odd curve"} <= set(shown)
    found = asid.results(folder)
    assert list(found.loc[found["note"] == "odd curve", "folder"]) == [str(path)]
    assert call("run", finished.parent / "study.yaml", "--output", folder).out.startswith("nothing to do")
    call("note", folder, "")
    assert call("note", folder).out == f"no note on {folder}\n"
    assert call("note", folder / "runs", "x").status == 2


# Watch


def test_watching_a_finished_study_ends_at_once(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_cli.time, "sleep", lambda _: pytest.fail("there was nothing to wait for"))
    ended = call("watch", folder)
    assert ended.status == 0
    assert "esa-off" in ended.out
    assert ended.out.splitlines()[-1] == f"4 done. Next: asid report {folder}"
    (line,) = call("watch", folder, "--json").out.splitlines()
    assert [state["state"] for state in json.loads(line)] == ["done"] * 4


def test_watching_continues_while_the_study_is_executed(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before its first run and between two runs, when none is running. One line per change."""
    record = (run_folder(folder, "base", 1) / RECORD).read_text()
    undo(folder, "base", 1)
    lock = FileLock(folder / STUDY_LOCK)
    lock.acquire()
    naps = []

    def nap(_: float) -> None:
        naps.append(is_executed(folder))
        if len(naps) == 3:
            (run_folder(folder, "base", 1) / RECORD).write_text(record)
            lock.release()

    monkeypatch.setattr(watch_cli.time, "sleep", nap)
    lines = [json.loads(line) for line in call("watch", folder, "--json").out.splitlines()]
    assert naps == [True] * 3
    assert [[state["state"] for state in line] for line in lines] == [["done", "planned", "done", "done"], ["done"] * 4]


# Resume and retry


def test_resume_runs_the_study_as_it_was_read_then(
    call: Call, folder: Path, finished: Path, runs: list[SimpleNamespace]
) -> None:
    undo(folder, "base", 0)
    ended = call("resume", folder, "--workers", "2")
    (seen,) = runs
    assert seen.study == load_study(finished.parent / "study.yaml")
    assert seen.notebook.resolve() == TRAIN_VARIANT
    assert (seen.output, seen.cluster, seen.only, seen.retry) == (folder, ClusterConfig(workers=2), None, 0)
    assert seen.command == "asid ablate run study.yaml", "the report names the command that began it"
    assert ended.status == 0
    assert "this executes" not in ended.out


def test_resume_adds_seeds_and_says_how_it_came_to_them(
    call: Call, folder: Path, runs: list[SimpleNamespace], speed: list[str]
) -> None:
    undo(folder, "base", 0)
    call("resume", folder, "--add-seeds", "2")
    (seen,) = runs
    assert seen.study.config.seeds == (0, 1, 2, 3)
    assert seen.command == f"asid ablate run study.yaml && asid ablate resume {folder} --add-seeds 2"
    planned = json.loads(call("plan", folder, "--json").out)
    assert (planned["done"], planned["to_train"], planned["power"][:17]) == (3, 1, "no finished study")


def test_stopping_needs_a_process_at_work(call: Call, folder: Path) -> None:
    assert "nothing to stop" in call("stop", folder).err
    # These tests may run in the background, where a shell lets its processes ignore SIGINT, and theirs.
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        worker.stdout.readline()
        owner = Owner(host=socket.gethostname(), pid=worker.pid, started=psutil.Process(worker.pid).create_time())
        write_json(folder / HEARTBEAT, {"run_id": "", **owner.model_dump()})
        assert call("stop", folder).out.endswith(f"Next: asid ablate resume {folder}\n")
        assert worker.wait(30) == -signal.SIGINT


def test_resume_names_a_notebook_that_is_not_the_project_s(
    call: Call, folder: Path, runs: list[SimpleNamespace]
) -> None:
    """A study of somebody else brings code."""
    undo(folder, "base", 0)
    edit_file(folder / STUDY, lambda plan: plan.update(notebook="theirs.ipynb"))
    ended = call("resume", folder)
    assert ended.out.startswith(f"this executes {folder / 'theirs.ipynb'}, which")
    assert len(runs) == 1


@pytest.mark.parametrize("command", ["resume", "run"])
def test_a_study_with_nothing_to_do_says_so_at_once(
    command: str, call: Call, folder: Path, finished: Path, nothing_runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network is built. The folder may be anywhere."""
    monkeypatch.setattr(preflight, "build_network", lambda *_, **__: pytest.fail("a network is built"))
    words = ["resume", folder] if command == "resume" else ["run", finished.parent / "study.yaml", "--output", folder]
    ended = call(*words)
    assert ended.status == 0
    assert f"nothing to do 4 of 4 runs done (4 before). Next: asid report {folder}" in ended.words


CHANGES: dict[str, Callable[[Path], None]] = {
    "a run without its record": lambda folder: (run_folder(folder, "base", 1) / RECORD).unlink(),
    "a reference without its record": lambda folder: (folder / "references" / "bicubic" / RECORD).unlink(),
    "other code": lambda folder: edit_file(folder / STUDY, lambda plan: plan["runs"][0].update(source="f00d")),
    "another study": lambda folder: edit_file(folder / STUDY, lambda plan: plan["study"].update(margin=0.1)),
    "other data": lambda folder: edit_file(
        folder / STUDY, lambda plan: plan["runs"][0]["identity"]["evaluations"].update(validation="f00d")
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_study_with_something_to_do_is_executed(
    change: Callable[[Path], None], call: Call, folder: Path, finished: Path, runs: list[SimpleNamespace]
) -> None:
    change(folder)
    assert call("run", finished.parent / "study.yaml", "--output", folder).status == 0
    assert len(runs) == 1


def test_a_study_of_minutes_is_resumed_with_its_steps(
    call: Call, write: Write, speed: list[str], nothing_runs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A different number of workers means different threads and speeds: finished runs would be repeated."""
    written: list[Study] = []
    monkeypatch.setattr(runner, "run_study", lambda study, *_, **__: written.append(study) or [])
    assert call("run", write("minutes: 45\n"), "--workers", "1", "--output", "out").status == 0
    assert len(speed) == 2
    write_plan(plan_study(written[0], "out", TRAIN_VARIANT), "out")
    assert call("resume", "out", "--workers", "4").status == 0
    assert len(speed) == 2
    assert written[1] == written[0]
    assert dict(written[1].config.steps_of) == {"base": 3, "esa-off": 3}


def test_a_study_with_a_damaged_plan_is_not_resumed(call: Call, folder: Path, runs: list[SimpleNamespace]) -> None:
    edit_file(folder / STUDY, lambda plan: plan.pop("study"))
    ended = call("resume", folder)
    assert ended.status == 2
    assert f"{folder / STUDY} is damaged: study" in ended.err
    assert runs == []


def test_retry_without_a_failed_run_says_so(call: Call, folder: Path, runs: list[SimpleNamespace]) -> None:
    undo(folder, "base", 0)
    ended = call("retry", folder)
    advice = f"3 done, 1 planned. Next: asid ablate resume {folder}"
    assert (ended.status, ended.out) == (0, f"no run in {folder} has failed or lost its process: {advice}\n")
    assert runs == []


def test_retry_runs_what_has_failed_and_nothing_else(call: Call, folder: Path, runs: list[SimpleNamespace]) -> None:
    undo(folder, "base", 1, "ValueError: why\n")
    undo(folder, "esa-off", 0, "ValueError: why\n")
    undo(folder, "esa-off", 1)
    ended = call("retry", folder, "--workers", "3")
    (seen,) = runs
    assert seen.only == {("base", 1), ("esa-off", 0)}
    assert (seen.output, seen.cluster, seen.retry) == (folder, ClusterConfig(workers=3), 0)
    assert f"2 of 4 runs done (0 before). Next: asid ablate resume {folder}" in ended.words, (
        "two are left that had not failed"
    )


# Diff and schema


def test_two_runs_are_compared(call: Call, folder: Path) -> None:
    first, second = run_folder(folder, "base", 0), run_folder(folder, "esa-off", 1)
    ended = call("diff", first, second)
    assert ended.status == 0
    rows = [re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines()]
    assert rows[2:] == [
        ["config: model.esa", "True", "False"],
        ["config: seed", "0", "1"],
        ["PSNR of validation/face (dB)", "30.00", "31.00"],
    ]
    content = json.loads(call("diff", first, second, "--json").out)
    assert (content["config"], content["data"], content["code"]) == (
        {"model.esa": [True, False], "seed": [0, 1]},
        {},
        {},
    )
    assert content["runs"] == [str(first), str(second)]


def test_brackets_in_names_are_not_markup(call: Call, tmp_path: Path, folder: Path) -> None:
    first = tmp_path / "a[bold]"
    shutil.copytree(run_folder(folder, "base", 0), first)
    edit_file(first / RECORD, lambda record: record["data"].update({"evaluate [/x]": {"manifest": "[/y]"}}))
    ended = call("diff", first, run_folder(folder, "base", 0))
    assert ended.status == 0
    for word in ("a[bold]", "data: evaluate [/x]", "[/y]"):
        assert word in ended.out


def test_what_cannot_be_compared_is_named(call: Call, folder: Path) -> None:
    path = undo(folder, "base", 0)
    run = run_folder(folder, "base", 1)
    for first, second, words in (
        (path, run, (str(path), "record.json", "neither")),
        (run, folder / "nosuch", ("nosuch", "no such folder")),
        (folder, run, ("two studies or two runs",)),
    ):
        ended = call("diff", first, second)
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert all(word in ended.err for word in words), ended.err


def test_the_schema_is_json_and_takes_a_study(call: Call, write: Write) -> None:
    ended = call("schema")
    assert ended.status == 0
    schema = json.loads(ended.out)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"name": "s", "question": "What?", "profiles": {"a": {}}})
    assert not validator.is_valid({"name": "s", "question": "What?", "profile": 3})
    assert not validator.is_valid({"name": "s", "question": "What?", "seed": [1]})
