"""A browser for the tests of pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from onecopy._report import write
from onecopy._report.model import Run

# It asks for nothing by itself, and nothing of a display.
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.fail("these tests need Chromium: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


class Shown:
    """A page that is open, and what went wrong or out of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def number(self, script: str) -> float:
        return float(self.page.evaluate(script))


Show = Callable[..., Shown]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Opens the page of a run, and waits until it is alive."""
    contexts = []

    def open_(run: Run, *, scripts: bool = True, theme: str = "light", width: int = 1280) -> Shown:
        path = tmp_path / "run.html"
        write.report(run, path)
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            java_script_enabled=scripts,
            color_scheme=theme,  # type: ignore[arg-type]  # light or dark
        )
        contexts.append(context)
        shown = Shown(context.new_page())
        shown.page.goto(path.as_uri())
        if scripts:
            shown.page.wait_for_selector('html[data-ready="all"]', state="attached")
        return shown

    yield open_
    for context in contexts:
        context.close()
