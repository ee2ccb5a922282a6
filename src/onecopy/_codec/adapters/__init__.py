"""Reducers for other libraries' objects, which send them without copying: one file per library.

Protocol 5 does most of the work: an object that pickles its arrays with it needs nothing here. Each
module in this package has the reducers for objects that do not. It is imported when such an object
is met, so nothing waits for a library that it does not use. Classes that the user has registered
are in ``user_types``; they come before all others.

A reducer takes the object and the message's ``Buffers``. It returns what ``__reduce__`` does, or
NotImplemented to leave the object to its own pickling.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import views

Reducer = Callable[[Any, Any], Any]

# By the package that defines a class or one of its bases. Each module has ``reducer(kind)``: it
# returns the reducer for a class, or None.
_MODULES = {
    "numpy": "onecopy._codec.arrays",
    "pandas": "onecopy._codec.adapters.pandas",
    "polars": "onecopy._codec.adapters.polars",
    "pyarrow": "onecopy._codec.adapters.arrow",
    "scipy": "onecopy._codec.adapters.scipy",
    "torch": "onecopy._codec.adapters.torch",
}

# Classes of the standard library, see ``standard``; listed here, so that it is imported for these
# alone.
_STANDARD = frozenset({"mappingproxy", "cached_property", "WeakKeyDictionary"})

# Classes that have been met, most of them with None. Weak: classes may be created in a loop.
_met: weakref.WeakKeyDictionary[type, Reducer | None] = weakref.WeakKeyDictionary()


def reducer_of(kind: type) -> Reducer | None:
    """Return the reducer for objects of exactly this class; None if there is none."""
    try:
        return _met[kind]
    except KeyError:
        found = _met[kind] = _find(kind)
        return found


def is_array_like(kind: type) -> bool:
    """Return True for a class whose objects consist mainly of buffers: one with a reducer here, or
    with a length and the interface of an array or of Arrow."""
    if kind.__name__ in _STANDARD or issubclass(kind, str | bytes):
        return False
    if reducer_of(kind) is not None:
        return True
    return hasattr(kind, "__len__") and any(hasattr(kind, name) for name in _INTERFACES)


_INTERFACES = ("__array__", "__arrow_c_array__", "__arrow_c_stream__")


def set_reducer(kind: type, reducer: Reducer) -> None:
    """Make ``reducer`` the one for ``kind`` from now on."""
    _met[kind] = reducer


def forget(kind: type) -> None:
    """Undo ``set_reducer``."""
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
