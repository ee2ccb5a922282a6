"""Functions on their way to workers: by name or by value, once per worker.

An importable function is sent by its name and kept by the workers from call to call. What
is not importable (a lambda, a closure, a function of ``__main__`` under spawn, a partial)
travels by value, and what it captures travels with it as it is at that moment. Workers keep
such a function too when keeping it cannot be told from sending it again: everything that
it refers to is immutable, and is still the very same object (``Captured``). Otherwise it is
sent with each call of ``submit``, and once per worker and call of ``map``.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from .._memory.codec import Draft
from .._memory.pickling import Namespace, by_value_module
from .outcome import name_of

# Values that are what they are for ever; a tuple is looked into.
_IMMUTABLE = (int, float, complex, bool, str, bytes, type(None), range, types.ModuleType)
_MISSING = object()
# What can be found again by its name, and is what it is as long as it lives.
KEPT = (types.FunctionType, types.BuiltinFunctionType, type)


class Function:
    """A function that workers are sent once and then know by its id.

    Attributes:
        id: counts up from 1; 0 is a pool's initializer.
        call: the function itself.
        draft: it, pickled; None for worker threads.
        captured: for one that travels by value and is kept: what has to stay as it was.
        name: what errors call it.
    """

    __slots__ = ("call", "captured", "draft", "id", "name")

    def __init__(
        self,
        id: int,
        call: Callable[..., Any],
        draft: Draft | None,
        captured: Captured | None = None,
    ) -> None:
        self.captured = captured
        self.id = id
        self.call = call
        self.draft = draft
        self.name = name_of(call)


def by_name(call: Any, namespace: Namespace) -> bool:
    """Does a worker find this very object under its module and name?

    Args:
        call: any callable.
        namespace: what of ``__main__`` the workers have.
    """
    if not isinstance(call, KEPT):
        return False
    module = getattr(call, "__module__", None)
    name = getattr(call, "__qualname__", "<")
    if module is None or "<" in name or by_value_module(module):
        return False
    first, *rest = name.split(".")
    if module == "__main__":
        found = namespace.get(first)
    else:
        found = getattr(sys.modules.get(module), first, None)
    for part in rest:
        found = getattr(found, part, None)
    return found is call


class Captured:
    """What a function refers to outside itself, if all of it is immutable.

    Attributes:
        fixed: False when something is mutable (a list, an array, an object): it may change
            without a trace, so the function has to be sent again each time.
    """

    def __init__(self, function: types.FunctionType, namespace: Namespace) -> None:
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._cells: list[tuple[types.CellType, Any]] = []
        self._seen: set[types.FunctionType] = set()
        self._namespace = namespace
        self.fixed = self._walk(function)

    def unchanged(self) -> bool:
        """Is everything the very same object as when it was looked at?"""
        for names, name, value in self._globals:
            if names.get(name, _MISSING) is not value:
                return False
        try:
            for cell, value in self._cells:
                if cell.cell_contents is not value:
                    return False
        except ValueError:  # the variable was deleted
            return False
        return True

    def _walk(self, function: types.FunctionType) -> bool:
        """Notes what ``function`` refers to; False at the first thing that can change."""
        self._seen.add(function)
        if function.__dict__ or function.__kwdefaults__:
            return False
        if not all(map(self._is_fixed, function.__defaults__ or ())):
            return False
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                return False
            if not self._is_fixed(value):
                return False
            self._cells.append((cell, value))
        names = function.__globals__
        for name in _names(function.__code__):
            value = names.get(name, _MISSING)
            if value is not _MISSING and not self._is_fixed(value):
                return False
            self._globals.append((names, name, value))
        return True

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, tuple) and type(value) is tuple:
            return all(map(self._is_fixed, value))
        if isinstance(value, _IMMUTABLE) or by_name(value, self._namespace):
            return True
        if type(value) is types.FunctionType:
            return value in self._seen or self._walk(value)
        return type(value).__name__ in ("ufunc", "_ArrayFunctionDispatcher")


def _names(code: types.CodeType) -> set[str]:
    """Names that a function or one defined inside it looks up; attribute names as well,
    which does no harm."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def pace_key(function: Function | None, call: Any) -> int:
    """Calls with the same key are expected to take about as long."""
    if function is not None:
        return function.id
    return -abs(hash(getattr(call, "__code__", type(call)))) - 1
