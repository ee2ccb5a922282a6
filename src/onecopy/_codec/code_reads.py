"""The names that a function's code looks up outside itself, from its bytecode.

Covers global names with the attributes that are read from or set on them, modules that are imported
inside the function, and attribute names, which a method needs of its class. Names computed at run
time (``globals()[name]``, ``exec``) are not found.

Nested functions, lambdas and comprehensions are part of the function that holds them.
"""

from __future__ import annotations

import dis
import weakref
from types import CodeType
from typing import NamedTuple

Path = tuple[str, ...]

_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})
_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"})
# Between a name and the attribute of it that is set, and before the name of a call.
_BETWEEN = frozenset({"CACHE", "PRECALL", "PUSH_NULL", "EXTENDED_ARG", "NOP"})


class Reads(NamedTuple):
    """See the module.

    Attributes:
        paths: each global name, with the attributes that directly follow it:
            ``("settings", "CONFIG")`` for ``settings.CONFIG``.
        imports: modules that are imported inside, each with the names imported from it.
        attributes: every attribute name that is read or set, of any object.
    """

    paths: frozenset[Path]
    imports: frozenset[tuple[str, int, Path]]
    attributes: frozenset[str]


_known: weakref.WeakKeyDictionary[CodeType, Reads] = weakref.WeakKeyDictionary()


def reads_of(code: CodeType) -> Reads:
    """Return the names that ``code`` and the code inside it look up. Thread-safe."""
    reads = _known.get(code)
    if reads is None:
        paths: set[Path] = set()
        imports: set[tuple[str, int, Path]] = set()
        attributes: set[str] = set()
        _scan(code, paths, imports, attributes)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                inner = reads_of(constant)
                paths |= inner.paths
                imports |= inner.imports
                attributes |= inner.attributes
        reads = Reads(frozenset(paths), frozenset(imports), frozenset(attributes))
        _known[code] = reads
    return reads


def _scan(
    code: CodeType,
    paths: set[Path],
    imports: set[tuple[str, int, Path]],
    attributes: set[str],
) -> None:
    path: Path = ()
    constants: list[object] = []  # the last two that were loaded: level and names of an import
    for step in dis.get_instructions(code):
        name = step.opname
        if name in _BETWEEN:
            continue
        if name in _ATTRIBUTE:
            attributes.add(step.argval)
            if path:
                path += (step.argval,)
            continue
        if path:
            paths.add(path)
        path = (step.argval,) if name in _GLOBAL else ()
        if name == "IMPORT_NAME":
            level, names = constants if len(constants) == 2 else (0, None)
            taken = names if isinstance(names, tuple) else ()
            imports.add((step.argval, level if isinstance(level, int) else 0, taken))
        constants = [*constants[-1:], step.argval] if name.startswith("LOAD_") else constants
    if path:
        paths.add(path)
