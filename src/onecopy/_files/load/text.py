"""The base of CSV and NDJSON readers: types may change while a file is read.

The types of columns are found in the first block of a file. If a later block shows that they do not
fit, what was learnt is kept in ``Found`` and ``Retyped`` is raised. The caller then starts again,
and the same file opens with other types. That happens a few times at most: types are only ever
widened, and a survey checks all values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .interface import Retyped, Wanted, reading
from .tables import readable, window

# The bytes of text that are decoded at a time.
BLOCK = 4 << 20
# Arrow counts the bytes of a block in 32 bits.
LARGEST_BLOCK = 1 << 30


@dataclass
class Found:
    """Facts learnt about a file beyond its first block.

    Attributes:
        types: of columns, by their position or name.
        settled: columns whose types were set by ``retype``.
        exact: columns of doubles whose values have all been checked.
        decimal: columns of integers of which none is written as 0xFF.
        offered: columns of which a check of all values has found the type once.
        encoding: the encoding, if the first bytes did not show it.
        times: fields of NDJSON that Arrow reads as times.
        moments: the types of columns that are requested as times.
        whole: True if all values of an NDJSON file have been checked.
        seen: the kinds of values of an NDJSON file, as far as they were looked at.
        dialect: the dialect of a CSV file, if it is known.
    """

    types: dict[Any, Any] = field(default_factory=dict)
    settled: set[Any] = field(default_factory=set)
    exact: set[Any] = field(default_factory=set)
    decimal: set[Any] = field(default_factory=set)
    offered: set[Any] = field(default_factory=set)
    encoding: str | None = None
    times: set[str] = field(default_factory=set)
    moments: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    seen: Any = None
    dialect: Any = None

    def copied(self) -> Found:
        """Return the same facts, apart from what a reader goes on to learn about the columns."""
        return replace(
            self,
            types=dict(self.types),
            settled=set(self.settled),
            exact=set(self.exact),
            decimal=set(self.decimal),
            offered=set(self.offered),
            times=set(self.times),
            moments=dict(self.moments),
        )


class Text:
    """A ``Tabular`` without its ``schema``; each read opens the file again."""

    what: str
    schema: Any

    def __init__(self, name: str, wanted: Wanted) -> None:
        self.where = name
        self.rows: int | None = None
        self._wanted = wanted
        self._options = wanted.text
        self._found: Found = wanted.found.setdefault(name, Found())

    def _guard(self) -> Any:
        return reading(self.where, self.what)

    def part(self) -> None:
        """Return None: it has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        try:
            yield from window(self._decoded(), start, stop)
        except Retyped:
            self._describe()
            raise

    def retype(self, types: Mapping[str, Any]) -> bool:
        """See ``Tabular``."""
        if not self._set_types(types):
            return False
        self._describe()
        return True

    def _describe(self) -> None:
        """Find the schema; repeated if a check of the file changes it."""
        self.rows = None
        while True:
            try:
                self.schema = readable(self._schema())
                return
            except Retyped:
                continue

    def _schema(self) -> Any:
        """Return the schema, by what is known of the file; raise Retyped if more became known."""
        raise NotImplementedError

    def _decoded(self) -> Iterator[Any]:
        """Yield all rows; raise Retyped."""
        raise NotImplementedError

    def _set_types(self, types: Mapping[str, Any]) -> bool:
        """Note types for the next ``_schema``; return False if they cannot be set."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to do: no file is open between reads."""
