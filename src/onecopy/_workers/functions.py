"""Functions on their way to workers: by name or by value, once per worker.

An importable function is sent by its name and kept by the workers from call to call. What
is not importable (a lambda, a closure, a notebook's function, a partial) travels by value:
with each call of ``submit``, because what it captures may change between two calls, and
once per worker and call of ``map``.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from .._memory.codec import Draft
from .._memory.pickling import Namespace
from .outcome import name_of

_BY_NAME = (types.FunctionType, types.BuiltinFunctionType, type)


class Function:
    """A function that workers are sent once and then know by its id.

    Attributes:
        id: counts up from 1; 0 is a pool's initializer.
        call: the function itself.
        draft: it, pickled; None for worker threads.
        name: what errors call it.
    """

    __slots__ = ("call", "draft", "id", "name")

    def __init__(self, id: int, call: Callable[..., Any], draft: Draft | None) -> None:
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
    if not isinstance(call, _BY_NAME):
        return False
    module = getattr(call, "__module__", None)
    name = getattr(call, "__qualname__", "<")
    if module is None or "<" in name:
        return False
    first, *rest = name.split(".")
    if module == "__main__":
        found = namespace.get(first)
    else:
        found = getattr(sys.modules.get(module), first, None)
    for part in rest:
        found = getattr(found, part, None)
    return found is call


def pace_key(function: Function | None, call: Any) -> int:
    """Calls with the same key are expected to take about as long."""
    if function is not None:
        return function.id
    return -abs(hash(getattr(call, "__code__", type(call)))) - 1
