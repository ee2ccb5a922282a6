"""The worker and task that a worker thread is at, as attributes of the log records that it makes.

Worker threads log to the program's own handlers directly. Their records lack only what those of
worker processes have: ``worker`` and ``task``. A record factory adds these for as long as there is
a pool of threads. A factory that the program sets meanwhile stays.
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
    """Install the record factory: a worker thread has started."""
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            _before = logging.getLogRecordFactory()
            logging.setLogRecordFactory(_factory)


def end() -> None:
    """Note that a worker thread has ended; the last one restores the factory."""
    global _users
    with _lock:
        _users -= 1
        _at.pop(threading.get_ident(), None)
        if not _users and logging.getLogRecordFactory() is _factory:
            logging.setLogRecordFactory(_before)


def mark(worker: int, task: int) -> None:
    """Mark this thread as running a task; 0: none."""
    _at[threading.get_ident()] = worker, task
