"""A study with looks, executed without trainings: its rounds, and what a kill between them leaves."""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import Call
from paths import TRAIN_VARIANT

from asid.ablation.engine import cost, preflight, runner
from asid.ablation.engine.cluster import ClusterConfig
from asid.ablation.engine.runner import run_study
from asid.ablation.engine.status import study_states
from asid.ablation.report.results import load_results
from asid.ablation.report.sentences import overview
from asid.ablation.study.expand import Study, load_study
from asid.ablation.study.plan import PlannedRun, plan_runs, read_plan, write_plan
from asid.files import CONFIG, HISTORY, WEIGHTS
from asid.runs.identity import current_code, data_manifests
from asid.runs.record import Record, write_record

STUDY = """
name: growing
question: Does it stop?
preset: asid-tiny
base:
  data: {{train: '{0}/train', validation: '{0}/validation', patch_size: 16}}
  train: {{steps: 4, batch_size: 2, accelerator: cpu}}
  evaluate: {{data: ['{0}/validation']}}
variants:
  much: {{model: {{attention_sharing: none}}}}
  unclear: {{model: {{spatial_windows: []}}}}
  wrong: {{train: {{steps: 5}}}}
seeds: [4]
until: {{looks: [2, 3, 5]}}
references: []
notebook: {1}
"""
CHANGES = {"base": 0.0, "much": 0.5, "unclear": 0.02, "wrong": 1.0}
NOISE = {4: 0.1, 0: -0.1, 1: 0.05, 2: -0.05, 3: 0.12}


class Trainings:
    """Stands in for the dispatcher: "trains" by writing a record, and may fail or be killed."""

    def __init__(self, *, fails: str = "", killed_after: int = 1000) -> None:
        self.fails, self.left = fails, killed_after
        self.rounds: list[list[str]] = []

    def execute(self, pending: Sequence[PlannedRun]) -> Generator[tuple[PlannedRun, str | None], None, None]:
        self.rounds.append([run.label for run in pending])
        for run in pending:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            if run.variant != self.fails:
                write(run)
            yield run, "out of memory" if run.variant == self.fails else None


def write(run: PlannedRun) -> None:
    psnr = 30 + CHANGES[run.variant] + (NOISE[run.seed] if run.variant == "unclear" else NOISE[run.seed] / 1000)
    rest: dict[str, Any] = {"protocol": run.config.evaluate.protocol, "history": [], "seconds": {}, "provenance": {}}
    record = Record(
        study=run.study,
        variant=run.variant,
        identity=run.identity,
        code=current_code(),
        config=run.config,
        data=data_manifests(run.config),
        complexity={"parameters": 1, "macs_torch": 1, "macs_ptflops": 1, "macs_fvcore": 1, "output": [4, 4]},
        scores=[{"data": "validation", "image": "face", "psnr": psnr, "ssim": 0.9}],
        **rest,
    )
    write_record(record, run.folder)


@pytest.fixture
def study(crops: Path, tmp_path: Path) -> Study:
    path = tmp_path / "growing.yaml"
    path.write_text(STUDY.format(crops, TRAIN_VARIANT))
    return load_study(path)


@pytest.fixture
def execute(study: Study, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Trainings], list[runner.Outcome]]:
    def cluster(*_: Any) -> AbstractContextManager[Any]:
        return nullcontext(SimpleNamespace(dashboard_link="none"))

    monkeypatch.setattr(runner, "open_cluster", cluster)

    def run(output: Path, trainings: Trainings) -> list[runner.Outcome]:
        monkeypatch.setattr(runner, "Dispatcher", lambda *_: trainings)
        return run_study(study, TRAIN_VARIANT, output)

    return run


