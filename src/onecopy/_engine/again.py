"""Errors of an engine as a whole, of which each of those who wait gets one of his own."""

from __future__ import annotations

import copy

from .. import errors


def no_thread(error: RuntimeError) -> errors.OnecopyError:
    """What a pool fails with when one of its threads cannot be started."""
    return errors.InitializerFailed(
        f"no thread can be started for the pool: {error}; either the interpreter is ending, or "
        "the limit of processes and threads is reached (ulimit -u, pids.max of the cgroup)"
    )


def anew(error: errors.OnecopyError) -> errors.OnecopyError:
    """The same for somebody else: with each raise an error's traceback grows, and holds the
    frames that it went through; the engine must not hold them in its turn."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    return made
