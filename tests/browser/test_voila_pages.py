"""Notebooks as pages without code, as served by ``make dashboard``."""

from typing import Any

import pytest
from pages import Shown, Touch, check_pictures_of_index, is_drawn, screenshot

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("notebook", "name", "labels", "last"),
    [
        ("04_compare_variants", "asid-compare", ["axis"], "asid-compare"),
        ("05_attention_maps", "asid-attention-spread", ["network"], "asid-lesions"),
    ],
)
def test_a_page_shows_live_pictures_and_no_code(
    page: Any, voila: str, notebook: str, name: str, labels: list[str], last: str
) -> None:
    page.goto(f"{voila}/voila/render/{notebook}.ipynb", timeout=240_000)
    page.locator(f".{last}").wait_for(timeout=240_000)  # each cell is shown as soon as it is done
    panel = Shown(page, name)
    assert is_drawn(panel.picture())
    for label in labels:
        panel.change(label)
    if notebook == "05_attention_maps":
        Touch(Shown(page, "asid-attention")).follows_a_click()
    screenshot(page, f"{notebook}.voila")
    text = page.locator("body").inner_text()
    assert "There was an error when executing cell" not in text
    assert "Traceback" not in text
    assert "import " not in text
    assert panel.alerts == []


def test_the_index_leads_to_a_page_that_fits_a_phone(page: Any, voila: str) -> None:
    page.goto(voila, timeout=90_000)
    page.get_by_text("ASID suite").wait_for()
    check_pictures_of_index(page)
    screenshot(page, "00_index.voila")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="Quick start").click(timeout=240_000)
    page.locator(".asid-quickstart").wait_for(timeout=240_000)
    panel = Shown(page, "asid-quickstart")
    assert is_drawn(panel.picture())
    stage = panel.root.locator(".asid-divider .stage").bounding_box()
    assert stage["x"] >= 0
    assert stage["x"] + stage["width"] <= 390
    screenshot(page, "01_quickstart.phone")
    assert panel.alerts == []