def test_only_what_is_undecided_gets_more_seeds(study: Study, execute: Any, tmp_path: Path, cli: Call) -> None:
    trainings = Trainings()
    outcomes = execute(tmp_path / "out", trainings)
    assert study.config.seeds == (4, 0, 1, 2, 3), "its own seed first, then the smallest others"
    first, *later = trainings.rounds
    assert first == [f"{name} seed {seed}" for name in CHANGES for seed in (4, 0)]
    assert later == [
        ["base seed 1", "unclear seed 1"],
        ["base seed 2", "base seed 3", "unclear seed 2", "unclear seed 3"],
    ]
    assert {outcome.label for outcome in outcomes if outcome.spared} == {
        f"{name} seed {seed}" for name in ("much", "wrong") for seed in (1, 2, 3)
    }
    states = {(state.variant, state.seed): state.state for state in study_states(tmp_path / "out")}
    assert {key for key, state in states.items() if state == "spared"} == {
        (n, s) for n in ("much", "wrong") for s in (1, 2, 3)
    }
    shown = cli("ablate", "status", tmp_path / "out")
    assert "Next: asid report" in shown.words
    verdicts = load_results(tmp_path / "out").table.set_index("variant")["verdict"].to_dict()
    assert verdicts == {"base": "base", "much": "better", "unclear": "undecided", "wrong": "better"}


@pytest.mark.parametrize("after", [1, 8, 11])
def test_a_killed_study_goes_on_at_the_same_look(after: int, execute: Any, tmp_path: Path) -> None:
    quiet = Trainings()
    execute(tmp_path / "quiet", quiet)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path / "killed", Trainings(killed_after=after))
    resumed = Trainings()
    execute(tmp_path / "killed", resumed)
    rest = [label for labels in quiet.rounds for label in labels][after:]
    assert [label for labels in resumed.rounds for label in labels] == rest
    one, other = load_results(tmp_path / "quiet"), load_results(tmp_path / "killed")
    assert one.table.equals(other.table)


def test_looks_that_are_declared_late_are_said_to_be(study: Study, execute: Any, tmp_path: Path) -> None:
    execute(tmp_path / "out", Trainings())
    assert "declared before the first run" in overview(load_results(tmp_path / "out"))[0]
    plan = read_plan(tmp_path / "out")
    write_plan(plan.model_copy(update={"study": plan.study.override(until=None)}), tmp_path / "out")
    execute(tmp_path / "out", Trainings())
    assert "declared after 14 runs" in overview(load_results(tmp_path / "out"))[0]
    execute(tmp_path / "out", Trainings())
    assert read_plan(tmp_path / "out").finished_before_looks == 14


def test_trainings_of_another_study_were_there_before_the_looks(execute: Any, tmp_path: Path) -> None:
    execute(tmp_path / "one", Trainings())
    for run in read_plan(tmp_path / "one").runs[:2]:
        for name in (WEIGHTS, CONFIG, HISTORY):
            (run.folder / name).write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path / "two", Trainings(killed_after=0))
    assert read_plan(tmp_path / "two").finished_before_looks == 2


def test_a_run_that_was_done_is_not_called_spared(
    study: Study, execute: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "check_networks", lambda study: dict.fromkeys(study.run_names, 1))
    monkeypatch.setattr(cost, "count_macs", lambda _: 1)
    done = next(run for run in plan_runs(study, tmp_path / "out") if (run.variant, run.seed) == ("much", 1))
    write(done)
    outcomes = {outcome.label: outcome for outcome in execute(tmp_path / "out", Trainings())}
    assert outcomes["much seed 1"].skipped
    assert outcomes["much seed 2"].spared
    plan = preflight.estimate_cost(study, tmp_path / "out", ClusterConfig())
    assert (plan.done, plan.left, plan.hours) == (15, 0, 0)


def test_a_failed_variant_waits_and_the_others_go_on(execute: Any, tmp_path: Path) -> None:
    broken = Trainings(fails="wrong")
    outcomes = execute(tmp_path / "out", broken)
    assert [len(labels) for labels in broken.rounds] == [8, 2, 4]
    assert [outcome.label for outcome in outcomes if outcome.error] == ["wrong seed 4", "wrong seed 0"]
    repaired = Trainings()
    execute(tmp_path / "out", repaired)
    assert repaired.rounds == [["wrong seed 4", "wrong seed 0"]]
