"""Objects of the standard library that functions and classes hold and pickle refuses.

They occur if a main module is sent by value: ``functools.singledispatch`` keeps a cache with weak
keys and a read-only view of its registry, ``functools.cached_property`` has a lock up to Python
3.11. Each is rebuilt from its parts.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    return _REDUCERS.get(kind)


def _weak_keys(obj: Any, _: Any) -> Any:
    return weakref.WeakKeyDictionary, (dict(obj.items()),)


def _view(obj: Any, _: Any) -> Any:
    return types.MappingProxyType, (dict(obj),)


def _cached_property(obj: Any, _: Any) -> Any:
    return cached_property, (obj.func, obj.attrname)


def cached_property(function: Any, name: str | None) -> Any:
    """Rebuild the property under its name, in the receiver."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


_REDUCERS = {
    weakref.WeakKeyDictionary: _weak_keys,
    types.MappingProxyType: _view,
    functools.cached_property: _cached_property,
}
