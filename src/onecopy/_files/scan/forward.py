"""A row group of Parquet that is read in pieces, forward.

A row group can only be decoded from its beginning. A worker that has read a piece of one keeps the
decoder, and goes on from there when it is given a later piece of the same group: so each worker decodes a
group once at most, however many pieces it is cut into. No piece but the wanted one is in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from typing import Any

from ...errors import BadFile


class Forward:
    """The rows of one group, from the first to the last.

    Args:
        raw: the open file, which is closed with this object.
        batches: all rows of the group.
        key: equal for pieces of the same rows.
    """

    def __init__(self, raw: Any, batches: Iterator[Any], key: Hashable) -> None:
        self.raw = raw
        self.key = key
        self.at = 0
        self._batches = batches
        self._rest: Any = None

    def rows(self, start: int, stop: int) -> Iterator[Any]:
        """Yield these rows, which must not be before ``at``. Raises BadFile if there are fewer."""
        while self.at < stop:
            batch, self._rest = self._rest, None
            if batch is None:
                batch = next(self._batches, None)
            if batch is None:
                raise BadFile(f"{self.raw.where!r} has been changed since it was scanned")
            skipped = min(max(0, start - self.at), batch.num_rows)
            taken = min(batch.num_rows, stop - self.at)
            self.at += taken
            if taken < batch.num_rows:
                self._rest = batch.slice(taken)
            if skipped < taken:
                yield batch.slice(skipped, taken - skipped)

    def close(self) -> None:
        """Close the file."""
        self._rest = None
        self._batches = iter(())
        self.raw.close()


class Kept(threading.local):
    """The row group that a thread has read a piece of last."""

    _last: Forward | None = None

    def take(self, key: Hashable, start: int) -> Forward | None:
        """Return the group with this key if its row ``start`` is still to come; else close the one
        that is kept."""
        last, self._last = self._last, None
        if last is not None and (last.key != key or last.at > start):
            last.close()
            return None
        return last

    def keep(self, group: Forward) -> None:
        """Keep a group for its next piece."""
        self._last = group
