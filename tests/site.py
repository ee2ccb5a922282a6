"""Docstrings on the built site: ``python -m tests.site`` after ``make docs``, which runs it.

A docstring is written for an editor and rendered by Markdown. This program reads the pages of
the reference and reports what Markdown did not understand: tables and literal blocks in
reStructuredText, quoted names, and a ``Returns:`` that was split into several values.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

from tests.pages import ROOT

# Text of a page that is markup which was not rendered.
_MARKUP = {
    r"={4,}": "a table in reStructuredText; write one with | and ---",
    r"::\s*$": "a literal block in reStructuredText; write ``` fences",
    r"``": "a literal that does not end",
    r"\|\s*-{3,}": "a table that Markdown did not recognise",
}


class _Reader(HTMLParser):
    """Collects the text outside of code, and the number of items below each ``Returns:``."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.returns: list[int] = []
        self._code = 0
        self._section = ""
        self._title = False
        self._lists = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        self._code += tag in ("code", "pre", "script", "style")
        self._title = "doc-section-title" in kind
        if tag in ("ul", "table"):
            self._lists += 1
        if tag == "li" and self._lists == 1 and self._section == "Returns:":
            self.returns[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre", "script", "style")
        if tag in ("ul", "table"):
            self._lists -= 1
            if not self._lists:
                self._section = ""

    def handle_data(self, data: str) -> None:
        if self._title:
            self._section, self._lists, self._title = data.strip(), 0, False
            if self._section == "Returns:":
                self.returns.append(0)
        elif not self._code:
            self.text.append(data)


def faults(page: str) -> list[str]:
    """Return what is wrong with the HTML of a page."""
    reader = _Reader()
    reader.feed(page)
    found = [
        f"{advice}: {text.strip()[:60]!r}"
        for text in reader.text
        for markup, advice in _MARKUP.items()
        if re.search(markup, text)
    ]
    several = [count for count in reader.returns if count != 1]
    return [*found, *(f"a 'Returns:' of {count} values" for count in several)]


def main() -> int:
    """Check every page of the reference; return the exit code."""
    pages = sorted((ROOT / "site" / "reference").glob("*.html"))
    assert pages, "there is no site: run `make docs`"
    found = [f"{page.name}: {fault}" for page in pages for fault in faults(_read(page))]
    versioned = re.compile(r"onecopy \d+\.\d+")
    found += [
        f"{page.name}: no version"
        for page in (*pages, ROOT / "site" / "index.html")
        if not versioned.search(_read(page))
    ]
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
