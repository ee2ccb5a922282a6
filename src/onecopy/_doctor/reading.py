"""The variables of modules that are read, by the source: by main, of those that workers have changed;
and by workers, of those that main has set.

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
    """A name or attribute, the function with it, what it is a part of, whether it comes when workers are at
    work, for all that is known, and whether in the function that starts them."""

    file: str
    scope: str
    node: Names
    around: ast.AST
    late: bool
    mine: bool


def by_main(file: str, name: str, functions: Iterable[str], started: Site) -> Reading | None:
    """Look for it in the script and in ``file``, whose module has it; None: it is not read.

    ``functions``: those that workers run. ``started``: the place where workers are started.
    """
    found, changed = NOWHERE, False
    workers = {each.rpartition(".")[2] for each in functions}
    places = [each for each in _reached(file, workers, started) if _is(each.node, name)]
    # A function that sets what it reads makes it when it is first asked for, in each process.
    makers = {
        (each.file, each.scope)
        for each in places
        if each.scope and not each.mine and not isinstance(each.node.ctx, ast.Load)
    }
    for each in places:
        if not each.late:
            continue
        if _changes(each) or (each.file, each.scope) in makers:
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
            scope = title if isinstance(top, Function) else ""
            yield _Place(where, scope, node, around, after, mine)
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


class Read(NamedTuple):
    """A variable that a worker's function reads: the place, and the module that has it."""

    site: Site
    file: str


def by_worker(files: dict[str, str], function: str) -> dict[str, Read]:
    """The variables of modules that a function reads, or one that it calls, by name, as
    ``settings.LIMIT``; those of the main module, whose name is '', by themselves.

    ``files``: the modules' files. ``function`` is a qualified name; its last part is looked for.
    Without names that one of these functions sets or changes itself, as a cache is, and without those
    of functions.
    """
    functions: dict[str, list[tuple[str, Function]]] = defaultdict(list)
    for module, file in files.items():
        tree = source.tree_of(file)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, Function):
                functions[node.name].append((module, node))
    found: dict[str, Read] = {}
    reached: set[str] = set()
    wanted = [function.rpartition(".")[2]]
    while wanted:
        name = wanted.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        for module, node in functions[name]:
            for home, title, line in _read_in(files, module, node):
                key = f"{home}.{title}" if home else title
                read = Read(Site(files[module], line, name), files[home])
                found.setdefault(key, read)
                wanted.append(title)
    return {
        name: read
        for name, read in found.items()
        if name.rpartition(".")[2] not in functions and not _set_by(reached, name, read.file)
    }


def _set_by(functions: set[str], name: str, file: str) -> bool:
    tree = source.tree_of(file)
    last = name.rpartition(".")[2]
    return tree is not None and bool(functions & source.functions_that_change(tree, last))


def _read_in(
    files: dict[str, str], module: str, function: Function
) -> Iterator[tuple[str, str, int]]:
    """The module, name and line of each variable of a module that a function reads."""
    known = _modules_of(files[module])
    free = _free_names(function)
    for title, line in free.items():
        yield module, title, line
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            home = known.get(node.value.id, "")
            if node.value.id in free and home in files and home:
                yield home, node.attr, node.lineno


def _modules_of(file: str) -> dict[str, str]:
    """The names by which a file knows modules, and the last part of each one's own name."""
    tree = source.tree_of(file)
    found = {}
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            for each in node.names:
                found[each.asname or each.name] = each.name.rpartition(".")[2]
    return found


def known_as(file: str, name: str) -> str:
    """``settings.LIMIT`` as a file says it, which may know the module by another name."""
    home, dot, last = name.rpartition(".")
    names = [title for title, module in _modules_of(file).items() if module == home]
    return f"{names[0] if names else home}{dot}{last}" if home else name


def is_set(files: dict[str, str], name: str) -> bool:
    """Return True if a function, or code under the guard on ``__name__``, sets or changes a variable."""
    home, _, last = name.rpartition(".")
    if source.set_under_the_guard(files.get(home, ""), last):
        return True
    for file in files.values() if home else ():
        known, tree = _modules_of(file), source.tree_of(file)
        for node in ast.walk(tree) if tree is not None else ():
            if (
                isinstance(node, ast.Attribute)
                and node.attr == last
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and known.get(node.value.id) == home
            ):
                return True
    return False


def _free_names(function: Function) -> dict[str, int]:
    """The names that a function reads and does not bind, and the line of the first reading."""
    arguments = function.args
    bound = {each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    bound |= {each.arg for each in (arguments.vararg, arguments.kwarg) if each is not None}
    read: dict[str, int] = {}
    for node in (each for part in function.body for each in ast.walk(part)):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                read.setdefault(node.id, node.lineno)
            else:
                bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return {name: at for name, at in read.items() if name not in bound}
