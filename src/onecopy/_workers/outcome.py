"""How a failure travels: from an exception in a worker to the same one in the owner.

The exception goes as pickled bytes of its own, so that one that cannot be rebuilt spoils
nothing else; beside it go its name, its message and the worker's traceback as plain text.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

from .._memory.blame import short
from .._memory.pickling import NOTHING, Namespace, dumps
from ..errors import RemoteError, RemoteTraceback

Failure = tuple[str, str, str, str, bytes | None]
"""Class name, message, traceback, where (worker, function, argument), pickled exception."""


def failure(
    error: BaseException, function: str, argument: str = "", namespace: Namespace = NOTHING
) -> Failure:
    """Describes ``error`` for the owner. Takes its traceback away, and with it what the
    frames hold."""
    import traceback  # not at the top: most workers never fail, and all would wait for it

    kind = type(error)
    text = "".join(traceback.format_exception(kind, error, error.__traceback__))
    where = f"worker {os.getpid()}, {function}" + (f", argument {argument}" if argument else "")
    try:
        message = str(error)
    except BaseException as bad:  # a user's __str__ may do anything
        message = f"<its message raised {type(bad).__name__}>"
    error.__traceback__ = None
    data: bytes | None
    try:
        pickled = dumps(error, namespace, "exception")
        # Buffers of arrays that the exception carries go in-band: this is the rare case.
        data = b"".join(pickled.chunks) if not pickled.buffers.spans else _in_band(error)
    except BaseException:  # and so may a __reduce__: then its text stands for it
        data = None
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return name, message, text, where, data


def _in_band(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error, 5)
    except Exception:
        import cloudpickle  # the first of our picklers needed it as well

        return bytes(cloudpickle.dumps(error, 5))  # its class by value


def revive(failed: Failure) -> BaseException:
    """The exception again, with the worker's traceback as its cause."""
    name, message, text, where, data = failed
    error: BaseException | None = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except (Exception, SystemExit) as bad:  # its class insists on other arguments, say
            text += f"\n(it could not be rebuilt here: {type(bad).__name__}: {bad})"
    if not isinstance(error, BaseException):
        error = RemoteError(name, message)
    error.__cause__ = RemoteTraceback(text, where)
    return error


def fits_values(value: object, size: int | None) -> bool:
    """Is this what a worker answers when all of a chunk of ``size`` items went well? Of a
    call (None) it may be anything."""
    return size is None or (type(value) is list and len(value) == size)


def fits_failures(value: object, size: int) -> bool:
    """Is this what a worker answers when something failed: values and failures by index?"""
    if type(value) is not tuple or len(value) != 2 or not all(type(v) is dict for v in value):
        return False
    values, failed = value
    return bool(failed) and all(at in range(size) for at in (*values, *failed))


def describe(value: Any) -> str:
    """A failing argument: its type and a short repr."""
    return f"{type(value).__name__}: {short(value)}"


def name_of(function: Any) -> str:
    """A function as error messages call it."""
    name = getattr(function, "__qualname__", None)
    if name is None:
        inner = getattr(function, "func", None)
        return f"partial of {name_of(inner)}" if inner is not None else short(function)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module else str(name)
