"""Values of one kind side by side in flat arrays, and how to get one of them back.

``encode`` looks at all values, picks the column that fits, and fills it; a record (a dict of
the same keys as its neighbours, a dataclass, a tuple) becomes a column per field. Values that
no other column can hold exactly are pickled, each by itself, so what is decoded always
equals what was given and is of the same type; only that two records held the same object
is not known any more.

A column describes the decoding of its value ``i`` as a Python expression, and that of a
record is put together from those of its fields and compiled once per process: as
``collections.namedtuple`` and ``dataclasses`` do it, and for the same reason. A record of
seven fields is decoded by one call instead of eight.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Callable
from typing import Any

Array = Any  # np.ndarray: some versions of NumPy's own types do not know that it is a buffer
Bind = Callable[[Any], str]
"""Gives an object a name that an expression may use."""

# What ``memoryview`` turns into an int, a float or a bool; the others go through NumPy.
_DIRECT = frozenset("?bhilqBHILQd")


class Column:
    """Base of all columns. Never changes once made; thread- and fork-safe.

    Attributes:
        parts: what it is made of: arrays, other columns, small objects. It is pickled as these.
    """

    __slots__ = ("_get", "_run", "parts")

    def __init__(self, *parts: Any) -> None:
        self.parts = parts
        self._get: Callable[[int], Any] | None = None
        self._run: Callable[[int, int], list[Any]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return _nbytes(self.parts)

    def expression(self, bind: Bind) -> str:
        """How to get value ``i``."""
        raise NotImplementedError

    def getter(self) -> Callable[[int], Any]:
        """A function of the position. It does not check the position."""
        if self._get is None:
            self._get = self._compiled("lambda i: {}")
        return self._get

    def runner(self) -> Callable[[int, int], list[Any]]:
        """A function of the first position and the one after the last: a list of values."""
        if self._run is None:
            self._run = self._compiled("lambda start, stop: [{} for i in range(start, stop)]")
        return self._run

    def _compiled(self, form: str) -> Any:
        names: dict[str, Any] = {}

        def bind(obj: Any) -> str:
            names[f"_{len(names)}"] = obj
            return f"_{len(names) - 1}"

        return eval(form.format(self.expression(bind)), names)


def _nbytes(parts: Any) -> int:
    return sum(
        _nbytes(part) if isinstance(part, list) else int(getattr(part, "nbytes", 0))
        for part in parts
    )


class Numbers(Column):
    """bool, int, float or complex: ``(array,)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[0])

    def expression(self, bind: Bind) -> str:
        array: Array = self.parts[0]
        if array.dtype.char in _DIRECT:
            return f"{bind(memoryview(array))}[i]"
        return f"{bind(array.item)}(i)"

    def runner(self) -> Callable[[int, int], list[Any]]:
        array: Array = self.parts[0]
        return lambda start, stop: array[start:stop].tolist()


class Scalars(Numbers):
    """NumPy's own scalars: ``(array,)``."""

    __slots__ = ()

    def expression(self, bind: Bind) -> str:
        return f"{bind(self.parts[0])}[i]"

    def runner(self) -> Callable[[int, int], list[Any]]:
        array: Array = self.parts[0]
        return lambda start, stop: list(array[start:stop])


class Constant(Column):
    """One value for all: ``(value, count)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return int(self.parts[1])

    def expression(self, bind: Bind) -> str:
        return bind(self.parts[0])


class Text(Column):
    """str: ``(UTF-8, offsets)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[1]) - 1

    def expression(self, bind: Bind) -> str:
        data, at = (bind(memoryview(part)) for part in self.parts)
        # Lone surrogates are no UTF-8, but a str may have them.
        return f"str({data}[{at}[i]:{at}[i+1]], 'utf-8', 'surrogatepass')"


class Bytes(Text):
    """bytes: ``(bytes, offsets)``."""

    __slots__ = ()

    def expression(self, bind: Bind) -> str:
        data, at = (bind(memoryview(part)) for part in self.parts)
        return f"bytes({data}[{at}[i]:{at}[i+1]])"


class Categories(Column):
    """str of which there are few different ones: ``(numbers, the different ones)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[0])

    def expression(self, bind: Bind) -> str:
        numbers, labels = self.parts
        return f"{bind(labels)}[{bind(memoryview(numbers))}[i]]"


class Lists(Column):
    """Lists of what one column holds: ``(column of all elements, offsets)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[1]) - 1

    def expression(self, bind: Bind) -> str:
        inner, at = self.parts[0], bind(memoryview(self.parts[1]))
        if type(inner) is Numbers and inner.parts[0].dtype.char in _DIRECT:
            return f"{bind(memoryview(inner.parts[0]))}[{at}[i]:{at}[i+1]].tolist()"
        return f"{bind(inner.runner())}({at}[i], {at}[i+1])"


class Records(Column):
    """dicts of the same keys: ``(keys, columns, count)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return int(self.parts[2])

    def expression(self, bind: Bind) -> str:
        keys, columns, _ = self.parts
        items = (
            f"{key!r}: {column.expression(bind)}" for key, column in zip(keys, columns, strict=True)
        )
        return f"{{{', '.join(items)}}}"


class Tuples(Column):
    """Tuples of the same length: ``(class or None, columns, count)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return int(self.parts[2])

    def expression(self, bind: Bind) -> str:
        kind, columns, _ = self.parts
        values = "".join(f"{column.expression(bind)}, " for column in columns)
        return f"({values})" if kind is None else f"{bind(kind._make)}(({values}))"


class Instances(Column):
    """Dataclasses: ``(class, field names, columns, count)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return int(self.parts[3])

    def expression(self, bind: Bind) -> str:
        kind, names, columns, _ = self.parts
        values = (
            f"{name!r}: {column.expression(bind)}"
            for name, column in zip(names, columns, strict=True)
        )
        return f"{bind(_restore)}({bind(kind)}, {{{', '.join(values)}}})"


def _restore(kind: type, fields: dict[str, Any]) -> Any:
    """As unpickling does it: without a call of ``__init__``."""
    obj: Any = object.__new__(kind)
    obj.__dict__.update(fields)
    return obj


class Union(Column):
    """Values of several kinds: ``(which column, where in it, columns)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[0])

    def expression(self, bind: Bind) -> str:
        which, where, columns = self.parts
        getters = [column.getter() for column in columns]
        which, where = bind(memoryview(which)), bind(memoryview(where))
        return f"{bind(getters)}[{which}[i]]({where}[i])"


class Objects(Column):
    """Anything, each value pickled: ``(streams, offsets)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[1]) - 1

    def expression(self, bind: Bind) -> str:
        data, at = (bind(memoryview(part)) for part in self.parts[:2])
        return f"{bind(pickle.loads)}({data}[{at}[i]:{at}[i+1]])"


class Buffered(Objects):
    """Anything that holds arrays: ``(streams, offsets, bytes of all buffers)``. A stream is
    accompanied by offset, length and strides (None: flat) of each of its buffers."""

    __slots__ = ()

    def expression(self, bind: Bind) -> str:
        streams, at, data = (bind(memoryview(part)) for part in self.parts)
        return f"{bind(_on_buffers)}({streams}[{at}[i]:{at}[i+1]], {data})"


def _on_buffers(piece: memoryview, data: memoryview) -> Any:
    stream, entries = marshal.loads(piece)
    buffers = [
        data[offset : offset + length] if strides is None else (data, offset, strides)
        for offset, length, strides in entries
    ]
    return pickle.loads(stream, buffers=buffers)
