"""The statement of a main module that costs most when workers import it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from onecopy._protocol import import_watch
from onecopy._protocol.import_watch import ImportWatch, SlowImport

SOURCE = b"""import slow_module
x = 1
tick(
    5,
)
for i in range(3):
    tick(4)
table = grow(7)
"""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a module's code under a clock and a size that only ``tick`` and ``grow`` move."""
    now, size = [0], [1000]

    def tick(milliseconds: int) -> None:
        now[0] += milliseconds * 1_000_000

    def grow(nbytes: int) -> None:
        tick(2)
        size[0] += nbytes

    monkeypatch.setattr(import_watch, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(import_watch, "anonymous", lambda pid: size[0])

    def watch(source: bytes, seconds: float, nbytes: int) -> SlowImport | None:
        monkeypatch.setattr(import_watch, "_SECONDS", seconds)
        monkeypatch.setattr(import_watch, "_BYTES", nbytes)
        names: dict[str, Any] = {"tick": tick, "grow": grow}
        found = ImportWatch().run(source, "program.py", names)
        assert names["x"] == 1
        return found

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name == "slow_module":
                tick(1000)
                return sys.modules["types"].__spec__
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    yield watch
    sys.modules.pop("slow_module", None)


def test_the_longest_statement(watch: Any) -> None:
    assert watch(SOURCE, 0.010, 1 << 40) == SlowImport(6, 19, 7)


def test_the_one_that_takes_most_memory(watch: Any) -> None:
    assert watch(SOURCE, 10, 5) == SlowImport(8, 19, 7)


def test_little_is_not_told(watch: Any) -> None:
    assert watch(SOURCE, 10, 1 << 40) is None


def test_imports_do_not_count(watch: Any) -> None:
    assert watch(SOURCE, 0.5, 1 << 40) is None


def test_what_the_module_raises(watch: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        watch(b"x = 1\n1 / 0\n", 1, 1)
    assert sys.gettrace() is None or sys.version_info >= (3, 12)


WHOLE = b'''"""The docstring."""
from __future__ import annotations
import sys
"""Not the docstring."""
trace = sys.gettrace()
first: Unknown = 1
second: int

@staticmethod
def function(x: Unknown) -> list[Unknown]:
    return x

class Class:
    """Of the class."""
    field: Unknown = 3

if first:
    third = [first for _ in range(2)]
"""Nor this."""
place = function.__wrapped__.__code__.co_firstlineno
'''


def run(source: bytes) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "there"}
    ImportWatch().run(source, "there.py", names)
    return names


def test_the_module_is_as_if_it_was_not_measured() -> None:
    names: dict[str, Any] = {"__name__": "there"}
    exec(compile(WHOLE, "there.py", "exec"), names)
    found = run(WHOLE)
    assert set(found) == set(names)
    same = ("__doc__", "__annotations__", "first", "third", "place")
    assert [found.get(name) for name in same] == [names.get(name) for name in same]
    for name in ("function", "Class"):
        assert found[name].__annotations__ == names[name].__annotations__
    assert found["Class"].__doc__ == "Of the class."
    assert run(b"from __future__ import annotations\n'text'\n").get("__doc__") is None


def test_other_modules_are_imported_without_a_trace_function() -> None:
    assert run(WHOLE)["trace"] is sys.gettrace()


def test_errors_have_their_lines() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(b"x = 1\n\n1 / (\n  x - 1)\n")
    last = caught.traceback[-1]
    assert (last.name, last.lineno + 1, str(last.path).endswith("there.py")) == (
        "<module>",
        3,
        True,
    )
    with pytest.raises(SyntaxError) as refused:
        run(b"seen = print\nseen(\n")
    assert refused.value.lineno == 2
