"""Which task a worker thread is at, on the records that it logs.

Worker threads log to the program's own handlers by themselves. All that is missing on a
record is what those of worker processes have: ``worker`` and ``task``. They are put there by
the record factory, for as long as there is a pool of threads; a factory that the program
sets meanwhile stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
_users = 0
_before: Callable[..., logging.LogRecord] = logging.LogRecord
_at: dict[int, tuple[int, int]] = {}


def _factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _before(*args, **kwargs)
    found = _at.get(threading.get_ident())
    if found is not None:
        record.worker, record.task = found
    return record


def begin() -> None:
    """A worker thread is there."""
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            _before = logging.getLogRecordFactory()
            logging.setLogRecordFactory(_factory)


def end() -> None:
    """It is gone; the last one puts things back."""
    global _users
    with _lock:
        _users -= 1
        _at.pop(threading.get_ident(), None)
        if not _users and logging.getLogRecordFactory() is _factory:
            logging.setLogRecordFactory(_before)


def mark(worker: int, task: int) -> None:
    """This thread is at a task; 0: at none."""
    _at[threading.get_ident()] = worker, task
