"""Every figure and number of README, docs and results that comes from committed records is what these give."""

from types import ModuleType

import pytest
from paths import load_script


@pytest.fixture(scope="module")
def report() -> ModuleType:
    return load_script("results_report")


@pytest.mark.process
def test_the_pages_show_what_the_records_say(report: ModuleType) -> None:
    for path, text in report.texts().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make results-report"


@pytest.mark.slow
def test_everything_comes_out_byte_for_byte(report: ModuleType) -> None:
    before = report.contents()
    try:
        assert report.write() == []
    finally:
        for path, content in before.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
