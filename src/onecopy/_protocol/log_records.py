"""The layout of a worker's log record in a message.

The head is the same whenever a line of the program logs. It is sent once and then referred to by a
number. The rest comes with each record.
"""

from __future__ import annotations

import sys

HEAD = (
    *("name", "levelno", "pathname", "lineno", "funcName"),
    *("thread", "threadName", "processName", "process"),
    *(("taskName",) if sys.version_info >= (3, 12) else ()),
)
"""The attributes of a record that are in its head, in their order."""

MOST_HEADS = 1024
"""Both sides keep at most this many heads, more than most programs have lines that log."""
