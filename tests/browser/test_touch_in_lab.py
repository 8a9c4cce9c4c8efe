"""Maps that follow the pointer and the keys: a click, a drag, small maps, hovering."""

import pytest
from pages import Lab, Shown, Touch, await_change, await_that, is_drawn

pytestmark = pytest.mark.browser

ATTENTION = """
from asid.panels.attention_maps import AttentionMapPanel
AttentionMapPanel(["asid-tiny-no-sharing", "asid-tiny"])
"""


def test_attention_follows_a_click_a_drag_and_keys(lab: Lab) -> None:
    panel = Shown(lab.run_cells(ATTENTION), "asid-attention")
    touch = Touch(panel)
    photograph, attention = touch.canvas(0), touch.canvas(1)
    assert touch.follows_a_click() == pytest.approx((75, 56), abs=1)
    clicked = attention.screenshot()
    touch.drag(photograph, (0.25, 0.5), (0.75, 0.9))
    # Row and column arrive one after the other.
    row, column = await_that(touch.query, lambda query: query == pytest.approx((135, 168), abs=1))
    await_change(attention.screenshot, clicked)

    touch.cards.press("ArrowRight")
    touch.cards.press("ArrowDown")
    await_that(touch.title, lambda title: "step 2, group 2" in title)
    touch.cards.press("n")
    await_that(touch.title, lambda title: "step 3, group 2" in title)
    touch.cards.press("Shift+ArrowLeft")
    assert await_change(touch.query, (row, column)) == (row, column - 1)
    assert "step 3, group 2" in touch.title()
    panel.root.get_by_role("button", name="global grid, group 3, step 1").click()
    await_that(touch.title, lambda title: "global grid, step 1, group 3" in title)

    size = attention.bounding_box()
    attention.hover(position={"x": 0.5 * size["width"], "y": 0.5 * size["height"]})
    touch.cards.locator(".asid-touch-readout").nth(1).get_by_text("× uniform").wait_for()
    panel.dropdown("compare with").select_option("asid-tiny")
    await_that(touch.cards.locator(".asid-touch-card").count, lambda count: count == 4)
    await_that(lambda: is_drawn(touch.canvas(3).screenshot()), bool)
    panel.photograph("asid-attention.touch")
    assert panel.alerts == []
    assert lab.errors == []
    lab.close("notebooks/cells.ipynb")
