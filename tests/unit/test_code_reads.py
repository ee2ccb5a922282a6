"""The names that code looks up, from its bytecode."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest

from onecopy._codec.code_reads import Reads, reads_of


def of(source: str) -> Reads:
    """The reads of the function `f` in `source`."""
    names: dict[str, Any] = {}
    exec(source, names)
    function = names["f"]
    assert isinstance(function, FunctionType)
    return reads_of(function.__code__)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("return TABLE[0]", ("TABLE",)),
        ("return settings.CONFIG['a']", ("settings", "CONFIG")),
        ("return a.b.c.d", ("a", "b", "c", "d")),
        ("work.queue.put(1)", ("work", "queue", "put")),
        ("settings.LEVEL = 3", ("settings", "LEVEL")),
        ("del settings.LEVEL", ("settings", "LEVEL")),
        ("global N\n N = 1", ("N",)),
        ("global N\n N += 1", ("N",)),
        ("return [X + i for i in range(3)]", ("X",)),
        ("return (lambda: Y.z)()", ("Y", "z")),
        ("def g():\n  return DEEP\n return g", ("DEEP",)),
        ("class C:\n  x = IN_CLASS\n return C", ("IN_CLASS",)),
        ("return f'{TEXT!r:>{WIDTH}}'", ("WIDTH",)),
        ("with LOCK:\n  pass", ("LOCK",)),
        ("return call(KEY, *ARGS, k=VALUE)", ("VALUE",)),
    ],
)
def test_a_global_name_and_what_follows_it(body: str, path: tuple[str, ...]) -> None:
    assert path in of(f"def f(x):\n {body}").paths


def test_local_names_are_no_reads() -> None:
    assert of("def f(x):\n y = x.attribute\n return y").paths == frozenset()


@pytest.mark.parametrize(
    ("body", "imported"),
    [
        ("import json", ("json", 0, ())),
        ("import os.path as p", ("os.path", 0, ())),
        ("from json import dumps, loads", ("json", 0, ("dumps", "loads"))),
        ("from . import a", ("", 1, ("a",))),
        ("from ..b.c import D", ("b.c", 2, ("D",))),
    ],
)
def test_an_import_inside(body: str, imported: tuple[str, int, tuple[str, ...]]) -> None:
    assert imported in of(f"def f(x):\n {body}").imports


def test_attributes_of_whatever_object() -> None:
    assert {"factor", "scale"} <= of("def f(self):\n self.factor = self.scale").attributes


def test_it_is_looked_at_once() -> None:
    def function() -> None: ...

    code = function.__code__
    assert reads_of(code) is reads_of(code)
