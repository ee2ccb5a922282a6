"""Classes that the user has registered: split into buffers and rebuilt by the user's functions.

Both functions are sent with the object, as any function is: by name, or by value if the receiver
cannot import them. So a worker needs no registration to build an object, and receiving an object
registers its class there: the worker can send such objects back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import kind_of
from . import forget, set_reducer, views

ToBuffers = Callable[[Any], tuple[Any, Sequence[Any]]]
FromBuffers = Callable[[Any, list[Any]], Any]

_registered: dict[type, tuple[ToBuffers, FromBuffers]] = {}

# The pickler never calls a reducer for these.
_BUILT_IN = frozenset(
    {int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset}
    | {type(None), type, type(views.reduce), type(len), type(...), type(NotImplemented)}
)


def register(kind: type, to_buffers: ToBuffers, from_buffers: FromBuffers) -> None:
    """See ``onecopy.register``."""
    if not isinstance(kind, type):
        raise TypeError(f"register takes a class, not {kind_of(kind)}")
    if kind in _BUILT_IN:
        raise TypeError(f"{kind.__name__} is the interpreter's own to pickle: derive a class")
    for function in (to_buffers, from_buffers):
        if not callable(function):
            raise TypeError(f"register takes two functions, not {kind_of(function)}")
    _registered[kind] = (to_buffers, from_buffers)
    set_reducer(kind, _reduce)


def unregister(kind: type) -> None:
    """Remove a class again; for tests."""
    _registered.pop(kind, None)
    forget(kind)


def _reduce(obj: Any, buffers: Any) -> Any:
    kind = type(obj)
    to_buffers, from_buffers = _registered[kind]
    taken: Any = to_buffers(obj)
    if not isinstance(taken, tuple) or len(taken) != 2:
        raise TypeError(
            f"to_buffers of {kind.__qualname__} has to return (header, list of buffers), "
            f"not {kind_of(taken)}"
        )
    header, parts = taken
    return _build, (kind, to_buffers, from_buffers, header, [_part(part) for part in parts])


def _part(part: Any) -> Any:
    """Return an array as it is, with dtype and shape, and anything else as a view of its bytes."""
    return part if hasattr(part, "__array_interface__") else memoryview(part)


def _build(
    kind: type, to_buffers: ToBuffers, from_buffers: FromBuffers, header: Any, parts: list[Any]
) -> Any:
    if kind not in _registered:
        register(kind, to_buffers, from_buffers)
    return from_buffers(header, parts)
