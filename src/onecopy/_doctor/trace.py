"""A diagnosis for Perfetto: workers with their tasks, the parent's sender and receiver, memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

from .._report.perfetto import write_perfetto
from .._report.tracks import Slice
from . import lanes, runs
from .diagnosis import Diagnosis
from .pools import Pool

# Numbers of threads that no process has: the parent's two tracks.
_SENDER, _RECEIVER = (1 << 22) + 1, (1 << 22) + 2


def write(found: Diagnosis, file: IO[bytes]) -> None:
    """Write all pools, or of a program without any its memory."""
    for pool in found.pools:
        write_perfetto(runs.of(found.history, pool), file, _parent(pool))
    for run in found.own:
        write_perfetto(run, file)
    if not found.pools and not found.own:
        write_perfetto(runs.without_pool(found.history), file)


def _parent(pool: Pool) -> Iterator[Slice]:
    """The work of the parent's threads, each on a track of its own."""
    pickling, writing, receiving = lanes.stretches_of_parent(pool)
    for track, parts in ((_SENDER, (pickling, writing)), (_RECEIVER, (receiving,))):
        begins = np.concatenate([each.begins for each in parts])
        ends = np.concatenate([each.ends for each in parts])
        names = [each.kind for each in parts for _ in range(len(each.begins))]
        last = 0
        for at in np.lexsort((ends, begins)).tolist():
            begin, end = max(last, int(begins[at])), int(ends[at])
            if end > begin:
                yield Slice(pool.parent.pid, track, names[at], begin, end, False, {})
                last = end
