"""The cockpit: a study is chosen or built, planned, started, watched, stopped, extended and reported.

The panel reads files and calls ``asid`` as a person would in a terminal. A study is a process of its own: it lives on
without the panel, which finds it again by its heartbeat.
"""

import base64
import html
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from asid.ablation.engine.background import Question, read_log, start, stop
from asid.ablation.engine.heartbeat import is_alive
from asid.ablation.engine.outcome import next_command
from asid.ablation.engine.preparing import is_preparing
from asid.ablation.engine.status import RunState, study_states
from asid.ablation.report.figures import draw_forest
from asid.ablation.report.results import ReportError, load_results
from asid.ablation.study.build import to_yaml
from asid.ablation.study.plan import read_plan
from asid.ablation.study.problems import check_text
from asid.ablation.study.study import StudyConfig, read_study_file
from asid.files import STUDY, write_text
from asid.panels.panel import RESULTS, drawing, has_browser, in_frame, show_error, to_png
from asid.panels.study_builder import StudyBuilder
from asid.panels.study_editor import StudyEditor, problems_html
from asid.panels.study_html import STYLE, selection_html
from asid.panels.study_list import StudyList
from asid.panels.study_plan import plan_html
from asid.panels.study_runs import draw_runs, link, read_curves, reference_scores, states_html
from asid.panels.watching import Watcher

STUDIES = "../ablations"
"""Where notebooks find study files, relative to the folder of the notebooks."""
REPORT = "report.html"
_INTERVAL = 1.0
"""Seconds between two looks at the files of a study."""
_LOG_LINES = 40
_STYLE = "<style>.asid-cockpit .widget-html-content { min-width: 0; max-width: 100%; }</style>"
"""A wide table scrolls in itself."""
_IN_THE_TABLE = (0, 1, 130, 143)
"""Exit statuses of a study that need no explanation: done, with failed runs, stopped."""


def run_study(study: str = "", *, studies: str | Path = STUDIES, results: str | Path = RESULTS) -> "Cockpit":
    """Show the cockpit.

    Args:
        study: What to show first: a study's folder or a study file, as the panel lists it, e.g. ``results/quick``. By
            default the study that runs, else the latest one with results.
        studies: Folder of study files.
        results: Folder of the studies. New studies are saved there, too.

    Raises:
        ReportError: There is no such study, or none at all.
    """
    listed = StudyList(Path(studies), Path(results))
    names = listed.names()
    if not names or (study and study not in names):
        raise ReportError(f"no study '{study}': expected one of {', '.join(names) or f'{studies}/*.yaml'}")
    return Cockpit(listed, study or listed.first())


