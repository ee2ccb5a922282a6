"""Hooks of ``concurrent.futures`` and of loky: executors, submits, the tasks of threads."""

from __future__ import annotations

import time

from . import kinds, ring
from .guard import guarded, put_around, unseen
from .messages import channel_of, channels, hook_calls
from .pools import submitted
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def hook_executor(module: Any) -> None:
    """``concurrent.futures.process``."""
    hook_calls(module)
    _hook(module, module.ProcessPoolExecutor, kinds.EXECUTOR)


def hook_loky(module: Any) -> None:
    """loky's ``process_executor``, also the one inside joblib."""
    hook_calls(module)
    _hook(module, module.ProcessPoolExecutor, kinds.LOKY)


def _hook(module: Any, kind: Any, sort: int) -> None:
    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ring.now(), site()

    def made(begun: Any, _: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        t0, where = begun
        context = getattr(self, "_mp_context", None) or getattr(self, "_context", None)
        method = ring.name(str(getattr(context, "_name", "") or ""))
        tasks = results = 0
        if getattr(self, "_call_queue", None) is not None:
            tasks = channel_of(self._call_queue._writer)
            results = channel_of(self._result_queue._reader)
            channels[tasks], channels[results] = kinds.TASK, kinds.RESULT
        limit = getattr(self, "_max_tasks_per_child", 0) or 0
        ring.note(
            *(kinds.POOL, t0, ring.now() - t0, self._max_workers, sort, where, method),
            *(id(self), tasks, results, limit),
        )

    def told(self: Any, *args: Any, **kwargs: Any) -> None:
        submitted(self, getattr(self, "_queue_count", 0), sort, "submit")

    put_around(kind, "__init__", begin, made)
    put_around(kind, "submit", told)


def hook_thread_pool(module: Any) -> None:
    """``concurrent.futures.thread``: each task's time, and CPU time of its thread."""
    item = module._WorkItem
    run, thread_cpu = item.run, time.thread_time_ns
    kind = module.ThreadPoolExecutor

    def _run(self: Any, *args: Any, **kwargs: Any) -> None:
        t0, c0 = ring.now(), thread_cpu()
        try:
            run(self, *args, **kwargs)
        except BaseException as error:
            unseen(error)
            raise
        _done(self, t0, c0)

    @guarded
    def _done(self: Any, t0: int, c0: int) -> None:
        func = getattr(self, "fn", None) or (getattr(self, "task", None) or (None,))[0]
        title = ring.name(str(getattr(func, "__qualname__", type(func).__name__)))
        where = _places[-1] if _places else 0
        ring.note(kinds.THREADTASK, t0, ring.now() - t0, thread_cpu() - c0, 0, title, where)

    _places: list[int] = []

    def place(self: Any, *args: Any, **kwargs: Any) -> None:
        _places[:] = [site()]

    put_around(kind, "submit", place)
    item.run = _run


def hook_threading(module: Any) -> None:
    """``threading``: how long each thread lived, and its CPU time."""
    thread_cpu = time.thread_time_ns
    own = ("concurrent.futures", "multiprocessing", "threading", "asyncio", "joblib", "loky")

    def begin(self: Any) -> Any:
        return ring.now(), thread_cpu()

    def end(begun: Any, _: Any, self: Any) -> None:
        t0, c0 = begun
        took = ring.now() - t0
        if took < 1_000_000:
            return
        target = _targets.pop(id(self), None)
        if any(part in str(getattr(target, "__module__", "")) for part in own):
            return
        title = str(getattr(target, "__qualname__", "") or type(self).__name__)
        where = _places.pop(id(self), 0)
        ring.note(kinds.THREADTASK, t0, took, thread_cpu() - c0, 1, ring.name(title), where)

    def starts(self: Any) -> None:
        # The target is gone when the thread has ended.
        _targets[id(self)] = getattr(self, "_target", None) or type(self).run
        _places[id(self)] = site()

    _targets: dict[int, Any] = {}
    _places: dict[int, int] = {}
    put_around(module.Thread, "start", starts)
    # Nothing passes out of it but the end of the interpreter: it stands in no traceback.
    put_around(module.Thread, "_bootstrap_inner", begin, end)
