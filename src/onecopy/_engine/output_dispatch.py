"""Dispatches workers' log records, warnings and printed lines to this process's handlers, filters
and streams.

One thread per pool, started at the first output of a worker, calls the handlers. They belong to the
program, may be slow, and may need a lock held by a thread that is waiting for a task. So neither
the pool's driver nor the results of tasks without output ever wait for them. The outcome of a task
with output is delivered after it: when a task has a result, its records have been handled.

A handler that is slower than the workers that log slows down only those: the output of a worker
that is queued is limited to ``MOST`` bytes. The engine reads no more from such a worker until
``is_full`` is False.

Threads. ``put``, ``after`` and ``is_full`` are called by the thread that reads the worker's socket,
one at a time per worker; everything else runs in the dispatching thread. ``_lock`` guards the
counts, and is held for arithmetic alone.
"""

from __future__ import annotations

import contextlib
import marshal
import pickle
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from .._observe.diary import HANDLERS, Diary
from .._progress.display import display
from .._protocol.log_records import HEAD, MOST_HEADS
from .._system.interrupts import Condition
from .output_streams import LINE, Mouth
from .output_streams import STDERR as STDERR
from .output_streams import STDERR_FLUSHED as STDERR_FLUSHED
from .output_streams import STDOUT as STDOUT
from .output_streams import STDOUT_FLUSHED as STDOUT_FLUSHED

MOST = 1 << 20
RECORD, TAKEN, WARNING = range(3)

Act = Callable[[], None]
OutputItem = tuple[int, int, bytes]
"""A task's number, the kind of its output, and the bytes."""
# A worker's number, a batch of its output, the batch's size in bytes, and its number of entries by
# task; or a task's number, and what to call after all of its output.
_Dispatched = tuple[int, list[OutputItem], int, dict[int, int]]
_Item = _Dispatched | tuple[int, Act]
# The overhead of an entry, in bytes.
_ENTRY = 200


