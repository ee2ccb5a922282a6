"""Hooks of ``threading`` and ``concurrent.futures.thread``: what threads took, and waited for."""

from __future__ import annotations

import resource
import time
from _thread import _local

from . import kinds, ring
from .calls import call_of
from .guard import guarded, put_around, unseen
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _used() -> tuple[int, int, int]:
    """Now; this thread's CPU time; its voluntary switches of context."""
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    return ring.now(), time.thread_time_ns(), switches


class _Delay(_local):
    """The time that this thread had waited for a CPU when last read."""

    def __init__(self) -> None:
        self.before = 0


_delay = _Delay()


@guarded
def _note_thread(begun: tuple[int, int, int], life: int, title: str, where: int) -> None:
    """A task or the life of the thread that calls has ended."""
    t0, c0, s0 = begun
    took, spent = ring.now() - t0, time.thread_time_ns() - c0
    waited = switches = 0
    if took > 5_000_000:
        # Of long ones: who waits for a CPU does not wait for the GIL.
        with open("/proc/thread-self/schedstat", "rb") as file:
            delay = int(file.read().split()[1])
        waited, _delay.before = max(0, delay - _delay.before), delay
        switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - s0
    names = ring.name(title), where
    ring.note(kinds.THREADTASK, t0, took, spent, life, *names, waited, switches)


def hook_thread_pool(module: Any) -> None:
    """``concurrent.futures.thread``: each task's time, and CPU time of its thread."""
    item = module._WorkItem
    run = item.run
    places: list[int] = []

    def _run(self: Any, *args: Any, **kwargs: Any) -> None:
        begun = _used()
        func = getattr(self, "fn", None) or (getattr(self, "task", None) or (None,))[0]
        try:
            run(self, *args, **kwargs)
        except BaseException as error:
            unseen(error)
            raise
        _note_thread(begun, 0, _title(func), places[-1] if places else 0)

    def place(self: Any, *args: Any, **kwargs: Any) -> None:
        places[:] = [site()]

    put_around(module.ThreadPoolExecutor, "submit", place)
    item.run = _run


def _title(func: Any) -> str:
    """The name of a task's function; asyncio.to_thread calls it in a context, by a partial."""
    if type(func).__name__ == "partial":
        inner = getattr(func.func, "__self__", None)
        func = func.args[0] if type(inner).__name__ == "Context" and func.args else func.func
    return str(getattr(func, "__qualname__", type(func).__name__))


def watch_thread_pool(pool: Any, place: Callable[[], int]) -> None:
    """A ``ThreadPool``, whose queues are about to be used: each piece of work's time, and CPU time of its
    thread. The threads themselves live as long as the pool, and often to the program's end."""
    queue = type(pool._inqueue)
    state = _Piece()

    class Tasks(queue):  # type: ignore[misc, valid-type]
        def get(self, *args: Any, **kwargs: Any) -> Any:
            task = queue.get(self, *args, **kwargs)
            if type(task) is tuple and len(task) == 5:
                state.begun, state.task = _used(), task
            return task

    class Results(queue):  # type: ignore[misc, valid-type]
        def put(self, *args: Any, **kwargs: Any) -> None:
            begun, task = state.begun, state.task
            state.begun = state.task = None
            if begun is not None:
                title, _ = call_of(task[2], task[3])
                _note_thread(begun, 0, title, place())
            queue.put(self, *args, **kwargs)

    pool._inqueue, pool._outqueue = Tasks(), Results()
    pool._quick_put, pool._quick_get = pool._inqueue.put, pool._outqueue.get


class _Piece(_local):
    """The piece of work that this thread is at, and since when."""

    begun: Any = None
    task: Any = None


def hook_threading(module: Any) -> None:
    """``threading``: how long each thread lived, and its CPU time."""
    own = ("concurrent.futures", "multiprocessing", "threading", "asyncio", "joblib", "loky")
    started: dict[int, tuple[Any, int]] = {}

    def starts(self: Any) -> None:
        # The target is gone when the thread has ended.
        started[id(self)] = getattr(self, "_target", None) or type(self).run, site()

    def begin(self: Any) -> Any:
        return _used()

    def end(begun: Any, _: Any, self: Any) -> None:
        target, where = started.pop(id(self), (None, 0))
        if ring.now() - begun[0] < 1_000_000:
            return
        if not any(part in str(getattr(target, "__module__", "")) for part in own):
            title = str(getattr(target, "__qualname__", "") or type(self).__name__)
            _note_thread(begun, 1, title, where)

    put_around(module.Thread, "start", starts)
    # Nothing passes out of it but the end of the interpreter: it is in no traceback.
    put_around(module.Thread, "_bootstrap_inner", begin, end)
