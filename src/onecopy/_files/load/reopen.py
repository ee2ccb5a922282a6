"""One file of a dataset: opened once for its schema, reopened when read.

So only one of a dataset's files is open at a time. If a file has changed in between, its length,
type or shape differs, and that is noticed where it matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ...errors import BadFile
from .interface import Array, Arrays, Retyped, Tabular
from .members import Refused

if TYPE_CHECKING:
    import numpy as np

Open = Callable[[], Any]


def described(open: Open) -> Arrays | Tabular:
    """Return a reader with the interface of ``open``'s result, for a file that is not open."""
    with closing(open()) as source:
        if isinstance(source, Arrays):
            members = {
                name: array if isinstance(array, Refused) else _Array(open, name, array)
                for name, array in source.members.items()
            }
            return Arrays(source.where, members, source.single)
        return _Table(open, source)


class _Array:
    """An ``Array``."""

    def __init__(self, open: Open, name: str, array: Array) -> None:
        self._open, self._name = open, name
        self.where, self.shape, self.dtype = array.where, array.shape, array.dtype

    def whole(self) -> None:
        """Return None: one file among several is copied."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        with closing(self._open()) as source:
            array = source.members.get(self._name)
            if array is None or (array.shape, array.dtype) != (self.shape, self.dtype):
                raise BadFile(f"{self.where!r} has been changed while it was read")
            yield from array.blocks(start, stop)


class _Table:
    """A ``Tabular``."""

    def __init__(self, open: Open, source: Tabular) -> None:
        self._open = open
        self.where, self.schema, self.rows = source.where, source.schema, source.rows

    def part(self) -> tuple[Any, bool, tuple[int, ...] | None] | None:
        """See ``Tabular``."""
        with closing(self._open()) as source:
            part: tuple[Any, bool, tuple[int, ...] | None] | None = source.part()
            self._same(source)
            return part

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        with closing(self._open()) as source:
            self._same(source)
            try:
                yield from source.batches(start, stop)
            except Retyped:
                self.schema, self.rows = source.schema, source.rows
                raise
            self._same(source)

    def retype(self, types: Mapping[str, Any]) -> bool:
        """See ``Tabular``."""
        with closing(self._open()) as source:
            done: bool = source.retype(types)
            self.schema = source.schema
            return done

    def _same(self, source: Tabular) -> None:
        known = None not in (self.rows, source.rows)
        if not source.schema.equals(self.schema) or (known and self.rows != source.rows):
            raise BadFile(f"{self.where!r} has been changed while it was read")
        self.rows = source.rows if self.rows is None else self.rows

    def close(self) -> None:
        """Nothing to do: no file is open between reads."""
