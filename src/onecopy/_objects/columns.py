"""Columns: values of one kind in flat arrays, and the decoding of single values.

``building.encode`` looks at all values, picks the column that fits, and fills it. A record (a dict
of the same keys as its neighbours, a dataclass, a tuple) becomes a column per field. Values that no
other column can hold exactly are pickled, each by itself. So a decoded value always equals the
original and has its type; only identity between records is lost.

A column describes the decoding of its element ``i`` as a Python expression. A record's expression
is composed of those of its fields, and compiled once per process, as ``collections.namedtuple`` and
``dataclasses`` do it, and for the same reason: a record of seven fields is decoded by one call
instead of eight.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Callable
from typing import Any

Array = Any  # np.ndarray: NumPy's own types do not declare it as a buffer in some versions
Bind = Callable[[Any], str]
"""Gives an object a name that an expression may use."""

# The types that ``memoryview`` turns into an int, a float or a bool; others go through NumPy.
_DIRECT = frozenset("?bhilqBHILQd")


class Column:
    """Base of all columns. Never changes once made; thread- and fork-safe.

    Attributes:
        parts: arrays, other columns, small objects. A column is pickled as its parts.
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
        """Return the bytes of its arrays."""
        return _nbytes(self.parts)

    def expression(self, bind: Bind) -> str:
        """Return a Python expression that decodes element ``i``."""
        raise NotImplementedError

    def getter(self) -> Callable[[int], Any]:
        """Return a function from a position to a value. It does not check the position."""
        if self._get is None:
            self._get = self._compiled("lambda i: {}")
        return self._get

    def runner(self) -> Callable[[int, int], list[Any]]:
        """Return a function from a start and a stop to a list of values."""
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
        # Lone surrogates are not valid UTF-8, but a str may contain them.
        return f"str({data}[{at}[i]:{at}[i+1]], 'utf-8', 'surrogatepass')"


class Bytes(Text):
    """bytes: ``(bytes, offsets)``."""

    __slots__ = ()

    def expression(self, bind: Bind) -> str:
        data, at = (bind(memoryview(part)) for part in self.parts)
        return f"bytes({data}[{at}[i]:{at}[i+1]])"


class Categories(Column):
    """str with few different values: ``(numbers, the different ones)``."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.parts[0])

    def expression(self, bind: Bind) -> str:
        numbers, labels = self.parts
        return f"{bind(labels)}[{bind(memoryview(numbers))}[i]]"


class Lists(Column):
    """Lists of values of one column: ``(column of all elements, offsets)``."""

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
    """Rebuild an object as unpickling does: without calling ``__init__``."""
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
    """Anything that holds arrays: ``(streams, offsets, bytes of all buffers)``. Each stream comes
    with offset, length and strides (None: flat) of each of its buffers."""

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
