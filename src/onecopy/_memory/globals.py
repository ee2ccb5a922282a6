"""Global variables of functions that travel by value: one set of them per worker.

cloudpickle gives every function that it rebuilds a copy of the globals that it refers to.
In a pool that loses what everybody relies on: an initializer sets a global, tasks read it.
So a function of ours is rebuilt *in its module*: in the worker's own module of that name,
or, for ``__main__``, in the worker's ``__main__``, which all of them share.

A global of ``__main__`` travels along, and is set in the worker unless that very value was
set there before. So what the owner changes is sent, and what a worker has changed (its
initializer's work, a cache) stays as long as the owner does not change it. Whether it has
changed is told by a digest of the pickled value: a list that was appended to counts.

Under ``fork`` a worker has the caller's ``__main__`` as it was at the fork; what still is
the same object in the owner is not sent at all.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from .._system import mapping
from .registry import registry
from .spans import Span

Entry = tuple[str, bytes | None, Any]  # name, digest, value

_MISSING = object()
# What the owner's globals were when they were set in this worker, by name.
_set_here: dict[str, bytes | None] = {}
_importable: dict[str, bool] = {}
_busy = threading.local()


class WorkerNamespace(dict[str, Any]):
    """Of ``__main__``, what a worker has under the same names as the owner, and the objects
    that stood there when it was forked. Its type says that the receiver is a worker."""


def in_module(
    function: types.FunctionType,
    reduced: tuple[Any, ...],
    namespace: WorkerNamespace,
    pickled: Callable[[Any], tuple[list[Any], list[Span]]],
) -> tuple[Any, ...]:
    """Turns cloudpickle's reduction of a function into ours.

    Args:
        function: what is pickled by value.
        reduced: what cloudpickle makes of it.
        namespace: see the class.
        pickled: pickles a value into chunks and spans, for its digest.
    """
    name = function.__module__
    module = sys.modules.get(name)
    if module is None or function.__globals__ is not module.__dict__:
        return reduced
    _, (code, _, *_, closure), (state, slots), *_ = reduced
    captured = slots["__globals__"]
    entries: list[Entry] = []
    if name == "__main__":
        entries = [
            (key, _digest(value, pickled), value)
            for key, value in captured.items()
            if namespace.get(key, _MISSING) is not value
        ]
    elif not _can_import(name):
        return reduced
    slots = {**slots, "__globals__": {}}
    # The values go into the state, which is pickled after the function is known by its
    # memo: it may refer to itself.
    return make, (name, code, closure), (state, slots, entries), None, None, set_state


def _can_import(name: str) -> bool:
    found = _importable.get(name)
    if found is None:
        try:
            found = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            found = False
        _importable[name] = found
    return found


def _digest(value: Any, pickled: Callable[[Any], tuple[list[Any], list[Span]]]) -> bytes | None:
    """What tells whether a value has changed; None for what is always set anew."""
    if isinstance(value, types.FunctionType | type | types.ModuleType):
        return None
    busy: set[int] = _busy.__dict__.setdefault("values", set())
    if id(value) in busy:
        return None  # a value that holds a function that refers to it
    busy.add(id(value))
    try:
        chunks, spans = pickled(value)
    finally:
        busy.discard(id(value))
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    for span in spans:
        shared = span.known or registry.find(span.low)
        digest.update(repr((span.high - span.low, span.strides)).encode())
        if shared is not None:
            digest.update(repr((shared[0].id, shared[1])).encode())
        elif span.high > span.low:
            digest.update(mapping.borrowed(span.low, span.high - span.low, write=False))
    return digest.digest()


def make(name: str, code: types.CodeType, closure: Any) -> Any:
    """In the worker: the function, in its module, without its state yet."""
    from cloudpickle import cloudpickle  # it has made the message, so it is wanted here

    if name not in sys.modules:
        importlib.import_module(name)
    return cloudpickle._make_function(code, sys.modules[name].__dict__, None, None, closure)


def set_state(function: types.FunctionType, state: tuple[Any, Any, list[Entry]]) -> None:
    """In the worker: the rest of the function, and the globals that it refers to."""
    from cloudpickle import cloudpickle  # likewise

    inner, slots, entries = state
    names = function.__globals__
    for name, digest, value in entries:
        if digest is None or name not in names or _set_here.get(name) != digest:
            names[name] = value
            _set_here[name] = digest
    cloudpickle._function_setstate(function, (inner, slots))
