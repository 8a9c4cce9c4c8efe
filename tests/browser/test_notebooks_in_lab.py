"""The notebooks in JupyterLab: run all cells, move the controls, and see the pictures change."""

from typing import Any

import pytest
from pages import Lab, Shown, Touch, await_change, await_that, check_pictures_of_index, is_drawn, screenshot
from paths import ROOT

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("notebook", "name", "labels"),
    [
        ("02_architecture", "asid-architecture", ["attention sharing"]),
        ("04_compare_variants", "asid-compare", ["axis"]),
    ],
)
def test_the_picture_follows_the_controls(lab: Lab, notebook: str, name: str, labels: list[str]) -> None:
    path = f"notebooks/{notebook}.ipynb"
    check_controls(Shown(lab.run(path), name), labels)
    assert lab.errors == []
    assert lab.save(path) == (ROOT / path).read_bytes(), "git status is clean"
    lab.close(path)


def test_jupyterlab_begins_with_the_index(page: Any, lab_address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(lab_address.replace("/lab?", "/?"), timeout=90_000)
    index = page.locator(".jp-NotebookPanel:visible")
    index.get_by_role("heading", name="ASID suite").wait_for(timeout=90_000)
    check_pictures_of_index(index)
    screenshot(page, "00_index")
    assert "Jupyter news" not in page.locator("body").inner_text()
    index.get_by_role("link", name="Architecture", exact=True).click()
    page.locator(".jp-NotebookPanel:visible").get_by_role("heading", name="Architecture").wait_for()


def test_the_panels_of_receptive_fields(lab: Lab) -> None:
    path = "notebooks/06_receptive_field.ipynb"
    opened = lab.run(path)
    check_controls(Shown(opened, "asid-frequency"), ["view"])
    panel = Shown(opened, "asid-receptive_field")
    touch = Touch(panel)
    touch.follows_a_click()
    panel.dropdown("method").select_option("local attribution")
    await_that(touch.title, lambda title: "diffusion index" in title)
    moved = touch.query()
    touch.cards.press("ArrowDown")
    assert await_change(touch.query, moved) == (moved[0] + 1, moved[1])
    panel.photograph("asid-receptive_field")
    assert panel.alerts == []
    assert lab.errors == []
    lab.close(path)


def test_the_panels_of_attention(lab: Lab) -> None:
    path = "notebooks/05_attention_maps.ipynb"
    opened = lab.run(path)
    Touch(Shown(opened, "asid-attention")).follows_a_click()
    check_controls(Shown(opened, "asid-attention-spread"), ["network"])
    check_controls(Shown(opened, "asid-similarity"), ["measure", "view"])
    check_controls(Shown(opened, "asid-transplant"), ["view"])
    check_controls(Shown(opened, "asid-lesions"), ["lesion", "photograph"])
    assert lab.errors == []
    lab.close(path)


def check_controls(panel: Shown, labels: list[str]) -> None:
    """Move sliders and dropdowns one after another; each one changes the picture."""
    assert is_drawn(panel.picture())
    panel.photograph(f"{panel.name}.first")
    for label in labels:
        panel.change(label)
    panel.photograph(f"{panel.name}.last")
