"""The columns of a pool's records: spans, totals, workers, memory.

One table each, with type codes for ``struct`` and for NumPy: the recorder needs no NumPy, and the
arrays that users get have the same columns. Times are nanoseconds of CLOCK_MONOTONIC, which all
processes of a machine share; sizes are bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# The outcome of a task.
DONE, FAILED, LOST = range(3)
STATES = ("done", "failed", "lost")

# The ``struct`` code of each NumPy code used here: little-endian, unaligned.
_CODES = {"u1": "B", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}

SPENT = (
    # Times in the worker: it starts with the task; has its arguments; calls the function (which it
    # may have had to load first); has the result; has encoded it.
    ("received", "i8"),
    ("decoded", "i8"),
    ("started", "i8"),
    ("finished", "i8"),
    ("encoded", "i8"),
    # Nanoseconds since its last task: waiting for work; writing the result before.
    ("waited", "i8"),
    ("blocked", "i8"),
    # Nanoseconds of importing modules: before the function began, and inside it.
    ("imported", "i8"),
    ("importing", "i8"),
    # Inside the function, without imports: CPU time of the whole process in nanoseconds, so that
    # the task's own threads are counted; and how long its thread was ready to run without a free
    # CPU.
    ("cpu", "i8"),
    ("wanted", "i8"),
    ("helped", "i8"),  # the part of ``cpu`` of other threads, and of programs that it has started
    # Of this task, of the whole process: page faults, context switches.
    ("minor_faults", "u4"),
    ("major_faults", "u4"),
    ("voluntary", "u4"),
    ("involuntary", "u4"),
    ("result_moved", "u8"),
    ("result_shared", "u8"),
    ("heap", "u8"),  # of the worker's Python objects, if tracemalloc runs there; else 0
)
"""A worker's measurements of a task. These bytes are sent and kept unchanged."""

SPAN = (
    ("task", "u8"),  # the call's number in its pool; all chunks of a map have the same
    ("start", "i8"),  # a chunk's items: from here
    ("stop", "i8"),  # to before here; both 0 for a single call
    ("function", "u4"),  # index of its name
    ("site", "u4"),  # index of the call: function, method and line of the program
    ("worker", "u4"),
    ("pid", "u4"),
    ("state", "u1"),  # index into STATES
    # Times in the owner: submitted to the pool; written to the worker's socket; result delivered.
    ("submitted", "i8"),
    ("sent", "i8"),
    ("returned", "i8"),
    # Bytes of arguments that went through the socket or were copied into arenas, and those passed
    # by reference; then the same for results.
    ("args_moved", "u8"),
    ("args_shared", "u8"),
    *SPENT,
)
"""One task, or one chunk of a map. Unknown values (of a lost task) are 0."""

TOTAL = (
    ("function", "u4"),
    ("site", "u4"),
    ("worker", "u4"),
    ("tasks", "u8"),
    ("items", "u8"),
    ("failed", "u8"),
    ("lost", "u8"),
    ("queued", "i8"),  # submitted to sent
    ("waited", "i8"),
    ("decode", "i8"),  # received to decoded, and loading the function: to started
    ("imported", "i8"),  # importing modules, then or inside the function: in no other sum
    ("compute", "i8"),  # started to finished
    ("running", "i8"),  # of that, on a CPU
    ("wanting", "i8"),  # of that, ready to run without a CPU; the rest is waiting
    ("encode", "i8"),
    ("blocked", "i8"),
    ("deliver", "i8"),  # encoded to returned
    ("cpu", "i8"),
    ("helped", "i8"),
    ("args_moved", "u8"),
    ("args_shared", "u8"),
    ("result_moved", "u8"),
    ("result_shared", "u8"),
)
"""Sums over all tasks of one call site in one worker, in nanoseconds and bytes."""

WORKER = (
    ("worker", "u4"),
    ("pid", "u4"),
    ("born", "i8"),  # requested
    ("ready", "i8"),  # reported ready; 0: never
    ("gone", "i8"),  # its end was noticed; 0: it lives
    ("last", "i8"),  # its last known action
    ("initializing", "i8"),  # began its initializer; 0: it has none, or has not reported ready
    ("host", "u4"),  # index into the hosts of the run; 0: the owner's
)
"""One worker's life."""

OWNER_DOES = ("packing", "iterable", "callbacks", "handlers", "results")
"""Kinds of what the owner does for a pool; see ``diary``."""
DIARY = (("time", "i8"), *((name, "i8") for name in OWNER_DOES))
"""How many nanoseconds the owner did each from ``time`` on, until the next row's."""

MEMORY = (
    ("time", "i8"),
    ("pid", "u4"),
    ("worker", "i4"),  # its number; OWNER, OTHER, AGENT
    ("rss", "u8"),
    ("pss", "u8"),
    ("uss", "u8"),
    ("private_dirty", "u8"),
    ("shared", "u8"),
    ("swap", "u8"),
    ("heap", "u8"),  # Python's, if tracemalloc runs there; else 0
    ("host", "u4"),  # as of a worker
)
"""One reading of one process."""
# OTHER: processes that fork workers, or that tasks have started; AGENT: that serve a pool on
# another host.
OWNER, OTHER, AGENT = -1, -2, -3

Columns = tuple[tuple[str, str], ...]


def struct_of(columns: Columns) -> struct.Struct:
    """Return a record's ``struct``."""
    return struct.Struct("<" + "".join(_CODES[code] for _, code in columns))


def dtype_of(columns: Columns) -> np.dtype[Any]:
    """Return a record's NumPy dtype."""
    import numpy as np

    return np.dtype([(name, "<" + code) for name, code in columns])
