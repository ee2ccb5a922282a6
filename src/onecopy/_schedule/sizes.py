"""The number of items of a job that a worker is given next, by what the scheduler knows of both."""

from __future__ import annotations

from .chunks import LEAST_NS, chunk_size
from .records import Job, Worker


class Sizes:
    """See the module.

    Args:
        workers: the number of workers that the pool should have.
        ahead: workers are sent more work before they have finished what they have.
    """

    def __init__(self, workers: int, *, ahead: bool) -> None:
        self.workers = workers
        self.ahead = ahead

    def next(self, work: Job, worker: Worker) -> int:
        """Return the number of items of the next chunk."""
        if work.chunk is not None and not work.again:
            return min(work.chunk, work.available - work.next)
        if work.chunk is not None:
            size = min(work.chunk, work.left())
        else:
            least = max(LEAST_NS, worker.trip) if self.ahead else 0
            out, aim = self._out(work), worker.aim
            size = chunk_size(work.left(), self.workers, work.pace, work.most, out, least, aim)
        if work.again:
            if work.wary:
                return 1
            return min(size, work.again[0][1] - work.again[0][0])
        return min(size, work.available - work.next)

    def fair(self, job: Job) -> int:
        """Return a worker's share of the items that are not finished."""
        left = job.available - job.next + job.out
        if job.again or job.grows:
            left = job.left() + self._out(job)
        return -(-left // self.workers)

    def _out(self, job: Job) -> int:
        """Return the items that count as unfinished in addition to those that wait. A job that
        grows is expected to go on for as long as its items are given out."""
        return job.out + (self.workers * job.most if job.grows and job.most < 1 << 32 else 0)
