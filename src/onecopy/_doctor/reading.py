"""The places where the main process reads a variable that workers have changed, by the source.

Read from what the script does is: its own statements, and the functions that these come to, by their
names, other than through those that workers run. What a worker's function reads is its own copy, and may
be a cache. The variable is one of a module (``found``, ``settings.SEEN``), or an attribute of a class, or
of an object, that a module has (``Stats.done``).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import source
from .history import NOWHERE, Site

_CHANGING = frozenset(
    ("append", "extend", "insert", "add", "update", "setdefault", "appendleft", "subtract")
)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Names = ast.Name | ast.Attribute


class Reading(NamedTuple):
    """The place where it is read once workers are at work, and whether the main process changes its own
    copy then, too."""

    site: Site
    changed: bool


class _Place(NamedTuple):
    """A name or attribute, what it is a part of, and whether it comes when workers are at work, for all
    that is known."""

    file: str
    node: Names
    around: ast.AST
    late: bool


def by_main(file: str, name: str, functions: Iterable[str], started: Site) -> Reading | None:
    """Look for it in the script and in ``file``, whose module has it; None: it is not read.

    ``functions``: those that workers run. ``started``: the place where workers are started.
    """
    found, changed = NOWHERE, False
    workers = {each.rpartition(".")[2] for each in functions}
    for each in _reached(file, workers, started):
        if not each.late or not _is(each.node, name):
            continue
        if _changes(each):
            changed = True
        elif isinstance(each.node.ctx, ast.Load) and not found.file:
            found = Site(each.file, each.node.lineno, "")
    return Reading(found, changed) if found.file else None


def _is(node: Names, name: str) -> bool:
    *before, last = name.split(".")
    if isinstance(node, ast.Name):
        # ``from settings import SEEN``: what a class has cannot be named so.
        return node.id == last and (not before or before[-1][:1].islower())
    owner = node.value
    if not before or node.attr != last or not isinstance(owner, Names):
        return False
    return (owner.id if isinstance(owner, ast.Name) else owner.attr) in (before[-1], "self", "cls")


def _changes(place: _Place) -> bool:
    """``name.append(...)``, ``name[...] = ...``, ``name += ...`` and alike."""
    node, around = place.node, place.around
    if isinstance(around, ast.Attribute):
        return around.attr in _CHANGING
    if isinstance(around, ast.Subscript) and around.value is node:
        return not isinstance(around.ctx, ast.Load)
    return isinstance(around, ast.AugAssign) and around.target is node


def _reached(file: str, workers: set[str], started: Site) -> Iterator[_Place]:
    """All names that the main process comes to: in the script's statements, and in functions."""
    functions: dict[str, list[tuple[str, Function]]] = defaultdict(list)
    for each in dict.fromkeys((started.file, file)):
        tree = source.tree_of(each)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, Function) and node.name not in workers:
                functions[node.name].append((each, node))
    script = source.tree_of(started.file)
    pending: list[tuple[str, ast.AST, bool]] = []
    if script is not None:
        pending.append((started.file, script, True))
    seen: set[tuple[str, bool]] = set()
    while pending:
        where, top, late = pending.pop(0)
        title = top.name if isinstance(top, Function) else "<module>"
        mine = where == started.file and title == started.function.rpartition(".")[2]
        for node, around in _names(top, workers):
            after = node.lineno > started.line if mine else late
            yield _Place(where, node, around, after)
            called = node.id if isinstance(node, ast.Name) else node.attr
            if called in functions and (called, after) not in seen:
                seen.add((called, after))
                pending += [(*each, after) for each in functions[called]]


def _names(top: ast.AST, workers: set[str]) -> Iterator[tuple[Names, ast.AST]]:
    """Names in a function, or in a module outside of its functions, each with what it is a part of."""
    inside = isinstance(top, Function)
    pending = [top]
    while pending:
        around = pending.pop(0)
        for node in ast.iter_child_nodes(around):
            if isinstance(node, Function) and (not inside or node.name in workers):
                continue
            if isinstance(node, Names):
                yield node, around
            pending.append(node)
