"""The cockpit without a browser: what it offers, saves, starts and shows. Nothing is trained."""

import base64
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from paths import ROOT
from written_study import edit_file, make_study

from asid.ablation.engine.heartbeat import heartbeat
from asid.ablation.engine.status import study_states
from asid.ablation.report.results import ReportError
from asid.ablation.study.plan import read_plan
from asid.ablation.study.study import read_study_file
from asid.files import CONFIG, ERROR, HISTORY, NOTEBOOK, STUDY, STUDY_LOG, write_json
from asid.panels import run_study as cockpit
from asid.panels.run_study import Cockpit, run_study
from asid.panels.study_builder import StudyBuilder
from asid.panels.study_runs import draw_runs, read_curves

PNG = b"\x89PNG"
QUICK = ROOT / "ablations" / "quick.yaml"
PLAN: dict[str, Any] = {"seeds": [0, 1], "runs": 4, "workers": 2, "hours": 0.1, "done": 1, "to_train": 2, "dropped": []}
PLAN |= {"reused": {"base seed 1": "quick"}, "detectable": {"other": 0.08}, "power": "With 2 seeds: 0.080 dB"}
NETWORK = {"parameters": 12345, "macs": 2e9, "steps": 300, "seeds": 2, "done": 1, "reused": 0, "hours": 0.05}
PLAN["variants"] = [{"variant": name, **NETWORK} for name in ("base", "other")]


@pytest.fixture(autouse=True)
def _no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, but not rendered, which takes most of the time."""
    monkeypatch.setattr(cockpit, "to_png", lambda _: PNG)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``ablations/quick.yaml`` and ``results/two``, a study of which one run has failed."""
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "quick.yaml").write_text(QUICK.read_text())
    two = make_study(tmp_path / "a", missing=(("no_sharing", 1),))
    (tmp_path / "results").mkdir()
    two.rename(tmp_path / "results" / "two")
    failed = next(run for run in read_plan(tmp_path / "results" / "two").runs if run.label == "no_sharing seed 1")
    failed.folder.mkdir()
    (failed.folder / ERROR).write_text("Traceback\nMemoryError: <too little>\n")
    (failed.folder / NOTEBOOK).write_text("{}")
    (failed.folder / HISTORY).write_text("step,loss,learning_rate,psnr,seconds\n2,0.3,0.01,,1\n4,0.2,0.01,29.5,2\n")
    write_json(failed.folder / CONFIG, {"train": {"steps": 8}})
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were asked, each of which answers at once with a plan."""
    commands: list[list[str]] = []

    class Question:
        def __init__(self, arguments: list[str], root: Path) -> None:
            commands.append(arguments)

        def answer(self) -> str:
            return json.dumps(PLAN)

        def cancel(self) -> None: ...

    monkeypatch.setattr(cockpit, "Question", Question)
    return commands


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of studies that were started."""
    commands: list[list[str]] = []

    def start(arguments: list[str], folder: Path, root: Path) -> Any:
        commands.append(arguments)
        return SimpleNamespace(poll=lambda: None)

    monkeypatch.setattr(cockpit, "start", start)
    return commands


def show(folder: Path, study: str = "") -> Cockpit:
    panel = run_study(study, studies=folder / "ablations", results=folder / "results")
    panel.look()
    return panel


def enabled(panel: Cockpit) -> set[str]:
    buttons = (panel.start_button, panel.stop_button, panel.resume_button, panel.seeds_button, panel.report_button)
    return {button.description for button in buttons if not button.disabled}


def test_a_study_is_shown_with_its_runs_curves_and_results(folder: Path, asked: list[list[str]]) -> None:
    panel = show(folder)
    assert panel.choose.options == ("results/two", "ablations/quick.yaml")
    assert panel.choose.value == "results/two"
    assert asked == [["ablate", "plan", "results/two", "--json"]]
    assert "5 done, 1 failed of 6 runs" in panel.state.value
    assert "asid ablate retry results/two" in panel.state.value
    (output,) = panel.runs.outputs
    table = output["data"]["text/html"]
    assert "MemoryError: &lt;too little&gt;" in table
    assert table.count('<td class="done"') == 5
    assert "run.ipynb" in table
    for image in (panel.curves, panel.forest):
        assert bytes(image.value) == PNG
        assert image.layout.display is None
    assert "no_sharing" in panel.table.value
    for part in ("12 345", "0.080", "1 taken from quick", "2 to train in about 6 min", "With 2 seeds: 0.080 dB"):
        assert part in panel.plan.value
    assert enabled(panel) == {"Resume", "Add seeds", "Report"}


