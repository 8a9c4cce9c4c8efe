"""docs/inside.md has a place for each section that docs/inside.py measures, filled, with its figure."""

import re
from types import ModuleType

import pytest
from paths import DOCS, load_script

PAGE = (DOCS / "inside.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def inside() -> ModuleType:
    return load_script("inside")


def test_each_section_is_on_the_page_and_has_numbers(inside: ModuleType) -> None:
    sections = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL))
    assert set(sections) == set(inside.SECTIONS)
    assert all(content.count("\n") > 2 for content in sections.values())


def test_the_figures_and_links_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert [link for link in links if not (DOCS / link).exists()] == []
    assert {link for link in links if link.startswith("inside/")} == {
        path.relative_to(DOCS).as_posix() for path in (DOCS / "inside").glob("*.png")
    }


def test_lesions_are_compared_with_networks_trained_without_a_part(inside: ModuleType) -> None:
    lost = {"esa": 0.3, "meso": 0.1, "global": 0.05, "sharing": -0.01}
    table, agreement = inside._predictions({"asid": {"esa": 9.0, "global": 2.0, "meso": 1.0}}, lost)
    assert "| esa | +0.300 |" in table
    assert agreement.splitlines()[-1].startswith("| `asid` | 3 | 0.50 | 0.33 |")


def test_only_the_section_is_replaced(inside: ModuleType) -> None:
    page = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\nc\n"
    assert inside.replace_section(page, "two", "new") == page.replace("two -->\n", "two -->\nnew\n")
