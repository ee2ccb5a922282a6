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
        code = compile(source, "program.py", "exec")
        found = ImportWatch().run(code, source, names)
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
