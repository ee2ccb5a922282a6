"""The parts of a process engine, as its driver uses them.

Each part has only the parts that it needs; ARCHITECTURE.md has a drawing.
"""

from __future__ import annotations

from typing import NamedTuple

from .._memory.arena import Arena
from .._system.poller import Poller
from .core import Core
from .freezer import Freezes
from .history import History
from .known_functions import KnownFunctions
from .lifetime import Lifetime
from .outcomes import Outcomes
from .output_dispatch import OutputDispatcher
from .preemption import Preemption
from .receiver import Receiver
from .segment_listener import SegmentListener
from .shown import Shown
from .startup import Startup
from .submission import Submission
from .wakeup import Wakeup
from .workers import Workers


class Parts(NamedTuple):
    """See the module, and each part's own."""

    core: Core
    history: History
    known: KnownFunctions
    submission: Submission
    outcomes: Outcomes
    lifetime: Lifetime
    workers: Workers
    startup: Startup
    receiver: Receiver
    preemption: Preemption
    output: OutputDispatcher
    freezes: Freezes
    segments: SegmentListener
    arena: Arena
    wakeup: Wakeup
    poller: Poller
    shown: Shown
