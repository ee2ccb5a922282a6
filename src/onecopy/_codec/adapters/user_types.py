"""The user's own classes: taken apart into buffers by the user's function, and put together.

Both functions travel with the object, as any function does: by name, or by value where the
receiver cannot import them. So a worker needs no registration to build an object, and one
that has got an object is registered as well: it can send such objects back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import forget, set_reducer, views

ToBuffers = Callable[[Any], tuple[Any, Sequence[Any]]]
FromBuffers = Callable[[Any, list[Any]], Any]

_registered: dict[type, tuple[ToBuffers, FromBuffers]] = {}

# The pickler never asks for a reducer of these.
_BUILT_IN = frozenset(
    {int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset}
    | {type(None), type, type(views.reduce), type(len), type(...), type(NotImplemented)}
)


def register(kind: type, to_buffers: ToBuffers, from_buffers: FromBuffers) -> None:
    """See ``onecopy.register``."""
    if not isinstance(kind, type):
        raise TypeError(f"register takes a class, not a {type(kind).__name__}")
    if kind in _BUILT_IN:
        raise TypeError(f"{kind.__name__} is the interpreter's own to pickle: derive a class")
    for function in (to_buffers, from_buffers):
        if not callable(function):
            raise TypeError(f"register takes two functions, not a {type(function).__name__}")
    _registered[kind] = (to_buffers, from_buffers)
    set_reducer(kind, _reduce)


def unregister(kind: type) -> None:
    """Takes a class out again; for tests."""
    _registered.pop(kind, None)
    forget(kind)


def _reduce(obj: Any, buffers: Any) -> Any:
    kind = type(obj)
    to_buffers, from_buffers = _registered[kind]
    taken: Any = to_buffers(obj)
    if not isinstance(taken, tuple) or len(taken) != 2:
        raise TypeError(
            f"to_buffers of {kind.__qualname__} has to return (header, list of buffers), "
            f"not a {type(taken).__name__}"
        )
    header, parts = taken
    return _build, (kind, to_buffers, from_buffers, header, [_part(part) for part in parts])


def _part(part: Any) -> Any:
    """An array goes as an array, with dtype and shape; all else as a view of its bytes."""
    return part if hasattr(part, "__array_interface__") else memoryview(part)


def _build(
    kind: type, to_buffers: ToBuffers, from_buffers: FromBuffers, header: Any, parts: list[Any]
) -> Any:
    if kind not in _registered:
        register(kind, to_buffers, from_buffers)
    return from_buffers(header, parts)
