"""Hooks of ``threading`` and ``concurrent.futures.thread``: what threads took, and waited for."""

from __future__ import annotations

import resource
import time
from _thread import _local

from . import kinds, ring
from .guard import guarded, put_around, unseen
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        title = str(getattr(func, "__qualname__", type(func).__name__))
        _note_thread(begun, 0, title, places[-1] if places else 0)

    def place(self: Any, *args: Any, **kwargs: Any) -> None:
        places[:] = [site()]

    put_around(module.ThreadPoolExecutor, "submit", place)
    item.run = _run


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
        of_library = any(part in str(getattr(target, "__module__", "")) for part in own)
        # The workers of a ThreadPool are the program's.
        if not of_library or type(self).__name__ == "DummyProcess":
            title = str(getattr(target, "__qualname__", "") or type(self).__name__)
            _note_thread(begun, 1, title, where)

    put_around(module.Thread, "start", starts)
    # Nothing passes out of it but the end of the interpreter: it is in no traceback.
    put_around(module.Thread, "_bootstrap_inner", begin, end)
