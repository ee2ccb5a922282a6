"""The doctor's command line read without Typer, whose import takes longer than most of a run's rest.

Only what is plain is read: known options, each with its value as a word of its own. All else, help
and mistakes included, is left to Typer (see ``doctor``), which has the same options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ._doctor_run import Level, Wishes

_Read = Callable[[str], Any]


def _duration(word: str) -> float:
    value = float(word)
    if not 0 <= value < math.inf:
        raise ValueError(word)
    return value


# Fields of Wishes; options without a reader are switches.
OPTIONS: dict[str, tuple[str, _Read | None]] = {
    "--report": ("reports", str),
    "--json": ("json", str),
    "--record": ("record", str),
    "--explain": ("explain", str),
    "--python": ("python", str),
    "--all": ("everything", None),
    "--quiet": ("quiet", None),
    "--keep": ("keep", None),
    "--no-memory": ("no_memory", None),
    "--stop-after": ("stop_after", _duration),
    "--fail-on": ("fail_on", Level),
}


def read(words: Sequence[str]) -> Wishes | None:
    """Return what the words behind ``onecopy doctor`` wish for; None: Typer has to read them."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-") or word in ("-m", "-c", "--"):
            return Wishes(words=tuple(words[at:]), **found)
        if word not in OPTIONS:
            return None
        field, reader = OPTIONS[word]
        if reader is None:
            found[field] = True
            at += 1
            continue
        if at + 1 >= len(words):
            return None
        try:
            value = reader(words[at + 1])
        except ValueError:
            return None
        found[field] = (*found.get(field, ()), value) if field == "reports" else value
        at += 2
    return Wishes(**found) if "explain" in found else None
