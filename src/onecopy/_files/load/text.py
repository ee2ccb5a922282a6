"""What CSV and NDJSON have in common: types may turn out to be others while a file is read.

The types of columns are found in the first block of a file. Where a later one shows that they
do not hold, what was learnt is kept in ``Found`` and ``Retyped`` is raised: whoever reads begins
anew, and the same file then opens with other types. That happens a few times at most, for types
are only ever widened, and a survey looks at all values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ...errors import BadFile
from .interface import Retyped, Wanted, reading
from .tables import readable, window

BLOCK = 4 << 20
# Arrow counts the bytes of a block in 32 bits.
LARGEST_BLOCK = 1 << 30


@dataclass
class Found:
    """Knowledge of a file beyond its first block.

    Attributes:
        types: of columns, by their position or name.
        settled: columns whose types were set by ``retype``.
        exact: columns of doubles of which every value has been looked at.
        encoding: where the first bytes did not tell.
        block: how many bytes are decoded at a time.
        times: fields of NDJSON that Arrow takes for times.
        moments: the types of columns that are asked for as times.
        whole: have all values of an NDJSON file been looked at?
    """

    types: dict[Any, Any] = field(default_factory=dict)
    settled: set[Any] = field(default_factory=set)
    exact: set[Any] = field(default_factory=set)
    encoding: str | None = None
    block: int = 0
    times: set[str] = field(default_factory=set)
    moments: dict[str, Any] = field(default_factory=dict)
    whole: bool = False

    def widen_block(self) -> bool:
        """A record is longer than a block; False when there is no larger one."""
        if self.block >= LARGEST_BLOCK:
            return False
        self.block = min(4 * self.block, LARGEST_BLOCK)
        return True


class Text:
    """A ``Tabular`` without its ``schema``; each reading opens the file anew."""

    what: str
    schema: Any

    def __init__(self, name: str, wanted: Wanted) -> None:
        self.where = name
        self.rows: int | None = None
        self._wanted = wanted
        self._options = wanted.text
        self._found: Found = wanted.found.setdefault(name, Found())
        self._found.block = self._found.block or BLOCK

    def _guard(self) -> Any:
        return reading(self.where, self.what)

    def part(self) -> None:
        """It has to be decoded."""

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
        """Finds the schema; more than once when a look at the file shows more of it."""
        self.rows = None
        while True:
            try:
                self.schema = readable(self._schema())
                return
            except Retyped:
                continue

    def _schema(self) -> Any:
        """The schema, by what is known of the file; raises Retyped when more became known."""
        raise NotImplementedError

    def _decoded(self) -> Iterator[Any]:
        """All rows; raises Retyped."""
        raise NotImplementedError

    def _set_types(self, types: Mapping[str, Any]) -> bool:
        """Notes types for the next ``_schema``; False when they cannot be set."""
        raise NotImplementedError

    def _longer_block(self) -> NoReturn:
        """Raises Retyped, to read on with blocks that the longest record fits in."""
        if not self._found.widen_block():
            raise BadFile(f"{self.where!r}: a record is longer than {LARGEST_BLOCK} bytes")
        raise Retyped(self.where)

    def close(self) -> None:
        """Nothing is open between readings."""
