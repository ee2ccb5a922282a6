"""Plain Python objects that several workers read: the records, and what the figures share.

The records are those of a well-known account of copy-on-read (860,001 annotations of images,
505 MiB when pickled: Wu, "Demystify RAM Usage in Multi-Process Data Loaders"), made up to
the same shape. A tenth of them unless the run is a full one.
"""

from __future__ import annotations

import functools
import json
import random
from importlib.util import find_spec
from typing import Any, NamedTuple

from . import process
from .face import MB, Size

WORKERS = 4
# What part of all records each worker reads before memory is read again.
STEPS = (0.1, 1.0, 1.0)
OURS = ("fork", "forkserver", "spawn")
NAIVE, JOBLIB, RAY = "list inherited by fork", "list by joblib", "list by ray"


def count(size: Size) -> int:
    """The number of records."""
    return 860_001 if size.full else 86_000


def records(number: int) -> list[dict[str, Any]]:
    """Annotations: an outline, a box, some numbers."""
    rng = random.Random(7)
    return [
        {
            "segmentation": [
                [round(rng.uniform(0, 640), 2) for _ in range(2 * rng.randrange(6, 40))]
            ],
            "area": rng.uniform(0, 1e5),
            "iscrowd": 0,
            "image_id": rng.randrange(600_000),
            "bbox": [round(rng.uniform(0, 640), 2) for _ in range(4)],
            "category_id": rng.randrange(1, 91),
            "id": at,
        }
        for at in range(number)
    ]


def peers() -> tuple[str, ...]:
    """Those that are installed: ray is an extra of its own (``onecopy[ray]``)."""
    return (NAIVE, JOBLIB, *((RAY,) if find_spec("ray") is not None else ()))


class Memory(NamedTuple):
    """Of one job, in bytes: the encoded data, and the sum of PSS of all its processes after
    each of the steps."""

    encoded: int
    steps: tuple[int, ...]


@functools.cache
def memory(way: str, number: int) -> Memory:
    """Runs ``jobs/annotations``, once for all figures."""
    found = json.loads(
        process.ended(process.start(["-m", "bench.jobs.annotations", way, str(number)]))
    )
    return Memory(found["encoded"], tuple(found["steps"]))


def allowed(size: Size) -> float:
    """1.15 times the encoded data and 40 MB for each worker."""
    return 1.15 * memory(OURS[0], count(size)).encoded + 40 * MB * WORKERS
