"""The program's own words for a call: how its line calls the pool, the function and the data.

Advice is given in them where they are certain: the line has one such call, and one name comes into
question. Otherwise the words are empty, and advice has general ones (``pool``, ``x``). They are read
from the source by the program itself, when the run is gathered: a saved run may be shown on another
machine.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from .._observe.spans import Site

# A longer expression is no name: it is left out.
_LONG = 40
# Methods that a program calls, of the name that the recorder knows.
_ALSO = {"submit": ("run",), "map": ("map_blocks", "map_groups")}
# They cut their first argument into views of it.
_CUTTERS = ("array_split", "split")
_INDEXERS = ("iloc", "loc")
# Expressions whose value is no array that another task gets too; or whose parts are looked at.
_NEW = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Tuple, ast.List, ast.Dict)
_SUBMITS = ("submit", "run", "apply", "apply_async")
_OPTIONS = ("errors", "progress", "chunksize", "timeout", "callback", "error_callback")


class Words(NamedTuple):
    """See the module; each is "" if it is not certain.

    Attributes:
        pool: the pool's variable.
        function: the function, as it is passed.
        items: the items of a map.
        sliced: the variable whose slices are passed.
        whole: the variable that each task gets as a whole.
        module: the name of ``import onecopy as ...``.
        imported: the names of ``from onecopy import ...``, and what they are called.
    """

    pool: str = ""
    function: str = ""
    items: str = ""
    sliced: str = ""
    whole: str = ""
    module: str = ""
    imported: dict[str, str] = {}  # noqa: RUF012  # never changed

    def of_library(self, text: str) -> str:
        """Return advice in which the pool and this library have the program's names."""
        text = re.sub(r"(?<![\w.'\"])oc\.(\w+)", lambda found: self._public(found[1]), text)
        return re.sub(r"(?<![\w.'\"])pool\.(?=\w)", f"{self.pool or 'pool'}.", text)

    def _public(self, name: str) -> str:
        if self.module:
            return f"{self.module}.{name}"
        return self.imported.get(name, f"oc.{name}")


NONE = Words()


def words_of(site: Site) -> Words:
    """Return the words of the program at a call; empty ones if the source is not there."""
    method, function, file, line, _ = site
    tree = _tree(file) if file else None
    if tree is None:
        return NONE
    module, imported = _imports(tree, line)
    known = Words(module=module, imported=imported)
    call = _call(tree, line, method, function)
    if call is None:
        return known
    assert isinstance(call.func, ast.Attribute)
    sliced, whole = _data(call, call.func.attr)
    # Names that advice uses itself are replaced in its text: they are no variables there.
    others = _bound(tree, call) | {"pool", "oc"}
    return known._replace(
        pool=_name(_without_options(call.func.value)),
        function=_only({_name(each) for each in call.args[:1]}, others),
        items=_only({_items(tree, call)}, others),
        sliced=_only(sliced, others),
        whole=_only(whole, others),
    )


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _tree(file: str) -> ast.Module | None:
    # Also the cells of a notebook, which are in no file.
    return _parsed("".join(linecache.getlines(file))) if linecache.getlines(file) else None


def _covers(node: ast.AST, line: int) -> bool:
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return bool(first <= line <= (last or first))


