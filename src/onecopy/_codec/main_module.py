"""The program's main module: whether workers can import it, and which names it defines.

It can be imported if it is a file (or was run with ``-m``), has an ``if __name__ == "__main__":``
guard, and starts no workers outside it. Guard and calls are found in its syntax tree, before
anything is run. Otherwise the parts that functions need are sent by value. The import itself, in
workers, is in ``_protocol.preparation``.
"""

from __future__ import annotations

import os
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from .homes import MAIN_NAMES, is_user_file


class MainModule(NamedTuple):
    """A main module that workers can import.

    Attributes:
        path: its file.
        name: its name if it was run with ``-m``, or None.
        bound: the names that its code binds outside the guard.
        guarded: first and last line of each part under a guard.
        by_value: it has functions that an import does not give, such as lambdas.
    """

    path: str
    name: str | None
    bound: frozenset[str]
    guarded: tuple[tuple[int, int], ...]
    by_value: bool

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
    from . import main_syntax  # in workers, only the names that were found are needed

    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    spec = getattr(main, "__spec__", None)
    path = os.path.abspath(file) if isinstance(file, str) else ""
    tree = main_syntax.parse(path)
    if tree is None:
        if forced:
            raise ValueError(
                'main="import" needs a main module that is a Python file; this program has '
                'none: use main="auto"'
            )
        return None
    guarded = tuple(main_syntax.guards(tree))
    name = getattr(spec, "name", None)
    if name in MAIN_NAMES:  # a directory or an archive that was run, or a worker's own main module
        name = None
    if not forced and (
        not guarded
        or any(main_syntax.starts_workers(statement) for statement in main_syntax.unguarded(tree))
        # A tool that runs the program: its own functions are imported by name.
        or (name is not None and name.endswith(".__main__") and not is_user_file(path))
    ):
        return None
    bound = frozenset(
        name for statement in main_syntax.unguarded(tree) for name in main_syntax.bound(statement)
    )
    return MainModule(path, name, bound, guarded, main_syntax.makes_functions(tree))


# Weak: at its exit the interpreter ends the main module's objects in order, their ``__del__`` with
# their globals, if nothing else refers to the module.
_looked_at: tuple[Callable[[], Any], MainModule | None] = (lambda: None, None)


def main_module() -> MainModule | None:
    """Return ``importable_main()``, computed once for each main module. Thread-safe."""
    global _looked_at
    main = sys.modules["__main__"]
    known, found = _looked_at
    if known() is not main:
        found = importable_main()
        _looked_at = (weakref.ref(main), found)
    return found


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
