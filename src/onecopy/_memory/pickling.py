"""Pickling an object into a stream and a list of spans; no byte of a buffer is touched.

Covers protocol 5 with our reducers, and functions and classes by value where the receiver
cannot import them. What happens to the spans is ``codec``'s business; the search for the
culprit when something cannot be pickled is in ``blame``.

Two picklers: C's own, which handles nearly everything, and cloudpickle's, taken up when
the first meets a lambda, a closure or something of ``__main__``: its import and its speed
are not paid by those who do not need them.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from .._system import mapping
from . import blame
from .kinds import reducer_of
from .spans import Span

# The names of ``__main__`` that the receiver has as well, and the objects they stood for
# when it was forked; empty where the receiver is a fresh interpreter.
Namespace = Mapping[str, Any]
NOTHING: Namespace = {}

Reducers = Mapping[type, Callable[[Any], Any]]
NO_REDUCERS: Reducers = {}


class _ByValue(Exception):
    """Something has to travel by value: the other pickler is needed."""


def _known(obj: Any, namespace: Namespace) -> bool:
    """Does the receiver find this very object of ``__main__`` under its name?"""
    first, *rest = obj.__qualname__.split(".")
    found = namespace.get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found is obj


def by_value_module(name: str | None) -> bool:
    """Did the user ask cloudpickle to send what this module defines by value?"""
    # Another thread may be importing it just now: then nobody has asked yet.
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    asked: Any = getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", ())
    return any(f"{name}.".startswith(f"{module}.") for module in asked)


class Buffers:
    """The spans of one message, in the order in which the stream asks for them.

    Attributes:
        spans: see ``spans``.
        pickled: what the object holds that cannot stand in shared memory: of each array whose
            elements are pickled, its dtype.
        sealing: will the object stand in memory that nobody can write?
        reducers: more of them, by class, that are asked first.
    """

    def __init__(self, *, sealing: bool = False, reducers: Reducers = NO_REDUCERS) -> None:
        self.spans: list[Span] = []
        self.pickled: list[str] = []
        self.sealing = sealing
        self.reducers = reducers

    def reduce(self, obj: Any) -> Any:
        """Our reducers, by the object's class; NotImplemented where there is none."""
        if self.reducers and (special := self.reducers.get(type(obj))) is not None:
            return special(obj)
        reducer = reducer_of(type(obj))
        return NotImplemented if reducer is None else reducer(obj, self)

    def take(self, buffer: pickle.PickleBuffer) -> None:
        """The pickler's ``buffer_callback``; None keeps the buffer out of the stream."""
        from_array = sys.modules.get("onecopy._memory.arrays")
        if buffer is getattr(from_array, "_SLOT", None):
            return  # its span was noted by the reducer
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: its elements are gathered
            with memoryview(buffer) as whole:
                view = memoryview(bytearray(whole.tobytes()))
        low = mapping.address_of(view) if view.nbytes else 0
        self.spans.append(
            Span(low, low + view.nbytes, 0, None, not view.readonly, view.nbytes, view)
        )


class _Fast(pickle.Pickler):
    """C's pickler with our reducers; raises ``_ByValue`` when it is not enough."""

    def __init__(self, file: Any, buffers: Buffers, namespace: Namespace) -> None:
        super().__init__(file, 5, buffer_callback=buffers.take)
        self._buffers = buffers
        self._namespace = namespace

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.FunctionType or issubclass(kind, type):
            module = obj.__module__
            if module == "__main__":
                if not _known(obj, self._namespace):
                    raise _ByValue
            elif by_value_module(module):
                raise _ByValue
            return NotImplemented
        return self._buffers.reduce(obj)


_slow: Any = None


def _slow_pickler() -> Any:
    """The by-value pickler, made when first needed: cloudpickle takes 20 ms to import."""
    global _slow
    if _slow is None:
        import cloudpickle

        from .globals import WorkerNamespace, in_module

        class Slow(cloudpickle.Pickler):  # type: ignore[misc]
            """cloudpickle's pickler with our reducers."""

            def __init__(self, file: Any, buffers: Buffers, namespace: Namespace) -> None:
                super().__init__(file, 5, buffer_callback=buffers.take)
                self._buffers = buffers
                self._namespace = namespace

            def reducer_override(self, obj: Any) -> Any:
                reduced = self._buffers.reduce(obj)
                if reduced is not NotImplemented:
                    return reduced
                if (
                    isinstance(obj, types.FunctionType | type)
                    and obj.__module__ == "__main__"
                    and _known(obj, self._namespace)
                ):
                    return NotImplemented
                reduced = super().reducer_override(obj)
                if (
                    reduced is not NotImplemented
                    and type(obj) is types.FunctionType
                    and isinstance(self._namespace, WorkerNamespace)
                ):
                    return in_module(obj, reduced, self._namespace, self._dumps)
                return reduced

            def _dumps(self, obj: Any) -> tuple[list[Any], list[Span]]:
                pickled = dumps(obj, self._namespace)
                return pickled.chunks, pickled.buffers.spans

        _slow = Slow
    return _slow


class _Chunks:
    """The file that a pickler writes to: it keeps what it is given.

    The C pickler hands over a large bytes, bytearray or str as the object itself instead
    of copying it into its frame (PEP 3154, framing), so large ones are not copied here.
    """

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.write = self.chunks.append


def dumps(
    obj: Any,
    namespace: Namespace = NOTHING,
    what: str = "object",
    *,
    sealing: bool = False,
    reducers: Reducers = NO_REDUCERS,
) -> Pickled:
    """Pickles ``obj`` without its buffers.

    Args:
        obj: what is to travel.
        namespace: see ``Namespace``.
        what: what to call it in an error, such as ``"result"``.
        sealing, reducers: see ``Buffers``.

    Raises:
        NotPicklable: names the attribute that is to blame.
        Exception: what an object's own ``__reduce__`` raised; see ``blame``.
    """
    for choose in (lambda: _Fast, _slow_pickler):
        file, buffers = _Chunks(), Buffers(sealing=sealing, reducers=reducers)
        try:
            choose()(file, buffers, namespace).dump(obj)
        except _ByValue:
            continue
        except Exception as error:
            # What C's pickler cannot do, cloudpickle's may: a lambda, for one.
            if choose is not _slow_pickler:
                continue
            raise blame.refusal(obj, what, _attempt(namespace), error)  # noqa: B904 (it has its cause)
        return Pickled(file.chunks, buffers)
    raise AssertionError("unreachable")  # pragma: no cover


class Pickled:
    """A pickle stream in pieces, and the buffers that belong into it."""

    __slots__ = ("buffers", "chunks", "size")

    def __init__(self, chunks: list[Any], buffers: Buffers) -> None:
        self.chunks = chunks
        self.buffers = buffers
        self.size = sum(map(len, chunks))


def _attempt(namespace: Namespace) -> Callable[[Any], Exception | None]:
    """Tries to pickle something, for ``blame``."""

    def attempt(obj: Any) -> Exception | None:
        try:
            _slow_pickler()(io.BytesIO(), Buffers(), namespace).dump(obj)
        except Exception as error:
            return error
        return None

    return attempt
