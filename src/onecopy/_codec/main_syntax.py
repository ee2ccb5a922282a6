"""The syntax tree of a main module: its guard, its calls that start workers, the names it binds."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator

# Calls that start workers: if one of them is outside the guard, an import would start workers.
_STARTS = frozenset({"Pool", "ProcessPoolExecutor", "Parallel"})


def parse(path: str) -> ast.Module | None:
    """Return the tree of a file; None if it has no source."""
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


def guards(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of each part under a guard."""
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            last = statement.body[-1]
            yield statement.lineno, last.end_lineno or last.lineno


def unguarded(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when the module is imported."""
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


def starts_workers(statement: ast.stmt) -> bool:
    """Return True for a statement that calls a pool's class."""
    for node in _inside(statement):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in _STARTS:
                return True
    return False


def bound(statement: ast.stmt) -> Iterator[str]:
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


def makes_functions(tree: ast.Module) -> bool:
    """Return True if the module has functions that an import does not give: lambdas, and functions
    defined in others or under the guard."""
    lines = list(guards(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if any(first <= node.lineno <= last for first, last in lines):
            return True
        inner = (each for each in ast.walk(node) if each is not node)
        if any(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in inner):
            return True
    return False
