"""The report in a browser: what can be touched, and that it is complete without its script and without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import SHOTS
from written_study import make_study

from asid.ablation.report.results import load_results
from asid.ablation.report.write import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report with five rows: three variants, bicubic, and linear."""
    folder = make_study(tmp_path_factory.mktemp("study"), references=("bicubic", "linear"))
    write_report(load_results(folder))
    return (folder / "report.html").as_uri()


@pytest.fixture
def requests(page: Any) -> Iterator[list[str]]:
    """What the page asks for, and the errors in it: both are to stay empty."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if request.url.startswith("http") else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    yield seen
    assert seen == []


def rows(table: Any) -> list[str]:
    return [row.split()[0] for row in table.locator("tbody tr:visible").all_inner_texts()]


def test_a_table_sorts_and_filters(page: Any, address: str, requests: list[str]) -> None:
    page.goto(address)
    table = page.locator("table.sortable").first
    given = rows(table)
    table.get_by_role("columnheader", name="PSNR").click()
    assert rows(table) == ["no_sharing", "base", "100%-meso", "linear", "bicubic"] != given
    table.get_by_role("columnheader", name="PSNR").press("Enter")
    assert rows(table) == ["bicubic", "linear", "100%-meso", "base", "no_sharing"]
    table.get_by_role("columnheader", name="params").click()
    assert rows(table)[:3] == ["100%-meso", "no_sharing", "base"], "numbers with spaces are numbers; no number is last"
    page.get_by_label("Filter rows").first.fill("sharing better")
    assert rows(table) == ["no_sharing"]


def test_every_training_is_a_point_that_leads_to_its_card(page: Any, address: str, requests: list[str]) -> None:
    page.goto(address)
    points = page.locator("circle.run")
    assert points.count() == 6
    points.nth(2).hover()
    assert page.locator(".tooltip").inner_text() == "no_sharing, seed 0: 30.250 dB, +0.750 against base"
    points.nth(2).click()
    card = page.locator("dialog")
    assert "attention sharing: none" in card.inner_text()
    assert card.get_by_role("link", name="record.json").get_attribute("href") == "runs/no_sharing-0/record.json"
    card.get_by_role("button", name="Close").click()
    assert page.locator("dialog").count() == 0
    before = points.first.bounding_box()
    page.get_by_label("with bicubic and linear").check()
    assert page.locator("line.reference").count() == 2
    assert points.first.bounding_box() != before, "there is room for the references"
    page.get_by_role("combobox", name="against").select_option("parameters")
    assert points.count() == 6


def test_samples_are_compared_with_a_divider_zoom_and_error(page: Any, address: str, requests: list[str]) -> None:
    page.goto(address)
    frame = page.locator(".frame")
    frame.scroll_into_view_if_needed()
    assert frame.locator(".caption").all_inner_texts() == ["bicubic 27.00 dB", "base 29.00 dB"]
    shown = frame.screenshot()

    def changed() -> bool:
        nonlocal shown
        before = shown
        for _ in range(50):  # events of the mouse arrive when the browser has time
            if (shown := frame.screenshot()) != before:
                return True
            page.wait_for_timeout(100)
        return False

    page.get_by_role("slider", name="Divider").press("ArrowRight")
    assert changed()
    frame.hover(position={"x": 60, "y": 60})
    page.mouse.wheel(0, -100)
    page.wait_for_function("document.querySelector('canvas.left').style.transform.includes('scale(1.25)')")
    transforms = frame.locator("canvas").evaluate_all("canvases => canvases.map(canvas => canvas.style.transform)")
    assert transforms[0] == transforms[1]
    page.get_by_label("error").check()
    assert changed()
    page.get_by_role("combobox", name="left").select_option("HR")
    page.get_by_role("combobox", name="right").select_option("HR")
    assert changed()
    assert frame.locator(".caption").all_inner_texts() == ["HR", "HR"]
    page.get_by_role("combobox", name="image").select_option(index=1)
    page.get_by_label("error").uncheck()
    assert changed()
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / "report.png", full_page=True)


def test_files_are_downloaded_from_the_page_itself(
    page: Any, address: str, requests: list[str], tmp_path: Path
) -> None:
    page.goto(address)
    folder = Path(address.removeprefix("file://")).parent
    for name in ("comparison.csv", "comparison.tex"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        assert download.value.suggested_filename == name
        assert download.value.path().read_bytes() == (folder / name).read_bytes()
    forest = page.locator("#forest")
    assert forest.get_by_role("link", name="PNG").get_attribute("download") == "forest.png"
    with page.expect_download() as download:
        forest.get_by_role("link", name="SVG").click()
    assert download.value.path().read_bytes() == (folder / "figures" / "forest.svg").read_bytes()


@pytest.mark.parametrize(
    ("scripts", "width", "colours"), [(False, 1280, "light"), (True, 390, "light"), (True, 1600, "dark")]
)
def test_no_column_is_cut_off(chromium: Any, address: str, scripts: bool, width: int, colours: str) -> None:
    context = chromium.new_context(
        java_script_enabled=scripts, viewport={"width": width, "height": 900}, color_scheme=colours
    )
    page = context.new_page()
    page.goto(address)
    table = page.locator("table").first
    assert len(rows(table)) == 5
    box, scroll = table.bounding_box(), page.locator(".scroll").first
    if width < 600:  # a phone: the table scrolls, its first column stays
        scroll.evaluate("box => box.scrollLeft = 300")
        assert table.locator("td").first.bounding_box()["x"] == pytest.approx(16, abs=2)
    else:
        assert box["x"] + box["width"] <= width
    assert page.locator("circle.run").count() == (6 if scripts else 0)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if colours == "dark" else "rgb(255, 255, 255)"
    )
    context.close()
