"""Pickles an object into a stream and a list of spans, without touching a byte of a buffer.

Covers protocol 5 with our reducers, and functions and classes by value if the receiver cannot
import them. ``codec`` handles the spans; if something cannot be pickled, ``blame`` searches for the
culprit.

There are two picklers: C's own, which handles nearly everything, and cloudpickle's, used when the
first meets a lambda, a closure or something of ``__main__``. Programs that do not need the second
do not pay for its import and its speed.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar

from .._system import mapping
from .._system.interrupts import raised_by_handler
from . import blame
from .adapters import reducer_of
from .buffers import BufferView
from .homes import (
    MAIN_NAMES,
    find,
    home_by_name,
    is_in_space,
    is_user_module,
    reduce_class,
    reduce_function,
)

Reducers = Mapping[type, Callable[[Any], Any]]
NO_REDUCERS: Reducers = {}
Defining = frozenset[tuple[str, str]]
"""Home and name of an object that is being sent by value now: it cannot be found there yet."""
NOT_DEFINING: Defining = frozenset()


class Namespace:
    """The names that a receiver can look up. This base class is for an unknown receiver.

    Shared or logged objects may be read by any process of the program. So the main module is named
    if every process can import it; otherwise its contents are sent by value.
    """

    peer = False
    """True for the other side of a pool, which is sent the parts of the main module that it needs.
    """

    def home(self, obj: Any) -> str | None:
        """Return the home in which the receiver finds ``obj``; None if it must be sent by value."""
        home = home_by_name(obj)
        if home != "":
            return None if home is None or home.startswith("<") else home
        from .main_module import main_module  # workers must not wait for its parser

        main = main_module()
        return (
            "" if main is not None and main.defines(obj.__qualname__.split(".")[0], obj) else None
        )


class Peer(Namespace):
    """The other side of a pool: it has, or is sent, everything that is found by name here."""

    peer = True

    def home(self, obj: Any) -> str | None:
        return home_by_name(obj)


NOTHING = Namespace()
PEER = Peer()


class _ByValue(Exception):
    """An object must be sent by value: the other pickler is needed."""


def by_value_module(name: str | None) -> bool:
    """Return True if the user has asked cloudpickle to send this module's contents by value."""
    # Another thread may be importing it just now: then nothing was registered yet.
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    asked: Any = getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", ())
    return any(f"{name}.".startswith(f"{module}.") for module in asked)


class Buffers:
    """The spans of one message, in the order in which the stream uses them.

    Attributes:
        spans: the buffers; see the module ``buffers``.
        pickled: the dtypes of arrays whose elements are pickled: they cannot be in shared memory.
        sealing: True if the object is put into memory that is read-only for every process.
        reducers: additional ones, by class, that come first.
        defining: see ``Defining``.
        inline: small arrays may go into the stream. Not those of a shared object, whose every array
            is in memory.
        has_small: some have.
        references: the user's functions and classes that the object refers to.
        built: classes that the message defines.
    """

    def __init__(
        self,
        *,
        sealing: bool = False,
        reducers: Reducers = NO_REDUCERS,
        defining: Defining = NOT_DEFINING,
        inline: bool = False,
    ) -> None:
        self.defining = defining
        self.inline = inline
        self.has_small = False
        self.references: list[Any] = []
        self.built: set[type] = set()
        self.spans: list[BufferView] = []
        self.pickled: list[str] = []
        self.sealing = sealing
        self.reducers = reducers

    def reduce(self, obj: Any) -> Any:
        """Reduce an object by its class; return NotImplemented if there is no reducer."""
        if self.reducers and (special := self.reducers.get(type(obj))) is not None:
            return special(obj)
        reducer = reducer_of(type(obj))
        return NotImplemented if reducer is None else reducer(obj, self)

    def leaves(self, kind: type) -> bool:
        """Return True if there is no reducer for the objects of a class."""
        return self.reducers.get(kind) is None and reducer_of(kind) is None

    def refer(self, obj: Any, namespace: Namespace) -> Any:
        """Reduce a function or class to its name in its home; return None if it must be sent by
        value."""
        module = obj.__module__
        if module not in MAIN_NAMES and not is_in_space(obj):
            if by_value_module(module):
                return None
            if is_user_module(module):
                self.references.append(obj)
            return NotImplemented
        home = namespace.home(obj)
        if home is None or (home, obj.__qualname__.partition(".")[0]) in self.defining:
            return None
        if self.built and isinstance(obj, type) and self._builds_on_built(obj):
            return None
        self.references.append(obj)
        return find, (home, obj.__qualname__)

    def _builds_on_built(self, kind: type) -> bool:
        """Return True for a class that needs one that this message defines: a subclass that its
        base class keeps in a registry, say. Neither exists before the other."""
        metaclass: type = type(kind)
        return any(base in self.built for base in (*kind.__mro__[1:], *metaclass.__mro__))

    def take(self, buffer: pickle.PickleBuffer) -> None:
        """Take a buffer, as the pickler's ``buffer_callback``; returning None keeps it out of the
        stream."""
        from_array = sys.modules.get("onecopy._codec.arrays")
        if buffer is getattr(from_array, "_SLOT", None):
            return  # the reducer has noted its span
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: its elements are gathered
            with memoryview(buffer) as whole:
                view = memoryview(bytearray(whole.tobytes()))
        low = mapping.address_of(view) if view.nbytes else 0
        self.spans.append(
            BufferView(low, low + view.nbytes, 0, None, not view.readonly, view.nbytes, view)
        )


