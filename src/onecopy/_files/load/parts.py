"""Tables of a dataset with its folders' keys as columns, and with only the rows that ``filter=``
selects.

Both wrap the ``Tabular`` that a format's module has opened, and are a ``Tabular`` themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from ...errors import BadFile
from . import filters
from .interface import Tabular, Wanted, chosen, library
from .places import File
from .tables import arrow_type, window

_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


class Keys:
    """The keys of all files of a dataset, each with its type: integer or text.

    Raises BadFile if a file has no value for a key that others have.
    """

    def __init__(self, files: Sequence[str], wanted: Wanted) -> None:
        self._given = {str(each): each.keys for each in files if isinstance(each, File)}
        names = list(dict.fromkeys(key for each in self._given.values() for key in each))
        self.types: dict[str, Any] = {}
        if not names:
            return
        for name in names:
            for file in files:
                if name not in self._given.get(str(file), {}) and wanted.missing == "error":
                    raise BadFile(
                        f"{str(file)!r} is in no folder {name}=..., as others are; missing='null' "
                        "makes that null"
                    )
            self.types[name] = self._type(name, wanted.dtype)

    def _type(self, name: str, dtype: Any) -> Any:
        pa = library("pyarrow", "arrow")
        if isinstance(dtype, Mapping) and name in dtype:
            return arrow_type(dtype[name])
        values = [each.get(name) for each in self._given.values()]
        whole = all(value is None or _WHOLE.fullmatch(value) for value in values)
        return pa.int64() if whole else pa.string()

    def of(self, file: str) -> dict[str, Any]:
        """Return the values of one file, as scalars."""
        pa = library("pyarrow", "arrow")
        given = self._given.get(str(file), {})
        made = {}
        for name, kind in self.types.items():
            try:
                made[name] = pa.scalar(given.get(name), pa.string()).cast(kind)
            except pa.ArrowInvalid as error:
                raise BadFile(f"{str(file)!r}: {name}={given[name]!r} is no {kind}") from error
        return made

    def meets(self, file: str, wanted: Wanted) -> bool:
        """Return True if this file may have a wanted row, judged by its keys."""
        return all(
            filters.same(wanted.filter, value.as_py(), value.type, name)
            for name, value in self.of(file).items()
        )


class Dataset:
    """The files of one table, with the keys of their folders.

    Attributes:
        names: the files that may hold a wanted row.
    """

    def __init__(
        self, names: Sequence[str], wanted: Wanted, open: Callable[[str, Wanted], Tabular]
    ) -> None:
        self._keys = Keys(names, wanted)
        self._open = open
        met = [name for name in names if self._keys.meets(name, wanted)]
        self.names = met or list(names[:1])  # one file shows the columns

    def open(self, name: str, wanted: Wanted) -> Tabular:
        """Open one of the files, as a part of the table."""
        keys = self._keys.of(name)
        if not (keys or wanted.filter or wanted.missing == "null"):
            return self._open(name, wanted)
        return Part(self._open(name, self._inner(name, wanted)), keys, wanted)

    def _inner(self, name: str, wanted: Wanted) -> Wanted:
        """Return the part of ``wanted`` for the file itself: with the compared columns, without
        those that its folders provide or that it does not have."""
        if wanted.columns is None and not isinstance(wanted.dtype, Mapping):
            return wanted
        with closing(self._open(name, replace(wanted, columns=None, dtype=None))) as file:
            there = file.schema.names
        columns, dtype = wanted.columns, wanted.dtype
        if isinstance(dtype, Mapping):
            lacking = set() if wanted.missing == "error" else dtype.keys() - set(there)
            lacking |= self._keys.types.keys() - set(there)
            dtype = {each: kind for each, kind in dtype.items() if each not in lacking} or None
        if columns is not None:
            compared = (each.column for each in wanted.filter)
            asked = dict.fromkeys((*columns, *compared))
            # Rows are counted by some column, even if no column is wanted.
            columns = tuple(each for each in asked if each in there) or tuple(there[:1])
        return replace(wanted, columns=columns, dtype=dtype)


class Part:
    """A ``Tabular`` on one file of a dataset.

    Args:
        source: the file itself.
        keys: the values of the folders' keys. If a column of the file has the name of a key, the
            file's values are used.
        wanted: the columns and the rows that are wanted.
    """

    def __init__(self, source: Tabular, keys: Mapping[str, Any], wanted: Wanted) -> None:
        self._source, self._keys, self._wanted = source, keys, wanted
        self._rows: int | None = None
        self.where = source.where
        self._unfiltered = not wanted.filter
        names = [*source.schema.names, *keys]
        for each in (*(each.column for each in wanted.filter), *(wanted.columns or ())):
            if wanted.missing == "error":
                chosen(self.where, names, (each,), "column")

    @property
    def rows(self) -> int | None:
        """See ``Tabular``; with a filter it is only known at the end."""
        return self._source.rows if self._unfiltered else self._rows

    @property
    def schema(self) -> Any:
        """See ``Tabular``."""
        pa = library("pyarrow", "arrow")
        whole = self._whole()
        if self._wanted.columns is None:
            return whole
        fields = [each for n in self._wanted.columns for each in whole if each.name == n]
        return pa.schema(fields, whole.metadata)

    def _whole(self) -> Any:
        """Return the schema of the file, with the keys."""
        pa = library("pyarrow", "arrow")
        schema = self._source.schema
        for name, value in self._added().items():
            schema = schema.append(pa.field(name, value.type))
        return schema

    def _added(self) -> dict[str, Any]:
        there = set(self._source.schema.names)
        return {name: value for name, value in self._keys.items() if name not in there}

    def part(self) -> tuple[Any, bool, tuple[int, ...] | None] | None:
        """See ``Tabular``."""
        if self._unfiltered and not self._added() and self.schema.equals(self._source.schema):
            return self._source.part()
        return None

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        if self._unfiltered:
            for batch in self._source.batches(start, stop):
                yield self._finished(batch)
            return
        yield from window(self._filtered(), start, stop)

    def _filtered(self) -> Iterator[Any]:
        rows = 0
        for batch in self._source.batches(0, None):
            whole = self._with_keys(batch)
            kept = whole.filter(filters.mask(whole, self._wanted.filter, self.where))
            rows += kept.num_rows
            yield self._finished(kept, whole=True)
        self._rows = rows

    def _with_keys(self, batch: Any) -> Any:
        pa = library("pyarrow", "arrow")
        columns = list(batch.columns)
        columns += [pa.repeat(value, batch.num_rows) for value in self._added().values()]
        return pa.RecordBatch.from_arrays(columns, schema=self._whole())

    def _finished(self, batch: Any, whole: bool = False) -> Any:
        """Return a batch with the wanted columns, in their order."""
        if not whole:
            batch = self._with_keys(batch)
        if self._wanted.columns is None:
            return batch
        names = batch.schema.names
        at = [at for n in self._wanted.columns for at, name in enumerate(names) if name == n]
        return batch.select(at)

    def retype(self, types: Mapping[str, Any]) -> bool:
        """See ``Tabular``."""
        return self._source.retype(types)

    def close(self) -> None:
        """See ``Tabular``."""
        self._source.close()
