"""The library's messages in the words of the command line: ``--sep`` for ``sep=``.

A message of ``load`` says which of its arguments helps, as a program writes it. Here the user has
typed options. Text within quotes is the user's (names, values, rows) and stays as it is.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

from ..errors import printable
from ._reading import OPTIONS

# The names that the library's messages use, and the options; with the other arguments of ``run``
# and ``convert`` that have one.
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in OPTIONS} | {
    **{"format": "--from", "source": "--from", "target": "--to"},
    **{"reduce": "--reduce", "block": "--block", "method": "--method", "cluster": "--cluster"},
    **{"timeout": "--timeout", "memory_limit": "--memory-limit", "retries": "--retries"},
}
_TEXT = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
_VALUE = rf"{_TEXT}|\{{(?:{_TEXT}|[^}}'\"])*\}}|True\b|False\b|-?\d+\b"
# What is quoted; or an argument, with its value if it has one. ``name=...`` is a folder's key.
_ARGUMENT = re.compile(
    rf"(?<!\w)b?(?:{_TEXT})(?!\w)|(?<![\w.-])(?<!\w\()({'|'.join(_OPTIONS)})=(?!\.\.\.)({_VALUE})?(:?)"
)


def in_options(message: str, *words: str) -> str:
    """Return a message of the library with the options of the command line.

    Args:
        message: one that the library's own code has made.
        words: arguments that it names without an equals sign.
    """
    if words:
        message = re.sub(rf"(?<![\w.])({'|'.join(words)})\b", lambda it: _OPTIONS[it[1]], message)
    return _ARGUMENT.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    name, value, colon = found.groups()
    if name is None:
        return found[0]
    option = _OPTIONS[name]
    # What was wrong with a value comes after a colon: it is shown exactly, as everywhere.
    if value is None or (colon and value[0] != "{"):
        return f"{option}{(value and f' {value}') or ''}{colon}"
    return _typed(option, ast.literal_eval(value)) + colon


def _typed(option: str, value: Any) -> str:
    """Return an option with a value, as it is typed."""
    if isinstance(value, bool):
        return option if value else option.replace("--", "--no-", 1)
    if isinstance(value, Mapping):
        parts = (
            f"{key}={'TYPE' if isinstance(each, EllipsisType) else each}"
            for key, each in value.items()
        )
        return " ".join(f"{option} {shlex.quote(part)}" for part in parts)
    return f"{option} {shlex.quote(str(value))}"


def say(notes: Any) -> None:
    """Print the messages about files that were read, to standard error.

    Args:
        notes: ``Wanted.notes``.
    """
    for line in notes.lines():
        print(f"onecopy: {printable(in_options(line))}", file=sys.stderr)
    for row in notes.bad_rows:
        text = f"{row.file!r}: row {row.row} left out: {row.reason}: {row.text!r}"
        print(f"onecopy: {printable(text)}", file=sys.stderr)
