"""What the engine knows of a worker when it gives work out, and how it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .work import Entry

Later = Callable[[], None]
Fate = Callable[[str], BaseException]
"""Makes the error of an assignment that a worker took with it; given what it was."""


class Member(Protocol):
    """A worker that is ready, as far as giving it work goes."""

    worker: int
    last: int
    """When it had done the last thing that is known of it; nanoseconds."""

    def post(self, entry: Entry) -> None:
        """Under the engine's lock: puts an assignment behind the others."""

    def retire(self) -> None:
        """Under the engine's lock: the worker ends after what was posted before."""

    def flush(self) -> None:
        """Without it: sends what was posted."""

    def forget_function(self, function_id: int) -> None:
        """Under it: no more work with this function will be posted."""


def flush(dirty: list[Member], later: list[Later]) -> None:
    """Without the engine's lock: sends what was posted, then does what was put off."""
    for member in dirty:
        member.flush()
    for act in later:
        act()
