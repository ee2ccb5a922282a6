"""The program's main module: whether workers can import it, and which names it defines.

It can be imported if it is a file (or was run with ``-m``), has an ``if __name__ == "__main__":``
guard, and starts no workers outside it. Guard and calls are found in its syntax tree, before
anything is run. Otherwise the parts that functions need are sent by value. The import itself, in
workers, is in ``_protocol.preparation``.
"""

from __future__ import annotations

import ast
import os
import sys
import tokenize
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .homes import MAIN_NAMES, is_user_file

# Calls that start workers: if one of them is outside the guard, an import would start workers.
_STARTS = frozenset({"Pool", "ProcessPoolExecutor", "Parallel"})


@dataclass(frozen=True)
class MainModule:
    """A main module that workers can import.

    Attributes:
        path: its file.
        name: its name if it was run with ``-m``, or None.
        bound: the names that its code binds outside the guard.
        guarded: first and last line of each part under a guard.
    """

    path: str
    name: str | None
    bound: frozenset[str]
    guarded: tuple[tuple[int, int], ...]

    def defines(self, name: str, value: Any) -> bool:
        """Return True if an import gives this very definition under its own name.

        Args:
            name: a global name of the main module.
            value: a function, a class, or a wrapper of one.
        """
        if name not in self.bound:
            return False
        line = _first_line(value, self.path)
        return line is None or not any(first <= line <= last for first, last in self.guarded)


def importable_main(*, forced: bool = False) -> MainModule | None:
    """Return the main module, if workers can import it; None if it must be sent by value.

    Args:
        forced: import it even if it has no guard, or starts workers outside it.

    Raises:
        ValueError: ``forced``, and there is no file to import.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    spec = getattr(main, "__spec__", None)
    path = os.path.abspath(file) if isinstance(file, str) else ""
    tree = _parse(path)
    if tree is None:
        if forced:
            raise ValueError(
                'main="import" needs a main module that is a Python file; this program has '
                'none: use main="auto"'
            )
        return None
    guarded = tuple(_guards(tree))
    name = getattr(spec, "name", None)
    if name in MAIN_NAMES:  # a directory or an archive that was run, or a worker's own main module
        name = None
    if not forced and (
        not guarded
        or any(_starts_workers(statement) for statement in _unguarded(tree))
        # A tool that runs the program: its own functions are imported by name.
        or (name is not None and name.endswith(".__main__") and not is_user_file(path))
    ):
        return None
    bound = frozenset(name for statement in _unguarded(tree) for name in _bound(statement))
    return MainModule(path, name, bound, guarded)


_looked_at: tuple[Any, MainModule | None] = (None, None)


def main_module() -> MainModule | None:
    """Return ``importable_main()``, computed once for each main module. Thread-safe."""
    global _looked_at
    main = sys.modules["__main__"]
    known, found = _looked_at
    if known is not main:
        found = importable_main()
        _looked_at = (main, found)
    return found


def _parse(path: str) -> ast.Module | None:
    try:
        with tokenize.open(path) as file:
            return ast.parse(file.read(), path)
    except (OSError, SyntaxError, ValueError, UnicodeDecodeError):
        return None  # an archive, compiled code, or no file at all


def _is_guard(test: ast.expr) -> bool:
    """Return True for ``__name__ == "__main__"``, alone or with other conditions."""
    if isinstance(test, ast.BoolOp):
        return isinstance(test.op, ast.And) and any(map(_is_guard, test.values))
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return False
    sides = (test.left, test.comparators[0])
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return isinstance(test.ops[0], ast.Eq) and names == ["__name__"] and texts == ["__main__"]


def _guards(tree: ast.Module) -> Iterator[tuple[int, int]]:
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            last = statement.body[-1]
            yield statement.lineno, last.end_lineno or last.lineno


def _unguarded(tree: ast.Module) -> Iterator[ast.stmt]:
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            yield from statement.orelse
        else:
            yield statement


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when ``node`` does: not the bodies of functions that it defines."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _inside(child)


def _starts_workers(statement: ast.stmt) -> bool:
    for node in _inside(statement):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in _STARTS:
                return True
    return False


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in the module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in _inside(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name


def _first_line(value: Any, path: str) -> int | None:
    """Return the first line of a function or class of the file ``path``; None if unknown."""
    seen: set[int] = set()
    while id(value) not in seen and hasattr(value, "__wrapped__"):
        seen.add(id(value))
        value = value.__wrapped__
    if isinstance(value, type):
        line = value.__dict__.get("__firstlineno__")  # Python 3.13 and later
        if isinstance(line, int):
            return line
        functions = [part for part in vars(value).values() if isinstance(part, types.FunctionType)]
        return min((line for f in functions if (line := _first_line(f, path))), default=None)
    code = getattr(value, "__code__", None)
    # The last part alone: a script's code has its name as it was given, which may be relative to a
    # directory that the program has left.
    if code is None or os.path.basename(code.co_filename) != os.path.basename(path):
        return None
    return int(code.co_firstlineno)