def test_a_study_built_by_ticks_is_saved_planned_and_started(
    folder: Path, asked: list[list[str]], started: list[list[str]]
) -> None:
    panel = show(folder)
    panel.builder.tick("esa", "off")
    panel.builder.seeds.value = 2
    panel.look()
    file = folder / "results" / "my-study.yaml"
    study = read_study_file(file)
    assert list(study.variants) == ["base", "esa-off"]
    assert (study.seeds, study.base) == ((0, 1), read_study_file(QUICK).base | {"train": study.base["train"]})
    assert panel.choose.value == "results/my-study.yaml"
    assert asked[-1] == ["ablate", "plan", "results/my-study.yaml", "--json"]
    assert enabled(panel) == {"Start"}
    panel.start_button.click()
    panel.look()
    assert started == [["ablate", "run", "results/my-study.yaml"]]
    assert enabled(panel) == set()
    assert "Starting" in panel.state.value


def test_problems_are_shown_at_their_lines_and_nothing_is_saved(folder: Path, asked: list[list[str]]) -> None:
    panel = show(folder, "ablations/quick.yaml")
    assert panel.editor.area.value == QUICK.read_text()
    assert enabled(panel) == {"Start"}
    panel.editor.area.value = panel.editor.area.value.replace("steps: 300", "steps: many")
    panel.look()
    assert "steps: many" in panel.problems.value
    assert "train.steps" in panel.problems.value
    assert enabled(panel) == set()
    assert not list((folder / "results").glob("*.yaml"))
    panel.editor.area.value = panel.editor.area.value.replace("steps: many", "steps: 10")
    panel.look()
    assert panel.problems.value == ""
    assert read_study_file(folder / "results" / "quick.yaml").base["train"]["steps"] == 10
    assert (folder / "ablations" / "quick.yaml").read_text() == QUICK.read_text()
    for count in (2, 3):
        panel.editor.check_button.click()
        panel.look()
        assert asked[1:] == [["ablate", "plan", "results/quick.yaml", "--json"]] * count, "the same text again"


