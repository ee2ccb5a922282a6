"""A child that a test forks from itself, as a program of a user may."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def in_child(act: Callable[[], object]) -> int:
    """The exit code of a forked child that does this: 0 when it did not raise."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
