"""A watch on the collector of garbage in a forked process: the pages that it copies.

The collector writes into the head of each container that it looks at, and so copies the page that
the container lies on, though nothing in the program has touched it. ``gc.freeze`` before the fork
keeps it from that.
"""

from __future__ import annotations

import gc
import resource

from . import ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_faults = 0


def _now() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@guarded
def _collected(phase: str, info: dict[str, Any]) -> None:
    """Count the page faults of a collection. The youngest containers come often, and are few."""
    global _faults
    if not info["generation"]:
        return
    if phase == "start":
        _faults = _now()
    else:
        ring.count("collected faults", _now() - _faults)
        ring.count("collected times")


def watch() -> None:
    """Begin. A child of a child has it already."""
    if _collected not in gc.callbacks:
        gc.callbacks.append(_collected)
