"""The page of a million tasks: how soon it is alive, printed, and that it works."""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import Show, browser, show  # noqa: F401 (fixtures)
from tests.browser.test_page import WIDE, painted
from tests.runs import made_up

pytestmark = pytest.mark.leaks("one browser for all tests of this module")


def test_a_million_tasks(show: Show) -> None:  # noqa: F811 (the fixture)
    run = made_up(1_000_000, 4, mean_ms=0.2)
    shown = show(run)
    page = shown.page
    # Again, now that the file is there: only the browser is timed.
    began = time.monotonic()
    page.reload(wait_until="commit")
    page.wait_for_selector("html[data-ready]", state="attached")
    alive = time.monotonic() - began
    load = shown.number("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    page.wait_for_selector('html[data-ready="all"]', state="attached")
    print(f"\nalive {alive:.2f} s after it was asked for; loaded after {load:.2f} s")
    page.focus("#lanes")
    began = time.monotonic()
    for _ in range(20):
        page.keyboard.press("+")
    whole = run.wall * 1e9
    assert shown.number(WIDE) < whole / 1000
    assert painted(shown) > 0.3
    print(f"twenty steps of zoom in {time.monotonic() - began:.2f} s")
    page.fill("#search", "777777")
    page.wait_for_selector('#found:text("1 found")')
    assert shown.complaints == []
