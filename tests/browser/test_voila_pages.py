"""Notebooks as pages without code, as served by ``make dashboard``."""

from typing import Any

import pytest
from pages import Shown, Touch, is_drawn, screenshot

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("notebook", "name", "labels"),
    [("04_compare_variants", "asid-compare", ["axis"]), ("05_attention_maps", "asid-attention-spread", ["network"])],
)
def test_a_page_shows_live_pictures_and_no_code(
    page: Any, voila: str, notebook: str, name: str, labels: list[str]
) -> None:
    page.goto(f"{voila}/voila/render/{notebook}.ipynb", timeout=240_000)
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


def test_the_list_of_pages_is_the_two_notebooks(page: Any, voila: str) -> None:
    page.goto(voila, timeout=90_000)
    page.get_by_text("05_attention_maps").wait_for()
    screenshot(page, "voila")
    text = page.locator("body").inner_text()
    assert "04_compare_variants" in text
    assert "train_variant" not in text
    assert "01_quickstart" not in text