def _call(tree: ast.Module, line: int, method: str, function: str) -> ast.Call | None:
    """Return the call of the pool's method at a line, if there is one that it can be."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr.startswith(method) or node.func.attr in _ALSO.get(method, ()))
        and _covers(node, line)
    ]
    if len(found) > 1:
        last = function.rpartition(".")[2]
        passed = [node for node in found if node.args and _last(node.args[0]) == last]
        found = passed or found
    return found[0] if len(found) == 1 else None


def _name(node: ast.AST) -> str:
    """Return a variable, or attributes of one (``self.data``), as text; "" for anything else."""
    inner = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    text = ast.unparse(node) if isinstance(inner, ast.Name) else ""
    return text if len(text) <= _LONG else ""


def _last(node: ast.AST) -> str:
    return _name(node).rpartition(".")[2]


def _only(names: set[str], others: set[str]) -> str:
    """Return the one name, without those that are or belong to others; "" if there are several. An
    expression without a name, "", counts."""
    left = {name for name in names if name.partition(".")[0] not in others}
    return left.pop() if len(left) == 1 else ""


def _without_options(node: ast.expr) -> ast.expr:
    """Return the pool of ``pool.options(...)``."""
    while (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "options"
    ):
        node = node.func.value
    return node


def _imports(tree: ast.Module, line: int) -> tuple[str, dict[str, str]]:
    """Return the name of this library, and its names that are imported, where they can be seen from
    a line."""
    module = ""
    imported: dict[str, str] = {}
    for node in _seen_from(tree, line):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name == "onecopy":
                    module = each.asname or each.name
        elif isinstance(node, ast.ImportFrom) and node.module == "onecopy" and not node.level:
            imported |= {each.name: each.asname or each.name for each in node.names}
    return module, imported


def _seen_from(tree: ast.Module, line: int) -> Iterator[ast.AST]:
    """Yield the nodes of a module, without the inside of functions and classes that a line is not in."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for inner in ast.iter_child_nodes(node):
            own = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if not own or _covers(inner, line):
                todo.append(inner)


def _loops(tree: ast.Module, call: ast.Call) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and iterable of the loops around a call, the innermost last."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor) and _covers(node, call.lineno):
            yield node.target, node.iter
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) and any(
            inner is call for inner in ast.walk(node)
        ):
            for each in node.generators:
                yield each.target, each.iter


def _bound(tree: ast.Module, call: ast.Call) -> set[str]:
    """Return the variables that are others in each round of a loop around a call, or within it."""
    targets = [target for target, _ in _loops(tree, call)]
    targets += [each.target for each in ast.walk(call) if isinstance(each, ast.comprehension)]
    return {
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    }


def _items(tree: ast.Module, call: ast.Call) -> str:
    """Return the items of a map; or of a loop that submits a task for each of them."""
    if len(call.args) != 2:
        return ""
    given = call.args[1]
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr not in _SUBMITS:
        return "" if call.func.attr in _ALSO["map"] else _name(given)
    if isinstance(given, ast.Tuple) and len(given.elts) == 1:  # apply(f, (x,))
        given = given.elts[0]
    for target, iterable in _loops(tree, call):
        if isinstance(target, ast.Name) and isinstance(given, ast.Name) and target.id == given.id:
            return _name(iterable)
    return ""


def _data(call: ast.Call, method: str) -> tuple[set[str], set[str]]:
    """Return the variables of which slices are passed, and those that are passed as a whole."""
    given = [*call.args[1:], *(each.value for each in call.keywords if each.arg not in _OPTIONS)]
    sliced = {name for each in given for name in _sliced(each)}
    if method == "map_blocks":
        return sliced | {_name(each) for each in given[:1]}, set()
    if method in ("submit", "run"):
        whole = {_name(each) for each in given if not isinstance(each, _NEW)}
    else:
        whole = {name for each in given for name in _elements(ast.walk(each))}
    return sliced, whole


def _sliced(node: ast.AST) -> Iterator[str]:
    """Yield what an expression takes slices of."""
    for inner in _outside_of_functions(node):
        if isinstance(inner, ast.Subscript):
            cut = inner.slice.elts if isinstance(inner.slice, ast.Tuple) else [inner.slice]
            if any(isinstance(each, ast.Slice) for each in cut):
                base = inner.value
                if isinstance(base, ast.Attribute) and base.attr in _INDEXERS:
                    base = base.value
                yield _name(base)
        elif (
            isinstance(inner, ast.Call)
            and isinstance(inner.func, ast.Attribute)
            and inner.func.attr in _CUTTERS
            and _last(inner.func.value) in ("np", "numpy")
            and inner.args
        ):
            yield _name(inner.args[0])


def _elements(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names among the elements of tuples, lists, and what comprehensions yield."""
    for node in nodes:
        elements: list[ast.expr] = []
        if isinstance(node, ast.Tuple | ast.List):
            elements = node.elts
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            elements = [node.elt]
        elif isinstance(node, ast.Dict):
            elements = node.values
        elif isinstance(node, ast.Call) and _last(node.func) == "repeat":
            elements = node.args[:1]
        yield from (_name(each) for each in elements if not isinstance(each, _NEW))


def _outside_of_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, ast.Lambda):
            yield from _outside_of_functions(inner)
