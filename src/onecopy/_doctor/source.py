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


def calls(file: str, name: str) -> list[ast.Call]:
    """All calls of that name in a file."""
    tree = tree_of(file)
    found = ast.walk(tree) if tree is not None else ()
    return [node for node in found if isinstance(node, ast.Call) and name_of(node) == name]


def text_of(site: Site, node: ast.AST) -> str:
    """A node as it is written, on one line."""
    whole = ast.get_source_segment("\n".join(lines_of(site.file)), node)
    return " ".join((whole or ast.unparse(node)).split())


def with_keyword(site: Site, call: ast.Call, name: str, value: str) -> tuple[str, str]:
    """The statement's line before and after ``name=value`` has been put into the call."""
    return with_keywords(site, call, {name: value})


def with_keywords(site: Site, call: ast.Call, values: dict[str, str]) -> tuple[str, str]:
    """The same with several."""
    more = ", ".join(f"{name}={value}" for name, value in values.items())
    segment = text_of(site, call)
    bare = any(isinstance(each, ast.GeneratorExp) for each in call.args)
    if not bare and segment.endswith(")") and not values.keys() & {e.arg for e in call.keywords}:
        head = segment[:-1].rstrip()
        between = "" if head.endswith("(") else " " if head.endswith(",") else ", "
        return replaced(site, call, f"{head}{between}{more})")
    changed = ast.parse(ast.unparse(call), mode="eval").body
    assert isinstance(changed, ast.Call)
    rest = [each for each in changed.keywords if each.arg not in values]
    added = ast.parse(f"f({more})", mode="eval").body
    assert isinstance(added, ast.Call)
    changed.keywords = [*rest, *added.keywords]
    return replaced(site, call, ast.unparse(changed))


def replaced(site: Site, node: ast.expr, text: str) -> tuple[str, str]:
    """The line of ``node`` before and after it is ``text``; of several lines, the node alone."""
    if node.lineno == node.end_lineno and node.lineno <= len(lines_of(site.file)):
        whole = lines_of(site.file)[node.lineno - 1].encode()  # columns are counted in bytes
        after = whole[: node.col_offset] + text.encode() + whole[node.end_col_offset :]
        return whole.decode().strip(), after.decode().strip()
    return text_of(site, node), text


def import_without(file: str, number: int, name: str) -> str:
    """``from a import b, c`` at a line, without one of its names; '' if it has no other."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ImportFrom) and node.lineno == number:
            rest = [each for each in node.names if each.name != name]
            if rest and len(rest) < len(node.names):
                return ast.unparse(ast.ImportFrom(node.module, rest, node.level))
    return ""


def defined(file: str, name: str) -> list[int]:
    """The lines at which a function or class of that name begins."""
    tree = tree_of(file)
    sorts = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = ast.walk(tree) if tree is not None else ()
    return [each.lineno for each in found if isinstance(each, sorts) and each.name == name]


def parameters(site: Site) -> list[str]:
    """The parameters of the ``__init__`` of a class that begins at a line, without ``self``."""
    tree = tree_of(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ClassDef) and node.lineno == site.line:
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    return [argument.arg for argument in each.args.args[1:]]
    return []


def name_in(file: str, module: str) -> str:
    """The name by which a file knows a module that it imports; '' if it does not."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name == module:
                    return each.asname or module
    return ""


def import_of(file: str, name: str) -> tuple[int, str] | None:
    """The import that makes ``name`` known in a file: its line's number, and text."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            for each in node.names:
                if (each.asname or each.name.partition(".")[0]) == name or each.name == name:
                    return node.lineno, line(Site(file, node.lineno, ""))
    return None


def assigned_call(file: str, name: str, method: bool = True) -> tuple[str, ast.Call] | None:
    """The first ``variable = something.name(...)`` of a file, or ``= name(...)`` too where it need not
    be a method: the variable, and the call."""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        for target, value in assignments(node):
            if not isinstance(value, ast.Call) or name_of(value) != name:
                continue
            if isinstance(value.func, ast.Attribute) or not method:
                return ast.unparse(target), value
    return None


def assignments(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Each name, or attribute, that a statement assigns to, and its value: ``a, b = 1, 2`` has two."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [(node.target, node.value)]
    if isinstance(node, ast.With):
        return [
            (each.optional_vars, each.context_expr) for each in node.items if each.optional_vars
        ]
    if not isinstance(node, ast.Assign):
        return []
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(target, value)]


def attribute_set(file: str, name: str) -> ast.expr | None:
    """The value of the only ``self.name = value`` of a file, whose classes may have other words for
    ``self``."""
    tree = tree_of(file)
    found = []
    for function in ast.walk(tree) if tree is not None else ():
        if isinstance(function, ast.FunctionDef) and function.args.args:
            own = f"{function.args.args[0].arg}.{name}"
            for node in ast.walk(function):
                targets = node.targets if isinstance(node, ast.Assign) else []
                if isinstance(node, ast.AnnAssign) and node.value is not None:
                    targets = [node.target]
                if any(ast.unparse(each) == own for each in targets):
                    found.append(node)
    values = [node.value for node in found if isinstance(node, ast.Assign | ast.AnnAssign)]
    return values[0] if len(values) == 1 else None


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


_CHANGING = ("append", "extend", "insert", "add", "update", "setdefault", "clear", "appendleft")


def functions_that_change(tree: ast.Module, name: str) -> set[str]:
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
                if stored or only_changes(function, node):
                    found.add(function.name)
    return found


def only_changes(tree: ast.AST, name: ast.Name) -> bool:
    """Return True if the name is used as ``name.append(...)``, ``name[...] = ...`` or alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.value is name and node.attr in _CHANGING:
            return True
        if isinstance(node, ast.Subscript) and node.value is name:
            return isinstance(node.ctx, ast.Store | ast.Del)
    return False


def set_by_functions(file: str, name: str) -> bool:
    """Return True if a function of the file sets or changes a module's variable."""
    tree = tree_of(file)
    return tree is not None and bool(functions_that_change(tree, name))


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
            if any(isinstance(each.ctx, ast.Store) or only_changes(node, each) for each in mine):
                return True
    return set_by_functions(file, name)


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
