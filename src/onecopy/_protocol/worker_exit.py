"""``worker_exit=``: what each worker does when it ends as it should.

It is registered with ``atexit`` in the worker, before the initializer runs: so it comes after
what the initializer and tasks have registered, as the first that was registered runs last.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any


def begin(
    worker_exit: Callable[[], Any], initializer: Callable[..., Any] | None, *args: Any
) -> None:
    """The initializer of a pool whose workers have something to do at their end."""
    atexit.register(worker_exit)
    if initializer is not None:
        initializer(*args)
