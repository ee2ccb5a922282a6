"""Calls that a program makes again and again: the loop, or comprehension, around a call.

The call may be in a function of its own, which the loop calls: then what the loop gives to it takes the
place of the function's parameters. Changes are shown as comprehensions, which take one line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from . import source
from .finding import Line
from .history import Site

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class Repeat(NamedTuple):
    """The repetition of a call.

    Attributes:
        head: ``for x in xs if x``.
        target, items: ``x``, ``xs``; '' where there are several, or a condition.
        loop: the statement, or the comprehension.
        call: the call in it: the one that was asked for, or that of the function which has that.
        function: that function, or None.
    """

    head: str
    target: str
    items: str
    loop: ast.For | _Comprehension
    call: ast.Call
    function: _Function | None


def of(site: Site, call: ast.Call) -> Repeat | None:
    """The loop around a call, or around the calls of the function that holds it."""
    found = _around(site.file, call)
    if found is not None:
        return Repeat(*found, call, None)
    function = function_of(site.file, call.lineno)
    for each in source.calls(site.file, function.name) if function is not None else ():
        found = _around(site.file, each)
        if found is not None:
            return Repeat(*found, each, function)
    return None


def _around(file: str, call: ast.Call) -> tuple[str, str, str, ast.For | _Comprehension] | None:
    tree = source.tree_of(file)
    best: ast.For | _Comprehension | None = None
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.For):
            inside = any(call in ast.walk(each) for each in node.body)
        elif isinstance(node, _Comprehension):
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            inside = any(call in ast.walk(each) for each in parts)
        else:
            continue
        if inside and (best is None or node in ast.walk(best)):
            best = node
    # A function that is made in a loop is not called there.
    if best is None or function_of(file, call.lineno) is not function_of(file, best.lineno):
        return None
    site = Site(file, 0, "")
    if isinstance(best, ast.For):
        target, items = source.text_of(site, best.target), source.text_of(site, best.iter)
        return f"for {target} in {items}", target, items, best
    heads = [
        f"for {source.text_of(site, each.target)} in {source.text_of(site, each.iter)}"
        + "".join(f" if {source.text_of(site, test)}" for test in each.ifs)
        for each in best.generators
    ]
    first = best.generators[0]
    plain = len(heads) == 1 and not first.ifs
    target = source.text_of(site, first.target) if plain else ""
    items = source.text_of(site, first.iter) if plain else ""
    return " ".join(heads), target, items, best


def function_of(file: str, line: int) -> _Function | None:
    """The innermost function that a line is a part of."""
    tree = source.tree_of(file)
    found = [
        node
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, _Function) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(found, key=lambda node: node.lineno, default=None)


def gone(site: Site, loop: ast.For) -> Iterator[Line]:
    """The lines of a loop, which go."""
    indent = source.lines_of(site.file)[loop.lineno - 1]
    width = len(indent) - len(indent.lstrip())
    for number in range(loop.lineno, (loop.end_lineno or loop.lineno) + 1):
        text = source.lines_of(site.file)[number - 1]
        if text.strip():
            yield Line(number, "-", text[width:].rstrip())


def in_place_of(repeat: Repeat, made: ast.Call, site: Site) -> str:
    """A call as it reads in the loop: with what the loop gives instead of its function's parameters."""
    if repeat.function is None:
        return source.text_of(site, made)
    names = [each.arg for each in repeat.function.args.args]
    given = list(repeat.call.args)
    owner = repeat.call.func.value if isinstance(repeat.call.func, ast.Attribute) else None
    if owner is not None and len(names) == len(given) + 1:
        given = [owner, *given]  # ``self``
    values: dict[str, ast.expr] = dict(zip(names, given, strict=False))
    values |= {each.arg: each.value for each in repeat.call.keywords if each.arg}

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return values.get(node.id, node)

    copy = ast.parse(source.text_of(site, made), mode="eval")
    return ast.unparse(Put().visit(copy))


def as_map(repeat: Repeat | None, call: ast.Call, site: Site) -> tuple[str, str] | None:
    """The function and the items, of a call of submit or alike that a loop makes: ``f``, ``xs``."""
    if repeat is None or repeat.function is not None or not repeat.items or not call.args:
        return None
    function, *given = call.args
    if len(given) == 1 and isinstance(given[0], ast.Tuple):  # apply_async(f, (x,))
        given = given[0].elts
    if call.keywords or len(given) != 1 or source.text_of(site, given[0]) != repeat.target:
        return None
    return source.text_of(site, function), repeat.items
