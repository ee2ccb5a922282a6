"""The recorder of a pool's tasks: a record per task, in bounded memory.

Records are packed into blocks in the layout of ``columns.SPAN``, which takes about a microsecond
each and no NumPy. If there are more than should be kept, the oldest block is added to exact totals
and dropped, except the longest tasks in it. The worker's measurements are in ``_worker.main``.

Threads. Any may call ``record``; ``_lock`` is held for appending alone. The thread that fills a
block folds the oldest one, and a reader takes what is there: neither waits for the other longer
than it takes to fold 4,096 records (about two milliseconds).
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._system.interrupts import Uninterrupted
from .columns import FAILED, LOST, SPAN, SPENT, TOTAL, dtype_of, struct_of
from .failures import Failures
from .lines import Line

if TYPE_CHECKING:
    import numpy as np

    Table = np.ndarray[Any, np.dtype[Any]]

KNOWN = struct_of(SPAN[: -len(SPENT)])
SIZE = struct_of(SPAN).size
# The number of spans that a pool keeps by default: 12 MB at most.
KEPT = 65_536
_BLOCK = 4_096
# The number of longest tasks that are kept when their block is dropped.
_LONGEST = 100
# Function names: if a program creates functions without end, the rest have one name.
_NAMES = 10_000
_OTHERS = "(other functions)"
_ELSEWHERE = ("", _OTHERS, "", 0, 0)

Site = tuple[str, str, str, int, int]
"""A call: the pool's method, the function's name, the program's file and line (or "" and 0),
and the chunk size that the program has given (or 0)."""


class Recorder:
    """See the module.

    Args:
        keep: the number of records to keep, rounded up to whole blocks; 0 keeps none, and the
            totals stay exact.
        importing: the context in which NumPy is imported, if the program has not done so.
    """

    def __init__(
        self,
        keep: int = KEPT,
        importing: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._lock = threading.Lock()
        self._most = -(-keep // _BLOCK)
        self._full: deque[bytearray] = deque()
        self._block = bytearray(_BLOCK * SIZE)
        self._at = 0
        self._names: dict[str, int] = {}
        self._sites: dict[Site, int] = {}
        self.function_of: list[int] = []  # the index of a function's name, by that of its call
        self._importing = importing
        self._folded: Table | None = None
        self._longest: Table | None = None
        self.failed: int = 0
        self.lost: int = 0
        self.failures: Failures = Failures()
        self.imports: dict[str, tuple[int, int]] = {}  # how often, and CPU time

    def site(self, method: str, name: str, line: Line, chunk: int = 0) -> int:
        """Return the index of a call: the function, the method, the line, and the chunk size."""
        site = (method, name, *line, chunk)
        index = self._sites.get(site)
        if index is None:
            # A handler that raises between the two tables would leave records without a name, and
            # one that submits would wait for the lock.
            with Uninterrupted(), self._lock:
                site = site if len(self._sites) < _NAMES else _ELSEWHERE
                index = self._sites.setdefault(site, len(self._sites))
                if index == len(self.function_of):
                    name = site[1]
                    self.function_of.append(self._names.setdefault(name, len(self._names)))
        return index

    def record_done(self, records: Sequence[bytes]) -> None:
        """Record tasks that have values, each as the owner's part and the worker's; not more than a
        block has room for."""
        with self._lock:
            room = (len(self._block) - self._at) // SIZE
            self._append(b"".join(records[:room]))
            if room < len(records):
                self._append(b"".join(records[room:]))

    def _append(self, data: bytes) -> None:
        """Append records for which there is room. With the lock held."""
        at = self._at
        self._at = end = at + len(data)
        self._block[at:end] = data
        if end < len(self._block):
            return
        self._full.append(self._block)
        self._block = bytearray(_BLOCK * SIZE)
        self._at = 0
        if len(self._full) > self._most:
            self._fold(self._full.popleft())

    def record(self, state: int, known: bytes, spent: bytes) -> None:
        """Record a task that has ended.

        Args:
            state: its outcome.
            known: the owner's part of ``columns.SPAN``, packed by ``KNOWN``.
            spent: the worker's part, as received.
        """
        with self._lock:
            if state:
                self.failed += state == FAILED
                self.lost += state == LOST
            self._append(known + spent)

    @property
    def functions(self) -> tuple[str, ...]:
        """Return names by index."""
        return tuple(self._names)

    def imported(self, took: dict[str, int]) -> None:
        """Note packages that workers have imported, with nanoseconds of CPU time."""
        with self._lock:
            for name, nanoseconds in took.items():
                if name in self.imports or len(self.imports) < _NAMES:
                    count, before = self.imports.get(name, (0, 0))
                    self.imports[name] = (count + 1, before + nanoseconds)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return calls by index."""
        return tuple(self._sites)

    def spans(self) -> Table:
        """Return a copy of the records that are kept, in the order in which they were made."""
        import numpy as np

        with self._lock:
            data = b"".join([*self._full, self._block[: self._at]])
        return np.frombuffer(bytearray(data), dtype_of(SPAN))

    def longest(self) -> Table:
        """Return the longest tasks of those that are not kept."""
        import numpy as np

        return np.zeros(0, dtype_of(SPAN)) if self._longest is None else self._longest

    def totals(self) -> Table:
        """Return exact sums over all tasks so far, by function and worker (``columns.TOTAL``)."""
        with self._lock:
            folded = self._folded
            data = b"".join([*self._full, self._block[: self._at]])
        import numpy as np

        kept = summed(np.frombuffer(data, dtype_of(SPAN)))
        return kept if folded is None else merged(folded, kept)

    def _fold(self, block: bytearray) -> None:
        """Fold a block, which leaves the records that are kept, into the totals. With the lock
        held."""
        if "numpy" not in sys.modules:
            with self._importing():
                import_module("numpy")
        import numpy as np

        spans = np.frombuffer(block, dtype_of(SPAN))
        sums = summed(spans)
        self._folded = sums if self._folded is None else merged(self._folded, sums)
        took = spans["finished"] - spans["started"]
        longest = self._longest
        if longest is not None and len(longest) == _LONGEST:
            # Few are longer than the shortest of those that are kept.
            shortest = longest[-1]["finished"] - longest[-1]["started"]
            spans = spans[took > shortest]
            if not len(spans):
                return
        if longest is not None:
            spans = np.concatenate([longest, spans])
            took = spans["finished"] - spans["started"]
        self._longest = spans[np.argsort(-took, kind="stable")[:_LONGEST]]


