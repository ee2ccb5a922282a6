"""A list and a long str in shared memory: ``SharedList`` and ``SharedText``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

import numpy as np

from .columns import Array, Column, Instances, Numbers, Records, Tuples

T = TypeVar("T")
# An iteration decodes at most this much at a time: values, and their bytes.
_BATCH, _BYTES = 1024, 1 << 20


class SharedList(Sequence[T]):
    """A sequence encoded in one segment, whose values are decoded on access.

    ``onecopy.share`` makes one from a list or tuple of Python objects. It behaves like a tuple:
    indexing, slicing (copies nothing), iterating, ``in``, ``len``, ``==`` with lists and tuples.
    Each access decodes a new object, equal to the original and of the same type: changing it
    changes nothing here.

    Numbers are stored as a typed array (``numpy.asarray`` of the whole copies nothing), records of
    one shape (dicts of the same keys, dataclasses, named tuples) field by field: ``column`` reads
    one field of all records without touching the others.

    Read-only. Thread- and fork-safe. Passing it, or a slice of it, to a worker copies no values.
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_column", "_get", "_places")

    def __init__(self, column: Any, places: range | None = None) -> None:
        self._column: Column = column  # created by ``share`` alone: not part of the public types
        self._places = range(len(column)) if places is None else places
        self._get = column.getter()

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedList, (self._column, self._places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> SharedList[T]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return SharedList(self._column, self._places[index])
        try:
            place = self._places[index]
        except IndexError:
            raise IndexError("list index out of range") from None
        return self._get(place)

    def __iter__(self) -> Iterator[T]:
        places = self._places
        if places.step != 1:
            yield from map(self._get, places)
            return
        run = self._column.runner()
        batch = min(_BATCH, _BYTES * len(self._column) // (self._column.nbytes + 1) + 1)
        for start in range(places.start, places.stop, batch):
            yield from run(start, min(start + batch, places.stop))

    def __reversed__(self) -> Iterator[T]:
        return iter(self[::-1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedList | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(
            mine is theirs or mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__: None = None  # type: ignore[assignment]  # it equals lists, which have none

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 3)))
        more = f", ... {len(self)} in all" if len(self) > 3 else ""
        return f"SharedList([{shown}{more}])"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if not isinstance(self._column, Numbers):
            return np.array(self.tolist(), dtype)
        places = self._places
        if places.step < 0:
            array = self._column.parts[0][: places.start + 1][:: places.step][: len(places)]
        else:
            array = self._column.parts[0][places.start : places.stop : places.step]
        return np.array(array, dtype, copy=copy)

    def tolist(self) -> list[T]:
        """Return all values, decoded, in a list of this process's own."""
        return list(self)

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the fields if all values are records of one shape; otherwise ()."""
        column = self._column
        if isinstance(column, Records):
            return tuple(column.parts[0])
        if isinstance(column, Instances):
            return tuple(column.parts[1])
        if isinstance(column, Tuples) and column.parts[0] is not None:
            return tuple(column.parts[0]._fields)
        return ()

    def column(self, name: str) -> Any:
        """Return one field of all records: a read-only array for numbers, otherwise a
        ``SharedList``.

        Raises KeyError if the values are not records of one shape with such a field.
        """
        fields = self.fields
        if name not in fields:
            known = f"they are {', '.join(fields)}" if fields else "its values have no fields"
            raise KeyError(f"no field {name!r}: {known}")
        columns = self._column.parts[2 if isinstance(self._column, Instances) else 1]
        found: SharedList[Any] = SharedList(columns[fields.index(name)], self._places)
        return np.asarray(found) if isinstance(found._column, Numbers) else found


class SharedText(Sequence[str]):
    """A long str in one segment: ``str(text)`` creates the str when needed.

    ``len``, an index and a slice (a str) cost only what that part costs. Read-only, thread- and
    fork-safe.
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_data", "_encoding", "_width")

    def __init__(self, data: Array, width: int) -> None:
        self._data = data
        self._width = width
        self._encoding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[width]

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedText, (self._data, self._width)

    def __len__(self) -> int:
        return len(self._data) // self._width

    def __str__(self) -> str:
        return self._decoded(0, len(self))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> str: ...

    def __getitem__(self, index: Any) -> str:
        if isinstance(index, slice):
            places = range(len(self))[index]
            if places.step == 1:
                return self._decoded(places.start, max(places.start, places.stop))
            return "".join(self[place] for place in places)
        try:
            place = range(len(self))[index]
        except IndexError:
            raise IndexError("string index out of range") from None
        return self._decoded(place, place + 1)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BATCH):
            yield from self[start : start + _BATCH]

    def __contains__(self, part: object) -> bool:
        return part in str(self)  # type: ignore[operator]  # str's own error for no str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedText | str):
            return NotImplemented
        return len(self) == len(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        if len(self) <= 60:
            return f"SharedText({str(self)!r})"
        return f"SharedText({self[:40]!r}... {len(self)} characters)"

    def _decoded(self, start: int, stop: int) -> str:
        part = memoryview(self._data)[start * self._width : stop * self._width]
        return str(part, self._encoding, "surrogatepass" if self._width > 1 else "strict")


def text_of(text: str) -> SharedText:
    """Return the text with the width of its widest character for all, as CPython stores it (PEP
    393): so the start of a slice can be computed."""
    for width, encoding in ((1, "latin-1"), (2, "utf-16-le"), (4, "utf-32-le")):
        try:
            data = text.encode(encoding, "surrogatepass" if width > 1 else "strict")
        except UnicodeEncodeError:
            continue
        if len(data) == width * len(text):
            return SharedText(np.frombuffer(data, "u1"), width)
    raise AssertionError("every str can be UTF-32")
