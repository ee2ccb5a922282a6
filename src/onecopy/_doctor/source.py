"""The program's own source: the call at a place, and how it would read when changed."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from .history import Site


@lru_cache(maxsize=64)
def lines_of(file: str) -> tuple[str, ...]:
    """Its lines; none when it cannot be read (code of ``-c``, a file that is gone)."""
    try:
        return tuple(Path(file).read_text("utf-8", "replace").splitlines())
    except OSError:
        return ()


@lru_cache(maxsize=64)
def tree_of(file: str) -> ast.Module | None:
    """Its syntax tree."""
    try:
        return ast.parse("\n".join(lines_of(file)))
    except (SyntaxError, ValueError):
        return None


def line(site: Site) -> str:
    """The line at a place, without its indent."""
    lines = lines_of(site.file)
    return lines[site.line - 1].strip() if 0 < site.line <= len(lines) else ""


def name_of(call: ast.Call) -> str:
    """The name of the called function: its last part."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def call_at(site: Site, names: Iterable[str]) -> ast.Call | None:
    """The smallest call of one of these names that the line is a part of."""
    tree, wanted = tree_of(site.file), set(names)
    if tree is None:
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and name_of(node) in wanted
        and node.lineno <= site.line <= (node.end_lineno or node.lineno)
    ]
    return min(found, key=lambda node: (node.end_lineno or 0) - node.lineno, default=None)


def text_of(site: Site, node: ast.AST) -> str:
    """A node as it is written, on one line."""
    whole = ast.get_source_segment("\n".join(lines_of(site.file)), node)
    return " ".join((whole or ast.unparse(node)).split())


def with_keyword(site: Site, call: ast.Call, name: str, value: str) -> tuple[str, str]:
    """The statement's line before and after ``name=value`` has been put into the call."""
    return with_keywords(site, call, {name: value})


def with_keywords(site: Site, call: ast.Call, values: dict[str, str]) -> tuple[str, str]:
    """The same with several."""
    changed = ast.parse(ast.unparse(call), mode="eval").body
    assert isinstance(changed, ast.Call)
    rest = [each for each in changed.keywords if each.arg not in values]
    more = [ast.keyword(name, ast.parse(value, mode="eval").body) for name, value in values.items()]
    changed.keywords = [*rest, *more]
    return replaced(site, call, ast.unparse(changed))


def replaced(site: Site, node: ast.expr, text: str) -> tuple[str, str]:
    """The line of ``node`` before and after it is ``text``; of several lines, the node alone."""
    before = line(Site(site.file, node.lineno, ""))
    segment = ast.get_source_segment("\n".join(lines_of(site.file)), node)
    if segment and node.lineno == node.end_lineno and segment in before:
        return before, before.replace(segment, text, 1)
    return text_of(site, node), text


def import_of(file: str, name: str) -> tuple[int, str] | None:
    """The import that makes ``name`` known in a file: its line's number, and text."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            for each in node.names:
                if (each.asname or each.name.partition(".")[0]) == name or each.name == name:
                    return node.lineno, line(Site(file, node.lineno, ""))
    return None


def assigned_call(file: str, name: str) -> tuple[str, ast.Call] | None:
    """The first ``variable = something.name(...)`` of a file: the variable, and the call."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr == name
        ):
            return node.targets[0].id, node.value
    return None


def after_assignment(site: Site, name: str) -> int:
    """The number of the line that follows the last ``name = ...`` before a place, in the same function; 0
    where there is none."""
    tree = tree_of(site.file)
    if tree is None:
        return 0
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    def function_of(number: int) -> ast.AST | None:
        around = [each for each in functions if each.lineno <= number <= (each.end_lineno or 0)]
        return max(around, key=lambda each: each.lineno, default=None)

    found = [
        node.end_lineno or node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == name for each in node.targets)
        and (node.end_lineno or node.lineno) < site.line
        and function_of(node.lineno) is function_of(site.line)
    ]
    return max(found) + 1 if found else 0


def enclosing_loop(site: Site) -> ast.For | ast.While | None:
    """The innermost loop whose body has the line."""
    tree = tree_of(site.file)
    if tree is None:
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.For | ast.While)
        and node.lineno <= site.line <= (node.end_lineno or node.lineno)
    ]
    return min(found, key=lambda node: (node.end_lineno or 0) - node.lineno, default=None)


def loaded_elsewhere(file: str, name: str) -> int:
    """The line at which a module's variable is read outside of functions that change it.

    0: nowhere. Methods called on it and places that are assigned to count as changing it.
    """
    tree = tree_of(file)
    if tree is None:
        return 0
    passed: set[ast.AST] = set()
    changing = _functions_that_change(tree, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in changing:
            passed.update(ast.walk(node))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Name)
            and node.id == name
            and isinstance(node.ctx, ast.Load)
            and node not in passed
            and not _only_changes(tree, node)
        ):
            return node.lineno
    return 0


_CHANGING = ("append", "extend", "insert", "add", "update", "setdefault", "clear", "appendleft")


def _functions_that_change(tree: ast.Module, name: str) -> set[str]:
    found = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == name:
                declared = any(
                    isinstance(each, ast.Global) and name in each.names
                    for each in ast.walk(function)
                )
                stored = isinstance(node.ctx, ast.Store) and declared
                if stored or _only_changes(function, node):
                    found.add(function.name)
    return found


def _only_changes(tree: ast.AST, name: ast.Name) -> bool:
    """Return True if the name is used as ``name.append(...)``, ``name[...] = ...`` or alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.value is name and node.attr in _CHANGING:
            return True
        if isinstance(node, ast.Subscript) and node.value is name:
            return isinstance(node.ctx, ast.Store | ast.Del)
    return False


def globals_read(file: str, function: str) -> dict[str, int]:
    """The names of the module that a function reads, or one that it calls, and the line of each.

    ``function`` is a qualified name; its last part is looked for. Without names that one of these
    functions sets or changes itself, as a cache is, and without those of functions and classes.
    """
    tree = tree_of(file)
    if tree is None:
        return {}
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found: dict[str, int] = {}
    reached: set[str] = set()
    wanted = [function.rpartition(".")[2]]
    while wanted:
        name = wanted.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        for title, at in _free_names(functions[name]).items():
            found.setdefault(title, at)
            wanted.append(title)
    changed = {name for name in found if reached & _functions_that_change(tree, name)}
    return {name: at for name, at in found.items() if name not in changed | set(functions)}


def set_by_functions(file: str, name: str) -> bool:
    """Return True if a function of the file sets or changes a module's variable."""
    tree = tree_of(file)
    return tree is not None and bool(_functions_that_change(tree, name))


def set_under_the_guard(file: str, name: str) -> bool:
    """Return True if a variable is set or changed where not every process does it.

    That is under a condition on ``__name__``, or by a function.
    """
    tree = tree_of(file)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            mine = [
                each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id == name
            ]
            if any(isinstance(each.ctx, ast.Store) or _only_changes(node, each) for each in mine):
                return True
    return set_by_functions(file, name)


def _free_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, int]:
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


_TAKES_ITERATORS = ("sum", "min", "max", "any", "all", "set", "list", "sorted", "enumerate", "zip")


def is_taken_one_by_one(file: str, call: ast.Call) -> bool:
    """Return True if what a call gives is only iterated over: an iterator does as well there."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.For | ast.comprehension) and node.iter is call:
            return True
        if isinstance(node, ast.Call) and call in node.args:
            return name_of(node) in _TAKES_ITERATORS
    return False
