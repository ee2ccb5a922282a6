"""Failures as messages: from an exception in a worker to the same one in the owner.

The exception is pickled by itself, so that one that cannot be rebuilt spoils nothing else. Its
name, its message and the worker's traceback are sent with it as plain text.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import types
from collections.abc import Callable
from typing import Any

from .._codec.blame import from_the_program_on, registered_reducer, short, without_ours
from .._codec.pickling import NOTHING, Namespace, dumps
from ..errors import NotPicklable, RemoteError, RemoteTraceback, printable
from .wire import Frame

Failure = tuple[str, str, str, str, bytes | None]
"""Class name, message, traceback, where (worker, function, argument), pickled exception."""


def failure(
    error: BaseException, function: str, argument: str = "", namespace: Namespace = NOTHING
) -> Failure:
    """Describe ``error`` for the owner. Removes its traceback, which releases the frames. Never
    raises: an exception's class may do anything, and must not end the worker."""
    kind = type(error)
    misses = argument.startswith(_SEVERAL) and _misses_arguments(error)
    if issubclass(kind, NotPicklable):
        without_ours(error)
    else:
        from_the_program_on(error)
    text = _text(error)
    where = f"worker {os.getpid()}, {function}" + (f", argument {argument}" if argument else "")
    if misses:
        where += "; starmap passes its elements as separate arguments"
    # Not by assignment: its class may refuse that.
    BaseException.with_traceback(error, None)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return name, said(error), text, where, _pickled(error, namespace)


# Items that programs unpack.
_SEVERAL = ("tuple:", "list:")


def _misses_arguments(error: BaseException) -> bool:
    """Return True if the call of a function with one item failed, and nothing that it called."""
    if not issubclass(type(error), TypeError):
        return False
    # Not as an attribute: its class may refuse that.
    trace: types.TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return trace is not None and trace.tb_next is None and "missing" in said(error)


def _text(error: BaseException) -> str:
    import traceback  # not at the top: most workers never fail, and all would wait for the import

    try:
        return "".join(traceback.format_exception(error))
    except BaseException as bad:  # raised by an attribute that is looked up on it, say
        return f"{type(error).__name__}: {said(error)} <its traceback raised {type(bad).__name__}>"


def said(error: BaseException) -> str:
    """Return ``str(error)``; never raises."""
    try:
        return str(error)
    except BaseException as bad:  # a user's __str__ may raise anything
        return f"<its message raised {type(bad).__name__}>"


def _pickled(error: BaseException, namespace: Namespace) -> bytes | None:
    """Return the exception as bytes for ``pickle.loads``; None if only its text can be sent."""
    try:
        pickled = dumps(error, namespace, "exception", reducers=_EXCEPTIONS)
        # The buffers of arrays in the exception go in-band: this is the rare case.
        return b"".join(pickled.chunks) if not pickled.buffers.spans else _in_band(error)
    except BaseException:  # raised by a __reduce__, say, which may raise anything
        return None


def _in_band(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error, 5)
    except Exception:
        import cloudpickle  # the first of our picklers needed it as well

        return bytes(cloudpickle.dumps(error, 5))  # with its class by value


class _Exceptions(dict[type, Callable[[Any], Any]]):
    """The reducer of all exceptions whose classes do not define their own pickling."""

    def get(self, kind: type, default: Any = None) -> Any:
        if (
            issubclass(kind, BaseException)
            and kind.__reduce__ is BaseException.__reduce__
            and kind.__reduce_ex__ is object.__reduce_ex__
            and kind.__setstate__ is BaseException.__setstate__
            and getattr(kind, "__getstate__", None) is getattr(BaseException, "__getstate__", None)
            and registered_reducer(kind) is None
        ):
            return _reduce
        return default