def test_a_base_without_axes_offers_none(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(QUICK.read_text().replace("base:\n", "base:\n  model: {network: plain-cnn}\n", 1))
    builder = StudyBuilder({"quick": (QUICK, None), "plain": (plain, None)}, "new", lambda _: None)
    assert builder.axes.children
    builder.base.value = "plain"
    assert 'role="alert"' in builder.message.value
    assert builder.axes.children == ()


def test_a_study_that_runs_is_found_and_stopped_and_extended(
    folder: Path, asked: list[list[str]], started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr(cockpit, "stop", stopped.append)
    two = folder / "results" / "two"
    make_study(folder / "b").rename(folder / "results" / "later")
    (two / STUDY_LOG).write_text("[1/6] base seed 0: done\n      base seed 1: step 1/8; about 3 min left\n")
    with heartbeat(two, ""):
        panel = show(folder)
        assert panel.choose.value == "results/two"
        assert enabled(panel) == {"Stop", "Report"}
        panel.stop_button.click()
        assert stopped == [two]
    panel.look()
    assert "Not running" in panel.state.value
    assert "about 3 min left" in panel.log.value
    panel.seeds_button.click()
    panel.resume_button.click()
    assert started == [["ablate", "resume", "results/two", "--add-seeds", "2"], ["ablate", "resume", "results/two"]]


def test_seeds_that_were_added_belong_to_the_text(folder: Path, asked: list[list[str]]) -> None:
    panel = show(folder)
    with heartbeat(folder / "results" / "two", ""):
        panel.look()
        edit_file(folder / "results" / "two" / STUDY, lambda plan: plan["study"].update(seeds=[0, 1, 2]))
    panel.look()
    panel.look()
    assert len(asked) == 2
    assert "planned otherwise" not in panel.plan.value
    assert yaml.safe_load(panel.editor.area.value)["seeds"] == [0, 1, 2]


def test_a_report_is_shown_with_its_study_only(folder: Path, asked: list[list[str]]) -> None:
    panel = show(folder)
    (folder / "results" / "quick").mkdir()
    (folder / "results" / "quick" / "report.html").write_text("old")
    panel.report_button.click()
    panel.choose.value = "ablations/quick.yaml"
    panel.look()
    assert (panel.page.value, panel.alert.value, panel.report_button.description) == ("", "", "Report")


def test_a_file_is_left_for_its_folder_when_its_own_plan_is_there(
    folder: Path, asked: list[list[str]], started: list[list[str]]
) -> None:
    quick = folder / "results" / "quick"
    (folder / "results" / "two").rename(quick)
    panel = show(folder, "ablations/quick.yaml")
    assert "planned otherwise" in panel.plan.value
    panel.start_button.click()
    panel.look()
    assert panel.choose.value == "ablations/quick.yaml", "the plan is the old one"
    study = read_study_file(QUICK)
    edit_file(quick / STUDY, lambda plan: plan.update(study=study.to_dict()))
    panel.look()
    assert panel.choose.value == "results/quick"


def test_a_failed_start_says_what_it_printed(folder: Path, asked: list[list[str]], started: list[list[str]]) -> None:
    panel = show(folder, "ablations/quick.yaml")
    panel.start_button.click()
    (folder / "results" / "quick").mkdir()
    (folder / "results" / "quick" / STUDY_LOG).write_text("error: the <disk> is full\n")
    panel.process = SimpleNamespace(poll=lambda: 2)  # type: ignore[assignment]
    panel.look()
    assert "the &lt;disk&gt; is full" in panel.alert.value
    assert enabled(panel) == {"Start"}


def test_a_committed_study_is_only_shown(folder: Path, asked: list[list[str]]) -> None:
    kept = folder / "results" / "reference" / "old"
    kept.parent.mkdir()
    (folder / "results" / "two").rename(kept)
    (kept / "report.html").write_text('<p>the "report"</p>')
    panel = show(folder)
    assert panel.choose.value == "results/reference/old"
    assert enabled(panel) == {"Report"}
    panel.report_button.click()
    assert 'srcdoc="&lt;p&gt;the &quot;report&quot;&lt;/p&gt;"' in panel.page.value
    assert asked == []


def test_the_folder_of_the_results_has_any_name(folder: Path, asked: list[list[str]], started: list[list[str]]) -> None:
    panel = run_study("ablations/quick.yaml", studies=folder / "ablations", results=folder / "out")
    panel.look()
    panel.start_button.click()
    assert started == [["ablate", "run", "ablations/quick.yaml", "--output", "out/quick"]]


def test_a_cockpit_that_is_shown_again_is_live_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    monkeypatch.setattr(Cockpit, "_live", None)
    first, second = (run_study(studies=folder / "ablations", results=folder / "results") for _ in range(2))
    looked = threading.Event()
    for panel in (first, second):
        monkeypatch.setattr(panel, "look", lambda: None)
        panel._repr_mimebundle_()
    monkeypatch.setattr(first, "look", looked.set)
    first._repr_mimebundle_()
    assert looked.wait(20)
    first._watcher.stop()


def test_without_a_browser_it_is_a_finished_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_SESSION_NAME", "VOILA_REQUEST_URL", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    bundle = run_study(studies=folder / "ablations", results=folder / "results")._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert base64.b64decode(bundle["image/png"]) == PNG
    assert "no_sharing" in bundle["text/html"]


def test_curves_have_a_line_for_each_run_and_the_steps_of_the_whole_training(folder: Path) -> None:
    states = study_states(folder / "results" / "two")
    figure = draw_runs(
        states, {state.folder: read_curves(state) for state in states}, {"bicubic": 27.5, "linear": 28.75}
    )
    loss_ax, psnr_ax = figure.axes
    assert len(loss_ax.lines) == 6
    assert [line.get_ydata()[0] for line in psnr_ax.lines[-2:]] == [27.5, 28.75]
    assert psnr_ax.get_xlim() == (0, 70)


def test_a_study_that_is_not_there_is_reported(folder: Path) -> None:
    with pytest.raises(ReportError, match=r"expected one of results/two, ablations/quick\.yaml"):
        show(folder, "results/three")
