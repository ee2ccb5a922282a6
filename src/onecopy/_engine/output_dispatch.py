"""The owner's ear: what workers say is given to the owner's handlers, filters and streams.

One thread per pool, started when a worker first says something, calls the handlers; they are
the program's, may be slow, and may take locks that somebody holds who waits for a task. So
neither the pool's driver nor the results of tasks that said nothing ever wait for it. The
outcome of a task that spoke is made known after that: when a task has a result, its records
have been handled.

A handler that is slower than the workers that log slows those down, and nobody else: what a
worker has said and nobody has heard yet is limited to ``MOST`` bytes. The engine reads no
more from such a worker until ``is_full`` says otherwise.

Threads. ``put``, ``after`` and ``is_full`` are called by whoever reads the worker's socket,
one at a time per worker; all else runs in the thread. ``_lock`` guards the counts. It is
held for arithmetic alone.
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
from .._protocol.log_records import HEAD, MOST_HEADS
from .output_streams import LINE, Mouth
from .output_streams import STDERR as STDERR
from .output_streams import STDERR_FLUSHED as STDERR_FLUSHED
from .output_streams import STDOUT as STDOUT
from .output_streams import STDOUT_FLUSHED as STDOUT_FLUSHED

MOST = 1 << 20
RECORD, TAKEN, WARNING = range(3)

Act = Callable[[], None]
Said = tuple[int, int, bytes]
"""A task's number, what it is that it has said, and its bytes."""
# A worker's number, what came from it at once, and how many bytes that is and entries of
# which task; or a task's number, and what comes after all that it has said.
_Heard = tuple[int, list[Said], int, dict[int, int]]
_Item = _Heard | tuple[int, Act]
# What an entry takes besides its bytes.
_ENTRY = 200


class Hearing:
    """See the module.

    Args:
        relieved: called when a worker that was full is so no more.
        broken: called with a worker's number and an error when what it said is no sense.
        diary: notes how long handlers take.
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
        self._relieved = relieved
        self._broken = broken
        self._diary = diary
        self._prefixed = prefixed
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unheard: dict[int, int] = {}  # bytes, by worker; absent: nothing
        self._waiting: dict[int, int] = {}  # entries, by task; absent: none
        self._room = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._onces: dict[str, dict[Any, Any]] = {}
        self._heads: dict[bytes, dict[str, Any]] = {}
        self._logging: Any = None  # the module, when there has been a record
        self._mouth = Mouth()
        # What waits until somebody's line is at its end, in order. See ``_must_wait``.
        self._aside: deque[_Item] = deque()

    def put(self, worker: int, said: list[Said]) -> None:
        """A worker has said something."""
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
            # By whoever reads the socket: better than not at all. A handler that waits for
            # a task of this pool waits for ever then, on a machine that is at its limit.
            self._hear_all(worker, said, size, entries)

    def _listen(self) -> bool:
        """Under the lock: starts the thread; False where no more threads are to be had."""
        thread = threading.Thread(target=self._run, name="onecopy-hearing", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def after(self, task: int, act: Act) -> bool:
        """Has ``act`` called when all that the task has said is heard. False when that is so
        already: then the caller does it."""
        with self._lock:
            if task not in self._waiting:
                return False
            self._waiting[task] += 1  # those who come now stay behind this one
        self._queue.put((task, act))
        return True

    def is_behind(self, task: int) -> bool:
        """Is something of what the task has said not heard yet? Who has read all that it said
        may rely on a no."""
        return task in self._waiting

    def is_full(self, worker: int) -> bool:
        """Has the worker said more than it should before it is heard?"""
        return self._unheard.get(worker, 0) > MOST

    def wait_for_room(self, worker: int, timeout: float) -> None:
        """Blocks while ``is_full``, for so many seconds at most."""
        if self.is_full(worker):
            with self._room:
                self._room.wait_for(lambda: not self.is_full(worker), timeout)

    def close(self) -> None:
        """All workers are gone: returns when everything is heard."""
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
                self._mouth.end_line()  # whoever is in the middle of it takes long
                self._go_on()
        return self._queue.get()

    def _must_wait(self, item: _Item) -> bool:
        """A worker is in the middle of a line, and this is another one that prints too: the
        line is to stay whole, if it comes to its end soon. Behind what waits stays what that
        worker says next, and what comes after all that the task has said."""
        if len(item) == 2:
            return any(len(each) == 4 and item[0] in each[3] for each in self._aside)
        worker, said, *_ = item
        if any(len(each) == 4 and each[0] == worker for each in self._aside):
            return True
        return any(kind >= STDOUT and self._mouth.is_busy(kind, worker) for _, kind, _ in said)

    def _go_on(self) -> None:
        """Attends to what was put aside and need not wait any more."""
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
        except BaseException as error:  # of a callback's
            _complain(error)
        self._heard({task: 1})

    def _hear_all(self, worker: int, said: list[Said], size: int, entries: dict[int, int]) -> None:
        began = monotonic_ns()
        for task, kind, body in said:
            try:
                self._hear(worker, task, kind, body)
            except BaseException as error:
                # Of a handler: the program's own, and no reason not to hear the next. Ctrl-C
                # is raised in the main thread alone.
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
            # Where this process has no handler, ``logging`` has a last resort. It is none for
            # a record that a handler in the worker has taken.
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
        """The logger and the record that a worker's bytes stand for."""
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
        # What ``makeLogRecord`` does, but for the record that it makes first.
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__ = values
        return logger, record

    def _warn(
        self, message: str, kind: type[Warning], filename: str, lineno: int, module: str | None
    ) -> None:
        """Once per place of the program, be it the owner or a worker that comes there."""
        import warnings

        loaded = sys.modules.get(module or "")
        if loaded is not None:
            registry = loaded.__dict__.setdefault("__warningregistry__", {})
        else:
            registry = self._onces.setdefault(filename, {})
        try:
            warnings.warn_explicit(message, kind, filename, lineno, module, registry)
        except Warning as error:
            # The owner's filters make errors of them now; this one's task has gone on.
            shown = warnings.formatwarning(error, kind, filename, lineno)
            self._mouth.say(STDERR, shown, 0)


def _opened(head: bytes) -> dict[str, Any]:
    """What records with this head have in common."""
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
        # The nearest kind that this process knows; nothing is imported for it.
        kind: Any = sys.modules.get(home)
        for part in name.split("."):
            kind = getattr(kind, part, None)
        if isinstance(kind, type) and issubclass(kind, Warning):
            return message, kind, filename, lineno, module
    return message, UserWarning, filename, lineno, module


def _complain(error: BaseException) -> None:
    """As ``logging`` does when a handler fails."""
    import logging

    if logging.raiseExceptions and sys.stderr is not None:
        with contextlib.suppress(Exception):  # standard error is broken: nobody can be told
            traceback.print_exception(error, file=sys.stderr)
