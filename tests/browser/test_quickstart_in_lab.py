"""The quick start in JupyterLab: the divider, 1:1, a photograph of one's own, and what is saved."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import Lab, Shown, await_change, await_that, is_drawn
from PIL import Image
from skimage import data

pytestmark = pytest.mark.browser

NOTEBOOK = "notebooks/01_quickstart.ipynb"


@pytest.fixture
def panel(lab: Lab) -> Iterator[Shown]:
    yield Shown(lab.run(NOTEBOOK), "asid-quickstart")
    assert lab.errors == []
    lab.close(NOTEBOOK)


def test_the_quickstart_by_hand(panel: Shown, lab: Lab, tmp_path: Path) -> None:
    check_divider(panel, "01_quickstart")
    panel.change("photograph")
    check_divider(panel, "01_quickstart.other")
    for width, height in ((1280, 720), (1600, 1000)):
        lab.page.set_viewport_size({"width": width, "height": height})
        panel.photograph(f"01_quickstart.{width}")
    lab.page.set_viewport_size({"width": 1400, "height": 1000})

    with lab.page.expect_file_chooser() as chooser:
        panel.root.get_by_role("button", name="your own").click()
    chooser.value.set_files(twelve_megapixels(tmp_path / "holiday.jpg"))
    text = panel.root.inner_text
    await_that(text, lambda seen: "The whole photograph: 2000 × 1500 LR pixels, about" in seen)
    stage = panel.root.locator(".asid-divider .stage")
    fitting = stage.bounding_box()["width"]
    panel.root.get_by_label("1:1").check()
    assert stage.bounding_box()["width"] == 512 >= fitting
    panel.photograph("01_quickstart.actual")
    before = panel.picture()
    panel.dropdown("part").select_option("whole photograph")
    cancel = panel.root.get_by_role("button", name="Cancel")
    cancel.wait_for()
    await_that(text, lambda seen: "tiles" in seen and "left" in seen, seconds=120)
    panel.photograph("01_quickstart.working")
    panel.slider("across (%)").press("PageUp")  # details can be looked at meanwhile
    await_change(panel.picture, before)
    cancel.click()
    cancel.wait_for(state="hidden")

    panel.root.get_by_role("button", name="Save SR image").click()
    with lab.page.expect_download() as download:
        panel.root.get_by_role("link", name="download").click()
    name = download.value.suggested_filename
    assert name.startswith("sr-holiday-")
    with Image.open(download.value.path()) as image:
        assert image.size == (512, 512)
    assert (lab.root / "results" / "figures" / name).is_file()
    panel.photograph("01_quickstart.saved")


def twelve_megapixels(path: Path) -> Path:
    """A photograph as a camera makes it: 4000×3000 pixels."""
    cat = data.chelsea()
    Image.fromarray(np.tile(cat, (10, 9, 1))[:3000, :4000]).save(path, quality=95)
    return path


def check_divider(panel: Shown, name: str) -> None:
    """Move the divider by keyboard and mouse: the picture changes without the kernel."""
    slider = panel.root.locator(".asid-divider")
    slider.scroll_into_view_if_needed()
    divider = slider.locator("input[type=range]")
    seen = []
    for key in ("Home", "End"):
        divider.press(key)
        seen.append(slider.screenshot())
    size = divider.bounding_box()
    divider.click(position={"x": 0.4 * size["width"], "y": 0.5 * size["height"]})
    seen.append(slider.screenshot())
    panel.photograph(name)
    assert all(map(is_drawn, seen))
    assert len(set(seen)) == 3