class Cockpit:
    """The panel that :func:`run_study` makes."""

    _live: "Cockpit | None" = None
    """The one that is shown by this process: a cell that is run again replaces it."""

    def __init__(self, listed: StudyList, name: str) -> None:
        self._listed = listed
        self._lock = threading.RLock()
        self._selecting = False
        self.process: subprocess.Popen[bytes] | None = None
        """The study that this panel has started, while it runs."""
        self._make_widgets(name)
        self._forget()
        self._open()
        self.choose.observe(lambda _: self._do(self._open), names="value")
        self._watcher = Watcher(self.look, _INTERVAL)

    # Controls

    def _make_widgets(self, name: str) -> None:
        self.choose = widgets.Dropdown(options=self._listed.names(), value=name, description="study")
        self.choose.layout.width, self.choose.layout.max_width = "460px", "100%"
        self.builder = StudyBuilder(
            self._listed.files(), self._listed.new_name(), lambda study: self.use_text(to_yaml(study))
        )
        self.editor = StudyEditor(self.use_text, lambda: self._do(self.check))
        making = widgets.Accordion([self.builder.box, self.editor.box], titles=("Build by ticks", "Edit as YAML"))
        self.problems, self.plan, self.alert, self.state = (widgets.HTML() for _ in range(4))
        self.start_button = self._button("Start", "play", self.start, "Run this study, as a process of its own")
        self.stop_button = self._button("Stop", "stop", self.stop, "As Ctrl-C: Resume goes on where it was")
        self.resume_button = self._button("Resume", "forward", self.resume, "Do all that is not done")
        self.seeds = widgets.BoundedIntText(2, min=1, max=100, layout={"width": "56px"})
        self.seeds_button = self._button("Add seeds", "plus", self.add_seeds, "Run every variant with more seeds")
        self.report_button = self._button("Report", "file-text-o", self.report, "Write report.html, and show it")
        buttons = [self.start_button, self.stop_button, self.resume_button, self.seeds, self.seeds_button]
        row = widgets.HBox([*buttons, self.report_button])
        row.layout.flex_flow, row.layout.align_items = "row wrap", "center"
        self.runs, self.table, self.page = widgets.Output(), widgets.HTML(), widgets.HTML()
        hidden = {"align_self": "flex-start", "max_width": "100%", "display": "none"}
        self.curves, self.forest = (widgets.Image(format="png", layout=hidden) for _ in range(2))
        self.log = widgets.HTML()
        printed = widgets.Accordion([self.log], titles=("What it printed",))
        curves, forest = in_frame(self.curves), in_frame(self.forest)
        shown = [self.problems, self.plan, row, self.alert, self.state, self.runs, curves, self.table, forest]
        self.box = widgets.VBox([widgets.HTML(STYLE + _STYLE), self.choose, making, *shown, self.page, printed])
        self.box.add_class("asid-cockpit")

    def _button(self, text: str, icon: str, action: Callable[[], None], tooltip: str) -> widgets.Button:
        button = widgets.Button(description=text, icon=icon, tooltip=tooltip, disabled=True)
        button.layout.width = "auto"
        button.on_click(lambda _: self._do(action))
        return button

    def _do(self, action: Callable[[], None]) -> None:
        """Handle a click, and show its error in the panel: nobody reads the log in which it ends up otherwise."""
        with self._lock:
            self.alert.value = ""
            try:
                action()
            except Exception as error:
                self.alert.value = show_error(error)
        self._watcher.look_now()

    # The study

    def _forget(self) -> None:
        """No study is shown."""
        self.folder: Path | None = None
        """Folder of the study, once it is known."""
        self._file: Path | None = None
        self._profile: str | None = None
        self._text = ""
        self._study: StudyConfig | None = None
        """What the text says, if it is valid."""
        self._is_checked = self._has_begun = self._was_busy = False
        self._plan_question: Question | None = None
        self._report: Question | None = None
        self._seen: tuple[Any, Any] = (None, None)
        self._states: list[RunState] = []

    def _open(self) -> None:
        """Show the chosen study."""
        if self._selecting:
            return
        self._leave()
        name = self.choose.value
        if name in (files := self._listed.files()):
            self._file, self._profile = files[name]
            is_whole = self._profile is None
            self._text = self._file.read_text("utf-8") if is_whole else to_yaml(self._read_file())
        else:
            self.folder = self._listed.root / name
            self._text = to_yaml(read_plan(self.folder).study)
        self.editor.show(self._text)

    def check(self) -> None:
        """Check the text again, and ask for its plan: files and data that it names may be others by now."""
        self._is_checked = False

    def use_text(self, text: str) -> None:
        """Show a study that was built or edited: it is checked, and then saved beside the results and planned."""

        def use() -> None:
            self._leave()
            self._text = text
            self.editor.show(text)

        self._do(use)

    def _leave(self) -> None:
        """Clear the panel of what it shows of a study. A study that runs goes on."""
        for question in filter(None, (self._plan_question, self._report)):
            question.cancel()
        self._forget()
        self.process = None
        for part in (self.problems, self.plan, self.state, self.table, self.page, self.log):
            part.value = ""
        self.runs.outputs = ()
        self.curves.layout.display = self.forest.layout.display = "none"

    def _read_file(self) -> StudyConfig:
        assert self._file
        return read_study_file(self._file, self._profile)

    def _select(self, name: str) -> None:
        """Let the list show a name, without opening it."""
        self._selecting = True
        try:
            self.choose.options = self._listed.names()
            self.choose.value = name
        finally:
            self._selecting = False

    @property
    def _is_kept(self) -> bool:
        """Whether the study is one of the committed ones, which are only shown."""
        return self.folder is not None and self.folder.parent.name == "reference"

    # Clicks

    def start(self) -> None:
        """Run the study."""
        self._start("run", *self._words())

    def stop(self) -> None:
        """Stop the study."""
        stop(self._planned)

    def resume(self) -> None:
        """Go on with the study."""
        self._start("resume", self._listed.name(self._planned))

    def add_seeds(self) -> None:
        """Run every variant of the study with more seeds."""
        self._start("resume", self._listed.name(self._planned), "--add-seeds", str(self.seeds.value))

    def report(self) -> None:
        """Write the report, and show it when it is there; that of a committed study is there already."""
        if self._is_kept:
            self._show_report()
        else:
            self._report = Question(["report", self._listed.name(self._planned)], self._listed.root)

    @property
    def _planned(self) -> Path:
        assert self.folder
        return self.folder

    def _start(self, *words: str) -> None:
        self.process = start(["ablate", *words], self._planned, self._listed.root)
        self.page.value, self._has_begun = "", False

    def _words(self) -> list[str]:
        """The words of a command that name the study, and its folder if that is not the usual one."""
        if self._file is None:
            return [self._listed.name(self._planned)]
        words = [self._listed.name(self._file), *(["--profile", self._profile] if self._profile else [])]
        is_usual = self._listed.results.name == "results"
        return words if is_usual else [*words, "--output", self._listed.name(self._planned)]

    # Looking

    def look(self) -> None:
        """Bring the panel up to date with the files. Called every second while the panel is shown."""
        with self._lock:
            try:
                self._check()
                self._hear()
                self._follow()
            except Exception as error:
                self.state.value = show_error(error)
            self._enable()

    def _check(self) -> None:
        """Say what is wrong with the text, or save it if it is new, and ask for its plan."""
        if self._is_checked:
            return
        self._is_checked = True
        if self._is_kept:
            return
        if self._file is None and self.folder and (self.folder / STUDY).is_file():  # it may have more seeds by now
            self._text = to_yaml(read_plan(self.folder).study)
            self.editor.show(self._text)
        study, problems = check_text(self._text, self._file or self._listed.results / "study.yaml")
        self.problems.value = problems_html(self._text, problems)
        self._study = study.config if study else None
        if study is None:
            return
        if self.folder is None and self._file is None:
            self._file = write_text(self._listed.results / f"{study.config.full_name}.yaml", self._text)
            self._select(self._listed.name(self._file))
        self.folder = self.folder or self._listed.results / study.config.full_name
        note = ""
        if (self.folder / STUDY).is_file() and not self._is_planned_so():
            name = html.escape(self._listed.name(self.folder))
            note = f"<p>{name} was planned otherwise: runs that only that plan has will not count any more. "
            note += "Another <code>name</code> keeps both.</p>"
        if is_alive(self.folder):  # it needs the processor itself
            return
        if self._plan_question:
            self._plan_question.cancel()
        self.plan.value = f"{note}<i>Planning: networks are built and timed …</i>"
        self._plan_question = Question(["ablate", "plan", *self._words(), "--json"], self._listed.root)

    def _is_planned_so(self) -> bool:
        """Whether the plan in the folder is that of the text, whose ``minutes`` it may have converted to steps."""
        assert self.folder
        stored = read_plan(self.folder).study
        return self._study is not None and stored.override(steps_of=self._study.steps_of) == self._study

    def _hear(self) -> None:
        """Take the answers of commands that were asked."""
        if self._plan_question:
            try:
                if (answer := self._plan_question.answer()) is not None:
                    self._plan_question = None
                    self.plan.value = self.plan.value.partition("<i>")[0] + plan_html(json.loads(answer))
            except ValueError as error:
                self._plan_question = self._study = None
                self.plan.value = show_error(error)
        if self._report:
            try:
                if self._report.answer() is not None:
                    self._report = None
                    self._show_report()
            except ValueError as error:
                self._report = None
                self.alert.value = show_error(error)
        if self.process and (status := self.process.poll()) is not None:
            self.process = None
            if status not in _IN_THE_TABLE and self.folder:
                lines = "\n".join(read_log(self.folder)[-3:])
                self.alert.value = show_error(ValueError(f"the study ended with status {status}: {lines}"))

    def _follow(self) -> None:
        """Show the state of the runs, their curves and the results so far."""
        if self.folder is None:
            return
        if not (self.folder / STUDY).is_file():
            self.state.value = self._activity() or "Not started."
            self._show_log()
            return
        if self._file and self.process and self._is_planned_so():
            # From now on it is that folder's study, whatever becomes of its file.
            self._file = self._profile = None
            self._select(self._listed.name(self.folder))
        self._states = study_states(self.folder)
        planned = [state for state in self._states if state.in_plan]
        counts = Counter(str(state.state) for state in planned)
        words = ", ".join(f"{count} {state}" for state, count in counts.items())
        activity = self._activity()
        if self._was_busy and not activity:  # less is left to do
            self._is_checked = False
        self._was_busy = bool(activity)
        command = next_command({**counts, "running": 1} if activity else counts, self._listed.name(self.folder))
        self.state.value = (
            f"<b>{html.escape(activity or 'Not running.')}</b> {words} of {len(planned)} runs. "
            f"In a terminal: <code>{html.escape(command)}</code>"
        )
        self._show_log()
        runs = tuple((state.folder, state.state, state.step) for state in planned)
        done = tuple(state.folder for state in planned if state.state == "done")
        if runs != self._seen[0]:
            self._show_runs()
        if done and done != self._seen[1]:
            self._show_results()
        self._seen = runs, done

    def _activity(self) -> str:
        """What the study's process does; empty without one."""
        assert self.folder
        self._has_begun |= bool(is_alive(self.folder))
        if is_preparing(self.folder):
            return "Preparing: networks and data are checked."
        if is_alive(self.folder):
            left = next((line for line in reversed(read_log(self.folder)[-5:]) if line.endswith(" left")), "")
            return f"Running, {left.rpartition('; ')[2].strip()}." if left else "Running."
        if self.process is None:
            return ""
        return "Ending." if self._has_begun else "Starting."

    def _show_log(self) -> None:
        assert self.folder
        self.log.value = f"<pre>{html.escape(chr(10).join(read_log(self.folder)[-_LOG_LINES:]))}</pre>"

    def _show_runs(self) -> None:
        assert self.folder
        table = states_html(self._states)
        # An Output, whose links JupyterLab opens in itself.
        self.runs.outputs = ({"output_type": "display_data", "data": {"text/html": table}, "metadata": {}},)
        histories = {state.folder: read_curves(state) for state in self._states}
        if any(len(history) for history in histories.values()):
            with drawing():
                references = reference_scores(self.folder, read_plan(self.folder))
                _show(self.curves, to_png(draw_runs(self._states, histories, references)))

    def _show_results(self) -> None:
        assert self.folder
        try:
            results = load_results(self.folder)
        except ReportError:  # of trained references only
            return
        data = results.sets[0]
        self.table.value = selection_html(results.select(results.variants, data))
        with drawing():
            if forest := draw_forest(results, data):
                _show(self.forest, to_png(forest.figure))

    def _show_report(self) -> None:
        assert self.folder
        file = self.folder / REPORT
        text = html.escape(file.read_text("utf-8"))
        frame = "width: 100%; height: 80vh; border: 1px solid rgba(128, 128, 128, .4)"
        limits = "allow-scripts allow-downloads allow-popups"  # the frame is a page of its own
        self.page.value = (
            f'<p>{link(file, self._listed.name(file))}</p><iframe title="report" sandbox="{limits}" '
            f'style="{frame}" srcdoc="{text}"></iframe>'
        )

    def _enable(self) -> None:
        """Enable the buttons that would do something."""
        is_planned = self.folder is not None and (self.folder / STUDY).is_file() and not self._is_kept
        is_busy = self.process is not None or (self.folder is not None and bool(is_alive(self.folder)))
        states = {state.state for state in self._states if state.in_plan}
        self.start_button.disabled = is_busy or self._study is None or self._file is None
        self.stop_button.disabled = not (self.folder and is_alive(self.folder)) or self._is_kept
        self.resume_button.disabled = is_busy or not is_planned or states <= {"done", "spared"}
        self.seeds_button.disabled = is_busy or not is_planned or "spared" in states
        self.report_button.disabled = self._report is not None or "done" not in states
        self.report_button.description = "Writing …" if self._report else "Report"

    # Showing

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        with self._lock:
            self._follow()
        pictures = [bytes(image.value) for image in (self.curves, self.forest) if image.layout.display is None]
        parts = [self.state.value, *(output["data"]["text/html"] for output in self.runs.outputs), self.table.value]
        parts += [f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}">' for picture in pictures]
        shown = {"text/plain": f"Cockpit: {self.choose.value}", "text/html": "".join(parts)}
        if pictures:
            shown["image/png"] = base64.b64encode(pictures[-1]).decode()
        if not has_browser():
            return shown
        if Cockpit._live:
            Cockpit._live._watcher.stop()
        Cockpit._live = self
        self._watcher = Watcher(self.look, _INTERVAL)  # one that was stopped does not start again
        self._watcher.start()
        return {**self.box._repr_mimebundle_(**options), **shown}


def _show(image: widgets.Image, picture: bytes) -> None:
    image.value, image.layout.display = picture, None
