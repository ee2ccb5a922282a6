"""The pages of the documentation, as tests read them: README and what is under ``docs/``.

A page's program is its ``python`` blocks, in order. What a reader need not see, such as a
file that has to be there, is in a comment that begins with ``<!-- run`` and ends with
``-->`` on a line of its own. Every line keeps its number, so that a traceback names the
page's own. What the program prints is shown in ``output`` blocks; in them a line of ``...``
stands for any lines, and ``...`` in a line for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^( *)(```+)\s*(\S*)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line, and its lines."""

    language: str
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A page: its path from the root, and its text."""

    name: str
    text: str

    def blocks(self, *languages: str) -> list[Block]:
        """Its blocks in these languages (``run`` is the hidden one), or all of them."""
        return [each for each in _blocks(self.text) if not languages or each.language in languages]

    def program(self) -> str:
        """The code to run; empty if there is none."""
        lines = [""] * len(self.text.splitlines())
        for block in self.blocks("python", "run"):
            lines[block.line - 1 : block.line - 1 + len(block.lines)] = block.lines
        return "\n".join(lines) + "\n" if self.blocks("python") else ""

    def missing_in(self, printed: str) -> Block | None:
        """The first of its ``output`` blocks that is not in what was printed, in order."""
        for block in self.blocks("output"):
            found = re.search(_pattern(block), printed, re.MULTILINE)
            if found is None:
                return block
            printed = printed[found.end() :]
        return None


def pages() -> list[Page]:
    """All of them."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [Page(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in paths]


def _blocks(text: str) -> Iterator[Block]:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is not None:
            indent, end, language = len(fence[1]), fence[1] + fence[2], fence[3]
        elif lines[at].startswith("<!-- run"):
            indent, end, language = 0, "-->", "run"
        else:
            at += 1
            continue
        begin = at = at + 1
        while at < len(lines) and lines[at].rstrip() != end:
            at += 1
        if at == len(lines):
            raise ValueError(f"the block that begins in line {begin} has no end")
        yield Block(language, begin + 1, tuple(line[indent:] for line in lines[begin:at]))
        at += 1


def _pattern(block: Block) -> str:
    parts = [
        r"(?:.*\n)*?"
        if line.strip() == "..."
        else re.escape(line.rstrip()).replace(r"\.\.\.", ".*?") + r"[ ]*\n"
        for line in block.lines
    ]
    return "^" + "".join(parts)
