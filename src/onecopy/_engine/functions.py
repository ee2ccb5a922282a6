"""Functions as sent to workers: by name or by value, once per worker.

An importable function is sent by its name and kept by the workers from call to call. Any other (a
lambda, a closure, a function of ``__main__`` under spawn, a partial) is pickled by value, together
with the present values of what it captures. Workers keep such a function too if that makes no
difference: everything that it captures is immutable, and is still the very same object
(``Captured``). Otherwise it is sent with each call of ``submit``, and once per worker and call of
``map``.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from typing import Any

from .._codec.codec import Encoded
from .._codec.homes import home_by_name
from .._protocol.failures import name_of
from .._protocol.versions import NO_VERSIONS, Version

# Immutable types; a tuple is immutable if its elements are. So are their subclasses
# (``numpy.float64``), except those defined in Python code, whose objects have attributes.
_IMMUTABLE = (int, float, complex, bool, str, bytes, type(None), range)
_MADE_BY_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
# Types of objects that can be found again by name, and do not change during their life.
KEPT = (types.FunctionType, types.BuiltinFunctionType, type)


class Function:
    """A function that is sent to each worker once, and then referred to by its id.

    Attributes:
        id: counts up from 1; 0 is a pool's initializer.
        call: the function itself.
        encoded: the function, pickled; None for worker threads.
        captured: what must not change, for a function that is sent by value and kept.
        name: its name in errors.
        pace: functions with the same number are expected to take about as long.
        references: functions and classes of the user's that workers need with it.
        versions: of an initializer, the variables that it reads.
    """

    __slots__ = ("call", "captured", "encoded", "id", "name", "pace", "references", "versions")

    def __init__(
        self,
        id: int,
        call: Callable[..., Any],
        encoded: Encoded | None,
        captured: Captured | None = None,
        pace: int | None = None,
    ) -> None:
        self.captured: Captured | None = captured
        self.references: list[Any] = encoded.references if encoded is not None else []
        self.versions: tuple[Version, ...] = NO_VERSIONS
        self.id: int = id
        self.pace: int = id if pace is None else pace
        self.call: Callable[..., Any] = call
        self.encoded: Encoded | None = encoded
        self.name: str = name_of(call)


class Captured:
    """The values that a function captures, if all of them are immutable.

    Globals are not part of it: they are followed (see ``following``).

    Attributes:
        fixed: False if something is mutable (a list, an array, an object): it may change
            unnoticed, so the function must be sent again each time.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self._cells: list[tuple[types.CellType, Any]] = []
        self._seen: set[types.FunctionType] = set()
        self.fixed: bool = self._walk(function)

    def unchanged(self) -> bool:
        """Return True if every captured variable holds the very same object."""
        try:
            for cell, value in self._cells:
                if cell.cell_contents is not value:
                    return False
        except ValueError:  # the variable was deleted
            return False
        return True

    def _walk(self, function: types.FunctionType) -> bool:
        """Note what ``function`` captures; return False at the first thing that can change."""
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
        return True

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, tuple) and type(value) is tuple:
            return all(map(self._is_fixed, value))
        if isinstance(value, _IMMUTABLE):
            return not type(value).__flags__ & _MADE_BY_PYTHON
        if isinstance(value, types.ModuleType):  # goes by its name
            return True
        if isinstance(value, KEPT) and home_by_name(value) is not None:
            return True
        if type(value) is types.FunctionType:
            return value in self._seen or self._walk(value)
        return type(value).__name__ in ("ufunc", "_ArrayFunctionDispatcher")


def pace_of(call: object) -> int:
    """Return a key; callables with the same key are expected to take about as long: one function,
    with whatever it captures, is bound to or is given in advance; all objects of one class."""
    while isinstance(call, partial):
        call = call.func
    if isinstance(call, types.MethodType):
        call = call.__func__
    if isinstance(call, types.FunctionType):
        return -abs(hash(call.__code__)) - 1
    return -id(call) if isinstance(call, KEPT) else -id(type(call)) - 1