def _reduce(error: BaseException) -> tuple[Any, ...]:
    """Reduce like ``BaseException.__reduce__``, with slots, and without calling the class."""
    kind = type(error)
    state = dict(object.__getattribute__(error, "__dict__"))
    for cls in kind.__mro__:
        for name, value in vars(cls).items():
            if isinstance(value, types.MemberDescriptorType) and cls.__module__ != "builtins":
                with contextlib.suppress(AttributeError):  # the slot was never set
                    state[name] = value.__get__(error)
    return _rebuild, (kind, vars(BaseException)["args"].__get__(error), state)


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    """Rebuild the exception. Its class is called with the arguments that the base class got; a
    class with other required arguments is not called. Then its attributes are set, bypassing a
    ``__setattr__`` that refuses."""
    try:
        error = kind(*args)
    except BaseException:
        error = kind.__new__(kind, *args)
    set_plainly = BaseException.__setattr__
    if type(error) is kind:
        set_plainly(error, "args", args)
        for name, value in state.items():
            set_plainly(error, name, value)
    return error


_EXCEPTIONS = _Exceptions(
    {BaseException: _reduce}
)  # not empty, which would mean that there are none


def revived(failed: dict[int, Failure], first: int | None) -> dict[int, BaseException]:
    """Return the exceptions of some items of a chunk, by their index in it.

    ``first``: the number of its first item; None for a call. A worker does not know it, and says only
    that a result cannot be pickled, not of which item.
    """
    found = {at: revive(how) for at, how in failed.items()}
    for at, error in found.items():
        # By its type: a property of its class may raise anything.
        if first is None or not issubclass(type(error), NotPicklable):
            continue
        assert isinstance(error, NotPicklable)
        if error.path.startswith(_RESULT):
            error.path = f"the result of item {first + at}{error.path.removeprefix(_RESULT)}"
            error.args = (error.path, *error.args[1:])
    return found


_RESULT = "result"


def revive(failed: Failure) -> BaseException:
    """Return the exception with the worker's traceback as its cause."""
    name, message, text, where, data = failed
    error: BaseException | None = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except BaseException as bad:  # its class requires other arguments, say
            text += f"\n(it could not be rebuilt here: {type(bad).__name__}: {said(bad)})"
    if not isinstance(error, BaseException):
        error = RemoteError(name, message)
    BaseException.__setattr__(error, "__cause__", RemoteTraceback(_with_source(text), where))
    return error


def _with_source(text: str) -> str:
    """Return the traceback with the source lines that only this process knows.

    The code of a notebook's cell, or of a line typed at the prompt, is in no file. Such a prompt
    keeps it in ``linecache``.
    """
    import linecache  # not at the top, as for traceback
    import re

    place = re.compile(r'^([ |]*)File "([^"]+)", line (\d+), in .*$')
    lines = text.split("\n")
    shown = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        shown.append(line)
        found = place.match(line)
        if found is not None and not following.startswith(f"{found[1]}  "):
            code = linecache.getline(found[2], int(found[3])).strip()
            shown += [f"{found[1]}  {code}"] if code else []
    return "\n".join(shown)


class Unloaded:
    """A placeholder in a worker for a function that no task has needed yet."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame


class Unusable:
    """A placeholder in a worker for a function that could not be loaded."""

    def __init__(self, failed: Failure) -> None:
        self.failure = failed


def fits_values(value: object, size: int) -> bool:
    """Return True if a worker may answer this when all of a chunk of ``size`` items went well."""
    return type(value) is list and len(value) == size


def fits_failures(value: object, size: int) -> bool:
    """Return True if a worker may answer this after a failure: values and failures by index."""
    if type(value) is not tuple or len(value) != 2 or not all(type(v) is dict for v in value):
        return False
    values, failed = value
    return bool(failed) and all(at in range(size) for at in (*values, *failed))


def describe(value: Any) -> str:
    """Return a failing argument's type and a short repr."""
    return f"{type(value).__name__}: {short(value)}"


def describe_call(payload: Any) -> str:
    """Return a description of the arguments of a call that failed."""
    try:
        args, kwargs = payload
    except (TypeError, ValueError):
        return ""
    described = [describe(value) for value in args]
    described += [f"{name}={describe(value)}" for name, value in kwargs.items()]
    return "; ".join(described)


def name_of(function: Any) -> str:
    """Return a function's name in error messages, bars and reports. It may be any text: what a
    terminal would obey is escaped."""
    name = getattr(function, "__qualname__", None)
    if name is None:
        inner = getattr(function, "func", None)
        return f"partial of {name_of(inner)}" if inner is not None else short(function)
    module = getattr(function, "__module__", None)
    return printable(f"{module}.{name}" if module else str(name))
