"""``worker_exit=``: a callable that each worker calls at its normal end.

It is registered with ``atexit`` in the worker, before the initializer runs. So it is called after
everything that the initializer and tasks have registered, since the first that is registered runs
last.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any


def begin(
    worker_exit: Callable[[], Any], initializer: Callable[..., Any] | None, *args: Any
) -> None:
    """Register ``worker_exit``, then run the user's initializer; the initializer of such a pool."""
    atexit.register(worker_exit)
    if initializer is not None:
        initializer(*args)