class _Fast(pickle.Pickler):
    """C's pickler with our reducers; raises ``_ByValue`` if it is not enough."""

    def __init__(self, file: Any, buffers: Buffers, namespace: Namespace) -> None:
        super().__init__(file, 5, buffer_callback=buffers.take)
        self._buffers = buffers
        self._namespace = namespace
        # Classes met in this message that are left to their own pickling. A separate set: calling
        # ``reducer_of`` for every object takes as long as pickling a small one.
        self._plain: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in self._plain:
            return NotImplemented
        if kind is types.FunctionType or kind is _CACHED or issubclass(kind, type):
            reduced = self._buffers.refer(obj, self._namespace)
            if reduced is None:
                raise _ByValue
            return reduced
        if kind is types.ModuleType:
            return _by_import(obj)
        if self._buffers.leaves(kind):
            self._plain.add(kind)
            return NotImplemented
        return self._buffers.reduce(obj)


# The type of functions wrapped by ``functools.lru_cache`` and ``functools.cache``.
_CACHED: Any = type(functools.lru_cache(lambda: None))


def _by_import(module: types.ModuleType) -> Any:
    name = module.__name__
    if sys.modules.get(name) is not module:
        return NotImplemented
    return import_module, ("__main__" if name in MAIN_NAMES else name,)


def _cached(function: Any, options: dict[str, Any]) -> Any:
    """Rebuild a cached function that was sent by value, in the receiver; its cache is empty."""
    return functools.lru_cache(**options)(function)


# The position of ``co_filename`` among the arguments of ``types.CodeType``.
_FILE = 10


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Reduce a code object with the name of its file: cloudpickle 3.1.3 and later leave it out, and
    tracebacks, warnings and profiles of workers name the file and show the line."""
    import cloudpickle  # imported already by the pickler that calls this

    make, args = cloudpickle.Pickler.dispatch_table[types.CodeType](code)
    return make, (*args[:_FILE], code.co_filename, *args[_FILE + 1 :])


def _text_file(file: io.TextIOWrapper) -> Any:
    """Reduce an open text file: one for reading arrives as a copy of its text, as by cloudpickle,
    which also copies those for both, and loses what a worker writes."""
    import cloudpickle  # see ``_code``

    mode = getattr(file, "mode", "r")
    if "+" in mode:
        raise pickle.PicklingError(
            f"a file that is open for writing (mode {mode!r}) cannot be sent: pass its name, and "
            "open it in the function"
        )
    return cloudpickle.Pickler.dispatch_table[io.TextIOWrapper](file)


def _by_value(pickler: Any, obj: Any, usual: Callable[[Any], Any]) -> Any:
    """Reduce a function or class by value; ``usual`` is what cloudpickle's pickler does."""
    if not is_in_space(obj):
        return usual(obj)
    # cloudpickle would send the name of a module that the receiver cannot import.
    if isinstance(obj, types.FunctionType):
        return pickler._dynamic_function_reduce(obj)
    from cloudpickle import cloudpickle  # see ``_code``

    return cloudpickle._dynamic_class_reduce(obj)


_slow: Any = None


