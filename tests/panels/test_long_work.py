"""Long work: it shows how far it is, ends when it is cancelled, and loses no error."""

import threading

import pytest

from asid.panels.long_work import LongWork, OnPart, describe_time


def test_its_result_arrives_and_its_row_shows_meanwhile() -> None:
    work, results, seen = LongWork(), [], []

    def count(on_part: OnPart) -> str:
        on_part(1, 4)
        seen.append((work.is_busy, work.bar.value, work.bar.max, work.label.value))
        return "done"

    work.start("counting", count, results.append)
    work.wait()
    assert results == ["done"]
    assert not work.is_busy
    ((busy, value, most, label),) = seen
    assert (busy, value, most) == (True, 1, 4)
    assert label.startswith("counting: 1 of 4")


def test_cancel_ends_it_after_the_part_in_work() -> None:
    work, results, parts, cancelled = LongWork(), [], [], threading.Event()

    def count(on_part: OnPart) -> str:
        for part in range(1, 4):
            parts.append(part)
            on_part(part, 3)
            cancelled.wait(10)
        return "done"

    work.start("counting", count, results.append)
    work.cancel_button.click()
    cancelled.set()
    work.wait()
    assert results == []
    assert len(parts) < 3
    assert not work.is_busy


def test_an_error_is_shown() -> None:
    work, results = LongWork(), []

    def fail(on_part: OnPart) -> str:
        raise ValueError("no <memory>")

    work.start("failing", fail, results.append)
    work.wait()
    assert "no &lt;memory&gt;" in work.error.value
    assert (results, work.is_busy) == ([], False)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (360, "6 min"), (9000, "2.5 h")])
def test_times_are_rough(seconds: float, text: str) -> None:
    assert describe_time(seconds) == text
