"""A study from the first tick to its report, in JupyterLab: it outlives page and kernel, is stopped and goes on."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pages import Lab, Shown, await_that, is_drawn, screenshot

from asid.ablation.engine.background import stop
from asid.ablation.engine.heartbeat import is_alive

pytestmark = pytest.mark.browser

_STUDY = 1200
"""Seconds that four runs take at most, on a busy machine."""
NOTEBOOK = "notebooks/03_run_a_study.ipynb"
TINY = """
name: tiny
question: Does anything run?
preset: asid-tiny
base:
  model: {{num_groups: 1}}
  data: {{train: '{0}/train', validation: '{0}/validation', patch_size: 16}}
  train: {{steps: 100, batch_size: 1, validate_every: 50, checkpoint_every: 10}}
  evaluate: {{data: ['{0}/validation']}}
"""


@pytest.fixture
def folder(tree: Path, crops: Path) -> Any:
    """The folder of the study, which is not there yet; in the end what runs in it is stopped, and it is gone: the
    notebooks of other tests begin with the newest study."""
    (tree / "ablations").mkdir()
    (tree / "ablations" / "tiny.yaml").write_text(TINY.format(crops))
    folder = tree / "results" / "clicked"
    yield folder
    if is_alive(folder):
        stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


class Cockpit(Shown):
    """The panel on a page."""

    def __init__(self, inside: Any) -> None:
        super().__init__(inside, "asid-cockpit")

    def button(self, text: str) -> Any:
        return self.root.locator("button").filter(has_text=text)

    def click(self, text: str) -> None:
        """Click a button as soon as it is enabled."""
        await_that(lambda: self.button(text).is_enabled(), bool, 240)
        self.button(text).click()

    def fill(self, label: str, value: str) -> None:
        field = self.root.locator(".widget-text").filter(has=self.root.page.get_by_text(label, exact=True))
        field.locator("input").fill(value)
        field.locator("input").press("Enter")

    def await_text(self, text: str, seconds: float = 240) -> None:
        await_that(lambda: self.root.inner_text(), lambda seen: text in seen, seconds)

    def states(self, state: str) -> int:
        """How many runs are in a state."""
        return int(self.root.locator(f".asid-runs td.{state}").count())


def test_a_study_is_built_started_found_again_stopped_resumed_extended_and_reported(lab: Lab, folder: Path) -> None:
    panel = Cockpit(lab.run(NOTEBOOK))
    panel.dropdown("study").select_option("results/reference/quick")
    panel.await_text("12 done of 12 runs")
    screenshot(lab.page, "cockpit.finished")
    panel.root.get_by_text("Build by ticks").click()
    panel.dropdown("base of").select_option("ablations/tiny.yaml")
    panel.fill("name", "clicked")
    panel.fill("seeds", "2")
    row = panel.root.locator(".widget-hbox").filter(has=lab.page.get_by_text("esa", exact=True)).last
    row.locator(".widget-checkbox").filter(has_text="off").locator("input").check()
    panel.await_text("2 networks × 2 seeds: 4 runs; 4 to train")
    screenshot(lab.page, "cockpit.built")
    panel.root.get_by_text("Build by ticks").click()
    panel.click("Start")
    await_that(lambda: panel.states("running"), bool, 240)
    screenshot(lab.page, "cockpit.running")
    lab.close(NOTEBOOK)
    assert is_alive(folder)

    panel = Cockpit(lab.run(NOTEBOOK))
    assert panel.root.locator("select").first.evaluate("list => list.value") == "results/clicked"
    panel.click("Stop")
    panel.await_text("Not running.")
    assert not is_alive(folder)
    assert panel.states("done") < 4
    screenshot(lab.page, "cockpit.stopped")
    panel.click("Resume")
    await_that(lambda: panel.states("done"), lambda done: done == 4, _STUDY)
    panel.click("Add seeds")
    await_that(lambda: panel.states("done"), lambda done: done == 8, _STUDY)
    panel.await_text("Not running.")
    assert is_drawn(panel.picture())
    panel.click("Report")
    panel.root.locator("iframe").wait_for(timeout=240_000)
    lab.page.frame_locator("iframe").get_by_text("What difference does esa: off make?").first.wait_for()
    for width, height in ((1280, 720), (1600, 1000)):
        lab.page.set_viewport_size({"width": width, "height": height})
        screenshot(lab.page, f"cockpit.reported.{width}")
    panel.photograph("cockpit.whole")
    assert panel.alerts == []
    assert lab.errors == []
    lab.close(NOTEBOOK)
