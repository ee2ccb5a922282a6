"""How objects of other libraries travel without their bytes: one file per library.

Protocol 5 does most of it: an object that pickles its arrays by it needs nothing here. Each
file beside this one has the reducers for what does not, and is imported when an object of
its library is met, so that nobody waits for a library that the object at hand is not of.
Classes that the user has registered are in ``own``; they come before all others.

A reducer takes the object and the message's ``Buffers``, and answers as ``__reduce__`` does,
or NotImplemented to leave the object to its own pickling.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import views

Reducer = Callable[[Any, Any], Any]

# By the package in which a class, or one that it is derived from, is defined. Each module has
# ``reducer(kind)``: the reducer for a class, or None.
_MODULES = {
    "numpy": "onecopy._codec.arrays",
    "pandas": "onecopy._codec.adapters.pandas",
    "polars": "onecopy._codec.adapters.polars",
    "pyarrow": "onecopy._codec.adapters.arrow",
    "scipy": "onecopy._codec.adapters.scipy",
    "torch": "onecopy._codec.adapters.torch",
}

# Of the standard library, see ``standard``: named here, so that it is imported for these alone.
_STANDARD = frozenset({"mappingproxy", "cached_property", "WeakKeyDictionary"})

# Classes that have been met, most of them with None. Weak: classes may be made in a loop.
_met: weakref.WeakKeyDictionary[type, Reducer | None] = weakref.WeakKeyDictionary()


def reducer_of(kind: type) -> Reducer | None:
    """The reducer for objects of exactly this class; None when there is none."""
    try:
        return _met[kind]
    except KeyError:
        found = _met[kind] = _find(kind)
        return found


def set_reducer(kind: type, reducer: Reducer) -> None:
    """``reducer`` is the one for ``kind`` from now on."""
    _met[kind] = reducer


def forget(kind: type) -> None:
    """Undoes ``set_reducer``."""
    _met.pop(kind, None)


def _find(kind: type) -> Reducer | None:
    if kind is memoryview:
        return views.reduce
    if kind.__name__ in _STANDARD:
        standard = import_module("onecopy._codec.adapters.standard")
        return standard.reducer(kind)  # type: ignore[no-any-return]
    seen = set()
    for cls in kind.__mro__:
        name = _MODULES.get(str(cls.__module__).partition(".")[0])
        if name is not None and name not in seen:
            seen.add(name)
            reducer: Reducer | None = import_module(name).reducer(kind)
            if reducer is not None:
                return reducer
    return None