def summed(spans: Table) -> Table:
    """Return ``columns.TOTAL`` of some spans."""
    return _sums(spans, _parts(spans))


def _sums(table: Table, columns: Mapping[str, Table]) -> Table:
    """Return ``columns.TOTAL``: the sums of these columns over the rows of ``table`` with the same
    call site and worker. Rows are put in order, for ``np.add.at`` takes three times as long."""
    import numpy as np

    keys = _keys(table)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    totals = np.zeros(len(starts), dtype_of(TOTAL))
    for name in ("function", "site", "worker"):
        totals[name] = table[name][order[starts]]
    if len(starts):
        for name, values in columns.items():
            values = values.astype(totals[name].dtype, copy=False)[order]
            totals[name] = np.add.reduceat(values, starts)
    return totals


def _keys(table: Table) -> Table:
    """Return the keys of the sums: the call site, which has one function, and the worker."""
    import numpy as np

    keys: Table = table["site"].astype("u8") << np.uint64(32) | table["worker"]
    return keys


def split(spans: Table) -> dict[str, Table]:
    """Split each task's time in its function, and the time before it, into parts.

    Returns:
        ``decode`` and ``compute`` without imports, ``imported`` (both kinds); ``running``,
        ``wanting`` and ``pausing``, which add up to ``compute``.
    """
    import numpy as np

    decode = np.maximum(spans["started"] - spans["received"] - spans["imported"], 0)
    compute = np.maximum(spans["finished"] - spans["started"] - spans["importing"], 0)
    running = np.minimum(spans["cpu"], compute)
    wanting = np.minimum(spans["wanted"], compute - running)
    return {
        "decode": decode,
        "imported": spans["finished"] - spans["received"] - decode - compute,
        "compute": compute,
        "running": running,
        "wanting": wanting,
        "pausing": compute - running - wanting,
    }


def _parts(spans: Table) -> dict[str, Table]:
    """Return the summed values, by column of ``columns.TOTAL``."""
    import numpy as np

    parts = {
        "tasks": np.ones(len(spans), "u8"),
        "items": np.maximum(spans["stop"] - spans["start"], 1),
        "failed": spans["state"] == FAILED,
        "lost": spans["state"] == LOST,
        "queued": spans["sent"] - spans["submitted"],
        **{name: values for name, values in split(spans).items() if name != "pausing"},
        "encode": spans["encoded"] - spans["finished"],
        "deliver": np.where(spans["encoded"] > 0, spans["returned"] - spans["encoded"], 0),
    }
    parts["queued"] = np.where(spans["sent"] > 0, parts["queued"], 0)
    same = ("waited", "blocked", "cpu", "helped")
    sizes = ("args_moved", "args_shared", "result_moved", "result_shared")
    return {**parts, **{name: spans[name] for name in (*same, *sizes)}}


def merged(one: Table, other: Table) -> Table:
    """Return the sums of two tables of totals."""
    import numpy as np

    both = np.concatenate([one, other])
    return _sums(both, {name: both[name] for name, _ in TOTAL[3:]})