class OutputDispatcher:
    """See the module.

    Args:
        relieved: called when a worker that was full has room again.
        broken: called with a worker's number and an error if its output is malformed.
        diary: records how long handlers take.
        prefixed: put worker and task in front of each printed line.
    """

    def __init__(
        self,
        relieved: Act,
        broken: Callable[[int, Exception], None],
        diary: Diary,
        *,
        prefixed: bool,
    ) -> None:
        self._diary = diary
        self._relieved = relieved
        self._broken = broken
        self._prefixed = prefixed
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unheard: dict[int, int] = {}  # bytes, by worker; absent: 0
        self._waiting: dict[int, int] = {}  # entries, by task; absent: 0
        self._room = Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._onces: dict[str, dict[Any, Any]] = {}
        self._heads: dict[bytes, dict[str, Any]] = {}
        self._logging: Any = None  # the module, once there was a record
        self._mouth = Mouth()
        # Items that wait until a worker's line is complete, in order. See ``_must_wait``.
        self._aside: deque[_Item] = deque()

    def put(self, worker: int, said: list[OutputItem]) -> None:
        """Queue a worker's output."""
        size, entries = _ENTRY * len(said), dict[int, int]()
        for task, _, body in said:
            size += len(body)
            entries[task] = entries.get(task, 0) + 1
        with self._lock:
            self._unheard[worker] = self._unheard.get(worker, 0) + size
            for task, count in entries.items():
                self._waiting[task] = self._waiting.get(task, 0) + count
            listening = self._thread is not None or self._listen()
        if listening:
            self._queue.put((worker, said, size, entries))
        else:
            # Dispatch it in the thread that reads the socket, since there can be no other thread. A
            # handler that waits for a task of this pool then waits for ever; that happens only on a
            # machine that cannot start threads.
            self._hear_all(worker, said, size, entries)

    def _listen(self) -> bool:
        """Start the thread, with the lock held; return False if no thread can be started."""
        thread = threading.Thread(target=self._run, name="onecopy-hearing", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def after(self, task: int, act: Act) -> bool:
        """Call ``act`` after the task's queued output. Returns False, without calling it, if
        nothing is queued."""
        with self._lock:
            if task not in self._waiting:
                return False
            self._waiting[task] += 1  # what comes now stays behind this
        self._queue.put((task, act))
        return True

    def is_behind(self, task: int) -> bool:
        """Return True while output of the task is queued. False is final once all of its frames
        have been read."""
        return task in self._waiting

    def is_full(self, worker: int) -> bool:
        """Return True if more of the worker's output is queued than should be."""
        return self._unheard.get(worker, 0) > MOST

    def wait_for_room(self, worker: int, timeout: float) -> None:
        """Block while ``is_full``, for at most ``timeout`` seconds."""
        if self.is_full(worker):
            with self._room:
                self._room.wait_for(lambda: not self.is_full(worker), timeout)

    def close(self) -> None:
        """Return when all output has been dispatched: all workers are gone."""
        if self._thread is not None:
            self._queue.put(None)
            if self._thread is not threading.current_thread():
                self._thread.join()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            if self._must_wait(item):
                self._aside.append(item)
            else:
                self._attend(item)
            if self._aside and not self._mouth.is_in_line():
                self._go_on()
            del item
        while self._aside:
            self._mouth.end_line()
            self._go_on()

    def _next(self) -> _Item | None:
        while self._aside:
            try:
                return self._queue.get(timeout=LINE)
            except queue.Empty:
                self._mouth.end_line()  # the line takes too long to complete
                self._go_on()
        return self._queue.get()

    def _must_wait(self, item: _Item) -> bool:
        """Return True if the item must wait: it prints, and another worker is in the middle of a
        line, which stays whole if it is completed soon. Later output of the same worker, and
        callbacks of its task, wait behind it."""
        if len(item) == 2:
            return any(len(each) == 4 and item[0] in each[3] for each in self._aside)
        worker, said, *_ = item
        if any(len(each) == 4 and each[0] == worker for each in self._aside):
            return True
        return any(kind >= STDOUT and self._mouth.is_busy(kind, worker) for _, kind, _ in said)

    def _go_on(self) -> None:
        """Handle items that were put aside and need not wait any more."""
        aside, self._aside = self._aside, deque()
        while aside:
            item = aside.popleft()
            if self._must_wait(item):
                self._aside.append(item)
            else:
                self._attend(item)

    def _attend(self, item: _Item) -> None:
        if len(item) == 4:
            self._hear_all(*item)
            return
        task, act = item
        try:
            act()
        except BaseException as error:  # of a callback
            _complain(error)
        self._heard({task: 1})

    def _hear_all(
        self, worker: int, said: list[OutputItem], size: int, entries: dict[int, int]
    ) -> None:
        began = monotonic_ns()
        # A handler may write past the streams that bars use.
        handlers = any(kind < STDOUT for _, kind, _ in said)
        with display.pause(handlers=handlers):
            for task, kind, body in said:
                try:
                    self._hear(worker, task, kind, body)
                except BaseException as error:
                    # Of a handler, which is the program's own: no reason not to handle the next
                    # record. Ctrl-C is raised in the main thread only.
                    _complain(error)
        self._diary.add(HANDLERS, began, monotonic_ns())
        self._heard(entries)
        with self._lock:
            before = self._unheard.pop(worker)
            left = before - size
            if left:
                self._unheard[worker] = left
            relieved = before > MOST >= left
            if relieved:
                self._room.notify_all()
        if relieved:
            self._relieved()

    def _heard(self, entries: dict[int, int]) -> None:
        with self._lock:
            for task, count in entries.items():
                waiting = self._waiting[task] - count
                if waiting:
                    self._waiting[task] = waiting
                else:
                    del self._waiting[task]

    def _hear(self, worker: int, task: int, kind: int, body: bytes) -> None:
        try:
            made: Any
            if kind in (RECORD, TAKEN):
                made = self._record(body, worker, task)
            elif kind == WARNING:
                made = _warning(body)
            else:
                made = body.decode("utf-8", "backslashreplace")
        except Exception as error:
            self._broken(worker, error)
            return
        if kind in (RECORD, TAKEN):
            logger, record = made
            # If this process has no handler, ``logging`` uses its last resort; not for a record
            # that a handler in the worker has handled.
            if kind == RECORD or logger.hasHandlers():
                logger.handle(record)
        elif kind == WARNING:
            self._warn(*made)
        else:
            if self._prefixed:
                prefix = f"worker {worker}, task {task} | " if task else f"worker {worker} | "
                made = "".join(prefix + line for line in made.splitlines(keepends=True))
            self._mouth.say(kind, made, worker)

    def _record(self, body: bytes, worker: int, task: int) -> tuple[Any, Any]:
        """Return the logger and the record that a worker's bytes describe."""
        if self._logging is None:
            import logging as module

            self._logging = module
        logging = self._logging
        head, times, message, exception, stack, extras, *pickled = marshal.loads(body)
        known = self._heads.get(head)
        if known is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            known = self._heads[head] = _opened(head)
        created, msecs, relative = times
        values = {
            **known,
            "msg": message,
            "levelname": logging.getLevelName(known["levelno"]),
            "exc_text": exception,
            "stack_info": stack,
            "created": created,
            "msecs": msecs,
            "relativeCreated": relative,
            "worker": worker,
            "task": task,
        }
        for name, data in pickled[0].items() if pickled else ():
            extras[name] = pickle.loads(data)
        if extras:
            values.update(extras)
        name = values["name"]
        logger = logging.root.manager.loggerDict.get(name)
        if not isinstance(logger, logging.Logger):
            logger = logging.getLogger(name)
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return logger, logging.makeLogRecord(values)
        # As ``makeLogRecord`` does, without the record that it creates first.
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__ = values
        return logger, record

    def _warn(
        self, message: str, kind: type[Warning], filename: str, lineno: int, module: str | None
    ) -> None:
        """Show a warning once per place in the program, whichever process reaches that place."""
        import warnings

        loaded = sys.modules.get(module or "")
        if loaded is not None:
            registry = loaded.__dict__.setdefault("__warningregistry__", {})
        else:
            registry = self._onces.setdefault(filename, {})
        try:
            warnings.warn_explicit(message, kind, filename, lineno, module, registry)
        except Warning as error:
            # The owner's filters now make errors of them; this task has gone on already.
            shown = warnings.formatwarning(error, kind, filename, lineno)
            self._mouth.say(STDERR, shown, 0)


def _opened(head: bytes) -> dict[str, Any]:
    """Return what records with this head have in common."""
    values = dict(zip(HEAD, marshal.loads(head), strict=True))
    filename = str(values["pathname"] or "").rpartition("/")[2]
    values |= {
        "args": None,
        "filename": filename,
        "module": filename.rpartition(".")[0] or filename,
        "exc_info": None,
    }
    return values


def _warning(body: bytes) -> tuple[str, type[Warning], str, int, str | None]:
    message, kinds, filename, lineno, module = marshal.loads(body)
    for home, name in kinds:
        # The nearest class that this process has imported; nothing is imported for it.
        kind: Any = sys.modules.get(home)
        for part in name.split("."):
            kind = getattr(kind, part, None)
        if isinstance(kind, type) and issubclass(kind, Warning):
            return message, kind, filename, lineno, module
    return message, UserWarning, filename, lineno, module


def _complain(error: BaseException) -> None:
    """Report an error of a handler, as ``logging`` does."""
    import logging

    if logging.raiseExceptions and sys.stderr is not None:
        with contextlib.suppress(Exception):  # standard error is broken
            traceback.print_exception(error, file=sys.stderr)
