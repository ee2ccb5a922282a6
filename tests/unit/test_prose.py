"""Plain English in what people read: docstrings, comments and messages, of the tests as well; pages.

A docstring begins with a noun phrase, or with an imperative such as "Return True if". The other
test keeps out the idioms of this list, which are hard to read for those who do not know them,
and names a better word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT

# This file has the list of idioms.
SOURCES = sorted(
    path
    for folder in ("src", "tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "bench" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

_QUESTIONS = frozenset(
    [
        "What",
        "Who",
        "Whoever",
        "Whom",
        "Whose",
        "Whether",
        "Is",
        "Are",
        "Was",
        "Were",
        "Has",
        "Have",
        "Had",
        "Do",
        "Does",
        "Did",
        "May",
        "Must",
        "Can",
        "How",
        "Which",
        "Where",
        "When",
        "Why",
    ]
)

# A pattern, and the better words.
IDIOMS = {
    r"stands? (?:in|on|at|beside|behind|before|under|there|here|alone|above)\b": "is, lives, holds",
    r"pip install [\"']?onecopy\b": "the library that is needed: no index has onecopy yet",
    r"\bdear(?:er|est)?\b": "expensive, costs more",
    r"\blet(?:s|ting)? go of\b": "release",
    r"\bso many (?!memory|as|more|that)\w+": "at most N, that many",
    r"\b(?:whoever|whomever)\b": "the thread that, the caller, the worker",
    r"\blikewise\b": "in the same way; or say it again",
    r"\banew\b": "again",
    r"\b(?:some|no)body\b": "the process, the caller, no process",
    r"\bfurnish(?:es|ed|ing)?\b": "patch, provide",
    r"\bheeds?\b": "follow, obey",
    r"\bits kin\b": "similar calls",
    r"\bhas [\w`]+ called\b": "calls",
    r"\bin its turn\b": "leave it out",
    r"\bmade known\b": "delivered",
    r"\btravels?\b": "is sent",
    r"\b(?:small|common|same) face\b": "interface",
    r"\b(?:gives?|given|hands?) (?:it|them) back\b": "return, free",
}

# (file, idiom) that is not ours to change, with the reason.
ALLOWED: dict[tuple[str, str], str] = {}


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a file, each with its line."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def _begins(text: str) -> str:
    return re.split(r"[^A-Za-z]", text, maxsplit=1)[0]


@pytest.mark.parametrize(
    ("text", "bad"), [("What it is.", True), ("Whatever it is.", False), ("Return it.", False)]
)
def test_a_question_is_recognised(text: str, bad: bool) -> None:
    assert (_begins(text) in _QUESTIONS) is bad


def test_no_docstring_begins_as_a_question() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in _docstrings(path)
        if _begins(text) in _QUESTIONS
    ]
    assert not found, "begin with a noun phrase or an imperative:\n" + "\n".join(found)


def test_plain_words() -> None:
    found = []
    for path in [*SOURCES, *PAGES]:
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for idiom, better in IDIOMS.items():
                if (name, idiom) not in ALLOWED and (hit := re.search(idiom, line, re.IGNORECASE)):
                    found.append(f"{name}:{number}: {hit[0]!r}; better: {better}")
    assert not found, "\n".join(found)


def test_every_exception_is_needed() -> None:
    for (name, idiom), reason in ALLOWED.items():
        assert reason, (name, idiom)
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.search(idiom, text, re.IGNORECASE), f"{name} has no {idiom} any more"