def _slow_pickler() -> Any:
    """Return the by-value pickler, created when first needed: cloudpickle takes 20 ms to import."""
    global _slow
    if _slow is None:
        import cloudpickle

        class Slow(cloudpickle.Pickler):  # type: ignore[misc]
            """cloudpickle's pickler with our reducers."""

            dispatch_table: ClassVar[Any] = ChainMap(
                {types.CodeType: _code, io.TextIOWrapper: _text_file},
                cloudpickle.Pickler.dispatch_table,
            )

            def __init__(self, file: Any, buffers: Buffers, namespace: Namespace) -> None:
                super().__init__(file, 5, buffer_callback=buffers.take)
                self._buffers = buffers
                self._namespace = namespace

            def reducer_override(self, obj: Any) -> Any:
                reduced = self._buffers.reduce(obj)
                if reduced is not NotImplemented:
                    return reduced
                kind = type(obj)
                if kind is types.ModuleType and obj.__name__ in MAIN_NAMES:
                    return _by_import(obj)
                if not (kind is types.FunctionType or kind is _CACHED or issubclass(kind, type)):
                    return super().reducer_override(obj)
                # Not found by name: a lambda, a closure.
                by_name = home_by_name(obj) is not None
                reduced = self._buffers.refer(obj, self._namespace) if by_name else None
                if reduced is NotImplemented:
                    return reduced if kind is _CACHED else super().reducer_override(obj)
                if reduced is not None:
                    return reduced
                if kind is _CACHED:
                    return _cached, (obj.__wrapped__, obj.cache_parameters())
                reduced = _by_value(self, obj, super().reducer_override)
                if kind is not types.FunctionType:
                    self._buffers.built.add(obj)
                    reduced = reduce_class(obj, reduced)
                if reduced is NotImplemented or not self._namespace.peer:
                    return reduced
                self._buffers.references.append(obj)
                return reduce_function(obj, reduced) if kind is types.FunctionType else reduced

        _slow = Slow
    return _slow


class _Chunks:
    """A file that keeps the chunks that a pickler writes.

    The C pickler hands over a large bytes, bytearray or str as the object itself instead of copying
    it into its frame (PEP 3154, framing), so large ones are not copied here.
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
    defining: Defining = NOT_DEFINING,
    most: int | None = None,
) -> Pickled:
    """Pickle ``obj`` without its buffers.

    Args:
        obj: the object.
        namespace: see ``Namespace``.
        what: its name in errors, such as ``"result"``.
        sealing, reducers, defining: see ``Buffers``.
        most: the largest allowed length of the stream, in bytes.

    Raises:
        NotPicklable: names the attribute that cannot be pickled.
        TooLong: the stream is longer than ``most``.
        Exception: raised by an object's own ``__reduce__``; see ``blame``.
    """
    make = functools.partial(Buffers, sealing=sealing, reducers=reducers, defining=defining)
    for choose in (lambda: _Fast, _slow_pickler):
        try:
            return _pickled(obj, choose(), namespace, make(inline=not sealing), most)
        except _ByValue:
            continue
        except TooLong:
            raise
        except Exception as error:
            if raised_by_handler(error):
                raise
            # cloudpickle may handle what C's pickler cannot: a lambda, for one.
            if choose is not _slow_pickler:
                continue
            raise blame.refusal(obj, what, _attempt(namespace), error)  # noqa: B904 (it has its cause)
    raise AssertionError("unreachable")  # pragma: no cover


def _pickled(
    obj: Any, pickler: Any, namespace: Namespace, buffers: Buffers, most: int | None
) -> Pickled:
    file = _Chunks() if most is None else _FewChunks(most)
    pickler(file, buffers, namespace).dump(obj)
    return Pickled(file.chunks, buffers)


class TooLong(Exception):
    """A pickle stream is longer than allowed."""


class _FewChunks(_Chunks):
    """Like ``_Chunks``, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most
        self.write = self._write

    def _write(self, chunk: Any) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLong
        self.chunks.append(chunk)


class Pickled:
    """A pickle stream in pieces, and its buffers."""

    __slots__ = ("buffers", "chunks", "size")

    def __init__(self, chunks: list[Any], buffers: Buffers) -> None:
        self.chunks: list[Any] = chunks
        self.buffers: Buffers = buffers
        self.size: int = sum(map(len, chunks))


def _attempt(namespace: Namespace) -> Callable[[Any], Exception | None]:
    """Return a function that tries to pickle something, for ``blame``."""

    def attempt(obj: Any) -> Exception | None:
        try:
            _slow_pickler()(io.BytesIO(), Buffers(), namespace).dump(obj)
        except Exception as error:
            if raised_by_handler(error):
                raise
            return error
        return None

    return attempt
