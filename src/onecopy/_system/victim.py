"""Which process the kernel ends first when memory is short."""

from __future__ import annotations

# In thousandths of the machine's memory, by which a worker counts as larger than it is.
_VICTIM = 200


def prefer_as_victim() -> None:
    """Have the kernel's killer take this worker before its owner or the process that forks
    workers: one task is lost then, and not the program. See proc(5)."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            score = int(file.read())
            file.seek(0)
            file.write(str(min(1000, score + _VICTIM)))
    except OSError:
        pass  # no such file, or not allowed: then all are equal
