"""Measures the statements of the main module, to find slow or memory-hungry ones in workers.

Imports of other modules are not counted: workers need those.

From Python 3.12 on the interpreter reports each line of the module's own code, and of no other, by
``sys.monitoring`` (PEP 669). Before, it has trace functions only, and while there is one all other
modules are imported a third slower as well; so the statements are compiled and run one by one.

A line costs a fraction of a microsecond; the size of the process is read only if the line before
took a millisecond.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter_ns
from types import CodeType
from typing import Any, NamedTuple

from .._system.procfs import anonymous

# Slower imports are reported.
_SECONDS = 2.0
_BYTES = 200_000_000
_WORTH_A_LOOK_NS = 1_000_000
_TOOL = 4  # not a number of a known tool (PEP 669)


class SlowImport(NamedTuple):
    """The cost of an import, and the statement that caused most of it.

    Attributes:
        line: the statement's first line.
        milliseconds: the time, without imports of other modules.
        nbytes: the growth of the process in that time.
    """

    line: int
    milliseconds: int
    nbytes: int


class ImportWatch:
    """Runs a module's source and measures its lines."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._line = 0
        self._since = 0
        self._size = 0
        self._took: dict[int, int] = {}
        self._grew: dict[int, int] = {}

    def run(self, source: bytes, path: str, names: dict[str, Any]) -> SlowImport | None:
        """Execute a module's source in ``names``; return its cost, if that was high. Raises its
        errors."""
        began, before = perf_counter_ns(), anonymous(self._pid)
        self._since, self._size = began, before
        if sys.version_info >= (3, 12):
            self._monitored(compile(source, path, "exec", dont_inherit=True), names)
        elif sys.gettrace() is None:
            for line, code in _compiled(source, path):
                self._begin(line)
                exec(code, names)
        else:  # a debugger, or a coverage measurement
            exec(compile(source, path, "exec", dont_inherit=True), names)
        self._begin(0)
        took, grew = perf_counter_ns() - began, anonymous(self._pid) - before
        if took < _SECONDS * 1e9 and grew < _BYTES:
            return None
        took_by, grew_by = _statements(source, self._took), _statements(source, self._grew)
        took, grew = sum(took_by.values()), sum(grew_by.values())
        if took >= _SECONDS * 1e9:
            line = max(took_by, key=took_by.__getitem__)
        elif grew >= _BYTES:
            line = max(grew_by, key=grew_by.__getitem__)
        else:
            return None
        return SlowImport(line, took // 1_000_000, max(0, grew))

    def _begin(self, line: int) -> None:
        now = perf_counter_ns()
        took = now - self._since
        if took > _WORTH_A_LOOK_NS:
            size = anonymous(self._pid)
            self._grew[self._line] = self._grew.get(self._line, 0) + size - self._size
            self._size = size
        self._took[self._line] = self._took.get(self._line, 0) + took
        self._line, self._since = line, perf_counter_ns()

    def _monitored(self, code: CodeType, names: dict[str, Any]) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        line = monitoring.events.LINE
        monitoring.use_tool_id(_TOOL, "onecopy")
        try:
            monitoring.register_callback(_TOOL, line, lambda _, number: self._begin(number))
            monitoring.set_local_events(_TOOL, code, line)
            exec(code, names)
        finally:
            monitoring.free_tool_id(_TOOL)


def _compiled(source: bytes, path: str) -> list[tuple[int, CodeType]]:
    """Return the statements of a module compiled one by one, each with its line. The names that
    they set, their line numbers and their errors are those of the module compiled as a whole."""
    import __future__

    import _ast  # the part of ``ast`` that is written in C, and loaded at once

    tree: Any = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    found, flags = [], 0
    for at, statement in enumerate(tree.body):
        value = getattr(statement, "value", None)
        if at and isinstance(statement, _ast.Expr) and isinstance(value, _ast.Constant):
            continue  # a text would be the docstring, as the first statement of its code
        alone = _ast.Module(body=[statement], type_ignores=[])
        found.append((statement.lineno, compile(alone, path, "exec", flags, dont_inherit=True)))
        if isinstance(statement, _ast.ImportFrom) and statement.module == "__future__":
            for feature in statement.names:
                flags |= getattr(__future__, feature.name).compiler_flag
    return found


def _statements(source: bytes, cost: dict[int, int]) -> dict[int, int]:
    """Return the costs of lines, added up by top-level statement.

    Statements that import modules are left out: workers need those modules, and importing them
    elsewhere gains nothing.
    """
    import ast  # for a slow import alone

    costs: dict[int, int] = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
            costs[statement.lineno] = sum(cost.get(line, 0) for line in lines)
    return costs
