"""Hooks of ``multiprocessing.process``, ``.popen_*`` and ``.spawn``: births, ends, the main module.

``Process.join`` is not hooked: it is in the traceback of every Ctrl-C. Who was waited for
follows from starts and ends.
"""

from __future__ import annotations

import os
import sys

from . import bursts, kinds, logs, messages, ring, state, worker
from .guard import around, guarded, put_around, unseen
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def hook_process(module: Any) -> None:
    kind = module.BaseProcess
    bootstrap = kind._bootstrap

    def before(self: Any) -> Any:
        where = site()
        logs.note_configuration()
        state.large_globals()
        return ring.now(), where

    def after(begun: Any, _: Any, self: Any) -> None:
        t0, where = begun
        popen = self._popen
        told = getattr(popen, "method", "?")
        if told in ("spawn", "forkserver"):
            state.note_main(0)
        method = ring.name(told)
        names = method, where, ring.name(self.name), ring.cpu_now()
        took = ring.now() - t0
        ring.note(kinds.START, t0, took, popen.pid or 0, int(bool(self.daemon)), *names)

    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        _begin(self)
        code = bootstrap(self, *args, **kwargs)
        _end(code)
        return code

    put_around(kind, "start", before, after)
    kind._bootstrap = _bootstrap


def hook_context(module: Any) -> None:
    """``multiprocessing.context``: has the program chosen a start method, or does it take the default?"""

    def chosen(_: Any, __: Any, self: Any, method: Any = None, *args: Any, **kwargs: Any) -> None:
        if method is not None:
            ring.count("start method chosen")

    for name in ("set_start_method", "get_context"):
        put_around(module.DefaultContext, name, None, chosen)


@guarded
def _begin(process: Any) -> None:
    ring.worker = True
    messages.after_task[:] = [state.look]
    target = getattr(process, "_target", None)
    title = str(getattr(target, "__qualname__", "") or type(process).__name__)
    if _of_pool(target):
        title = target.__module__ + "." + title
    names = ring.name(process.name), ring.name(type(process).__name__), ring.name(title)
    ring.note(kinds.BOOT, ring.now(), ring.cpu_now(), os.getppid(), 0, *names)
    logs.begin_worker()
    if not _time_initializer(process):
        state.look(0)


@guarded
def _end(code: Any) -> None:
    state.look(99)
    bursts.note_passed()
    logs.note_configuration()
    code = code if isinstance(code, int) and code >= 0 else 255
    ring.note(kinds.END, ring.now(), code, ring.cpu_now(), ring.anonymous())


_POOLS = ("multiprocessing.pool", "concurrent.futures.process", "loky.process_executor")


def _of_pool(target: Any) -> bool:
    """Return True for the function of a pool's worker; the program may have one of the same name."""
    module = getattr(target, "__module__", None)
    named = getattr(target, "__name__", "") in ("worker", "_process_worker")
    return named and type(module) is str and module.endswith(_POOLS)


def _time_initializer(process: Any) -> bool:
    """A pool's worker is ready when its initializer has run; all pools have it third.

    What it has set up is where the watch on globals begins. True when there is one.
    """
    target = process._target
    if not _of_pool(target):
        return False
    args = list(process._args)
    original = args[2]
    _know_channels(args[0], args[1])
    if not callable(original):
        return False

    def done(t0: Any, _: Any, *args: Any, **kwargs: Any) -> None:
        state.look(0)
        ring.note(kinds.READY, t0, ring.now() - t0)

    args[2] = around(original, lambda *args, **kwargs: ring.now(), done)
    process._args = tuple(args)
    return True


@guarded
def _know_channels(tasks: Any, results: Any) -> None:
    """In a worker: which pipes are its pool's."""
    pipes = messages.channel_of(tasks._reader), messages.channel_of(results._writer)
    messages.channels[pipes[0]], messages.channels[pipes[1]] = kinds.TASK, kinds.RESULT
    worker.take(*pipes)


def hook_popen(module: Any) -> None:
    """Ends of children, and who waits for one without a limit.

    ``poll`` is left alone: a ``Pool`` polls all its workers whenever a result has come, some thousand
    times a second. It sets ``returncode`` once.
    """
    kind = module.Popen
    if "poll" in vars(kind) and kind.__setattr__ is object.__setattr__:
        set_attribute = object.__setattr__

        def __setattr__(self: Any, name: str, value: Any) -> None:
            set_attribute(self, name, value)
            if name == "returncode" and value is not None:
                _ended(self, value)

        kind.__setattr__ = __setattr__
    if "wait" in vars(kind):

        def waits(self: Any, timeout: Any = None) -> None:
            if timeout is None and self.returncode is None:
                ring.note(kinds.JOINS, ring.now(), 0, getattr(self, "pid", 0) or 0)

        put_around(kind, "wait", waits)
    if "_send_signal" in vars(kind):

        def told(self: Any, number: Any) -> None:
            ring.note(kinds.ENDED, ring.now(), int(number), getattr(self, "pid", 0) or 0)

        put_around(kind, "_send_signal", told)


@guarded
def _ended(popen: Any, code: int) -> None:
    ring.note(kinds.EXIT, ring.now(), 0, getattr(popen, "pid", 0) or 0, code & 0xFFFFFFFF)


class _Passenger:
    """A part of the preparation data for children that look at no environment (-I, -E, -S), or
    whose environment was emptied: rebuilding it executes the entry, before anything else."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        with open(ring.session + "/inside/enter.py") as file:
            source = file.read()
        return exec, ("SESSION = %r\n%s" % (ring.session, source), {})  # noqa: UP031


def hook_spawn(module: Any) -> None:
    original = module.get_preparation_data
    prepare = module.prepare

    def get_preparation_data(*args: Any, **kwargs: Any) -> Any:
        data = original(*args, **kwargs)
        # Rebuilt by pickle in the child; where the session cannot be read, it is not sent.
        if os.access(ring.session + "/inside/enter.py", os.R_OK):
            data["onecopy_doctor"] = _Passenger()
        return data

    def _prepare(data: Any, *args: Any, **kwargs: Any) -> Any:
        t0, c0, before = ring.now(), ring.cpu_now(), set(sys.modules)
        try:
            prepare(data, *args, **kwargs)
        except BaseException as error:
            unseen(error)
            raise
        _prepared(t0, c0, before)

    module.get_preparation_data, module.prepare = get_preparation_data, _prepare


@guarded
def _prepared(t0: int, c0: int, before: set[str]) -> None:
    took, spent = ring.now() - t0, ring.cpu_now() - c0
    fresh: dict[str, int] = {}
    for each in set(sys.modules) - before:
        top = each.partition(".")[0]
        fresh[top] = fresh.get(top, 0) + 1
    most = sorted(fresh, key=lambda name: -fresh[name])[:6]
    told = ", ".join("%s (%d)" % (each, fresh[each]) for each in most if fresh[each] > 3)  # noqa: UP031
    ring.note(kinds.PREPARE, t0, took, spent, len(sys.modules) - len(before), ring.name(told))
