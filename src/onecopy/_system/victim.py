"""The choice of the process that the kernel kills first if memory is short."""

from __future__ import annotations

# The thousandths of the machine's memory that are added to a worker's size for that choice.
_VICTIM = 200


def prefer_as_victim() -> None:
    """Make the kernel's out-of-memory killer prefer this worker to its owner and to the process
    that forks workers: then one task is lost, and not the program. See proc(5)."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            score = int(file.read())
            file.seek(0)
            file.write(str(min(1000, score + _VICTIM)))
    except OSError:
        pass  # no such file, or not allowed: then all are equal
