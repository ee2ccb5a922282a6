"""``ProcessPoolExecutor``: the standard library's, on one copy of the data.

A thin door to the engine that ``Pool`` uses. This module contains what executors do differently:
workers start at the first call, errors of pickling go into the future, and everything submitted is
finished, even if the program ends or the executor is garbage-collected.

It is a subclass of the standard library's class in name only, for libraries that check
``isinstance(executor, concurrent.futures.ProcessPoolExecutor)``: ``pool`` explains that.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import ProcessPoolExecutor as StandardExecutor
from functools import partial
from types import ModuleType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Never,
    ParamSpec,
    TypedDict,
    TypeVar,
    TypeVarTuple,
    Unpack,
    overload,
)

from ._codec.blame import cut_ours, without_ours
from ._engine import busy, refused_arguments, setup
from ._engine.dropped import when_dropped
from ._engine.engine import UNSENDABLE, Engine
from ._engine.executor_results import Buffered, Deadline, Results, failing
from ._engine.failed import Errors, Failed, check_errors
from ._engine.future import TaskFuture
from ._engine.jobs import Items, StreamJob
from ._engine.stats import NOTHING_YET, stats_of
from ._launch import resolve
from ._observe.diary import ITERABLE
from ._progress.asked import Bar, bar_of
from ._progress.bar import Progress
from ._protocol import wire
from ._report.environment import at_end
from ._system import forking
from ._system.cpus import cpu_count
from ._system.interrupts import Uninterrupted, raised_by_handler
from .errors import InitializerFailed, PoolClosed

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    import numpy as np
    from distributed import Client

    from ._cluster.carriers.loopback import Loopback
    from ._cluster.setup import DaskCluster, Hosts
    from ._engine.options import Options, Prints
    from ._engine.stats import PoolStats
    from ._engine.worker_process import WorkerProcess
    from ._launch import Method

    class _Options(TypedDict, total=False):
        """The options that every overload of the executor takes."""

        max_tasks_per_child: int | None
        logs: bool
        prints: Prints
        preload: Iterable[str]
        main: Literal["auto", "import", "value"]
        state: Literal["follow", "import"]
        reseed: bool
        progress: bool | str | Bar
        profile: bool
        worker_exit: Callable[[], object] | None
        cluster: Loopback | Client | DaskCluster | ModuleType | str | None
        reruns: int
        files: Literal["auto", "ship", "same"]
        hosts_timeout: float


__all__ = ["ProcessPoolExecutor"]

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Ts = TypeVarTuple("Ts")

# ``map`` sends at most this many items at once by default.
_MAP_CHUNK = 16


class _NotGiven(int):
    """The default of ``chunksize``: distinguished by identity from an explicit 1."""


_CHUNK = _NotGiven(1)

_executors: weakref.WeakSet[ProcessPoolExecutor] = weakref.WeakSet()
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_exiting = False


class ProcessPoolExecutor(StandardExecutor):
    """``concurrent.futures.ProcessPoolExecutor`` as documented up to Python 3.14.

    Args:
        max_workers: the number of workers; ``cpu_count()`` if None.
        mp_context: a ``multiprocessing`` context, whose start method is used; or the name of a
            start method, as for ``Pool(method=...)``; None is ``"auto"``.
        initializer: called as ``initializer(*initargs)`` in each worker before its first
            task. If it raises, all pending and later calls fail with ``InitializerFailed``,
            which is a ``BrokenProcessPool``.
        initargs: its arguments.
        max_tasks_per_child: a worker is replaced after this many tasks (a chunk of ``map``
            is one). Works under every start method, even ``fork``: workers are forked from a
            process with one thread.
        logs, prints: the treatment of workers' log records, warnings and printed lines; as for
            ``Pool``.
        preload, main, state, reseed: workers' imports and state; as for
            ``Pool``.
        progress: ``map`` shows how far it has come, unless it says otherwise; as for ``Pool``.
        profile: the report says in which lines functions spend their time; as for ``Pool``.
        worker_exit: called without arguments in each worker when it ends as it should.
        cluster, reruns, files, hosts_timeout: work on several hosts; as for ``Pool``.

    Raises:
        ValueError: a number is below 1, or the start method or the kind of ``prints`` is unknown.
        TypeError: the initializer is not callable, ``max_tasks_per_child`` is not an integer,
            ``mp_context`` is not a context, or ``max_workers`` is given with ``cluster``.
        NoHosts, HostMismatch: as for ``Pool``.
        UnsupportedPlatform: on Windows.

    Workers start in the background at the first ``submit`` or ``map``; under ``fork`` they see the
    caller's state at that moment.

    In addition to the standard library's: no ``if __name__ == "__main__"`` is needed; lambdas and
    closures work; shared data is passed by reference (see ``Pool``). If a worker dies, only the
    call that it was running is lost: its future gets ``WorkerDied`` (a ``BrokenProcessPool``), a
    new worker takes its place, and the executor goes on.

    Thread-safe. A forked child cannot use an executor that has workers.

    Example:
        >>> from onecopy import ProcessPoolExecutor
        >>> with ProcessPoolExecutor(2) as executor:
        ...     executor.submit(pow, 2, 8).result(), list(executor.map(abs, [-1, -2]))
        (256, [1, 2])
    """

    # As in typeshed: ``initargs`` must match the initializer's parameters.
    @overload
    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | Method | None = None,
        initializer: Callable[[], object] | None = None,
        initargs: tuple[()] = (),
        **options: Unpack[_Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | Method | None = None,
        *,
        initializer: Callable[[Unpack[Ts]], object],
        initargs: tuple[*Ts],
        **options: Unpack[_Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        max_workers: int | None,
        mp_context: BaseContext | Method | None,
        initializer: Callable[[Unpack[Ts]], object],
        initargs: tuple[*Ts],
        **options: Unpack[_Options],
    ) -> None: ...

    def __init__(  # noqa: PLR0913  # the standard library's, and our options
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | Method | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        logs: bool = True,
        prints: Prints = "plain",
        preload: Iterable[str] = (),
        main: Literal["auto", "import", "value"] = "auto",
        state: Literal["follow", "import"] = "follow",
        reseed: bool = True,
        progress: bool | str | Bar = False,
        profile: bool = False,
        worker_exit: Callable[[], object] | None = None,
        cluster: Loopback | Client | DaskCluster | ModuleType | str | None = None,
        reruns: int = 3,
        files: Literal["auto", "ship", "same"] = "auto",
        hosts_timeout: float = 60.0,
        **others: Never,
    ) -> None:
        refused_arguments.refuse("ProcessPoolExecutor", others, refused_arguments.EXECUTOR)
        setup.check_platform()
        setup.check_prints(prints)
        setup.check_state(main, state)
        bar_of(progress)
        setup.check_executor(max_workers, initializer, max_tasks_per_child, worker_exit)
        start = setup.start_of(mp_context, "mp_context")
        self._method: str = resolve(start)
        self._hosts: Hosts | None = None
        if cluster is not None:
            from ._cluster import setup as on_cluster

            on_cluster.refuse(workers=max_workers, main=main, name="max_workers")
            self._method = on_cluster.method_of(start)
            self._hosts = on_cluster.Hosts(cluster, reruns, files, hosts_timeout)
            max_workers = self._hosts.workers()
        else:
            setup.check_alone(reruns=reruns, files=files, hosts_timeout=hosts_timeout)
        self._max_workers = cpu_count() if max_workers is None else max_workers
        self._progress = progress
        # As the standard class has them: programs read them.
        self._initializer = initializer  # type: ignore[assignment]  # theirs returns None
        self._initargs = tuple(initargs)
        self._options: Callable[[], Options] = partial(
            setup.options_of,
            self._max_workers,
            self._method,
            initializer,
            self._initargs,
            max_tasks_per_child,
            setup.modules_of(preload),
            executor=True,
            logs=logs,
            prints=prints,
            main=main,
            state=state,
            reseed=reseed,
            profile=profile,
            worker_exit=worker_exit,
        )
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._unmade: InitializerFailed | None = None  # why there is no engine
        self._shut = False
        _executors.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn(*args, **kwargs)`` in a worker; return its future at once.

        If something cannot be pickled, the future fails with ``NotPicklable``. Large plain
        arguments are copied when the call is sent, not before: do not change them until it has
        started.

        Raises:
            RuntimeError: after ``shutdown``, and once the interpreter has begun to exit.
            BrokenProcessPool: the workers cannot be started.
        """
        engine = self._started()
        try:
            return engine.submission.submit(fn, args, kwargs)
        except PoolClosed:
            self._check_open()
            raise
        except BaseException as error:
            cut_ours(error)
            broken = isinstance(error, BrokenExecutor) or not isinstance(error, Exception)
            if broken or raised_by_handler(error):
                raise
            future = TaskFuture()
            future.set_exception(error)
            return future

    # Narrower than the base's, which accepts every argument for every function.
    @overload  # type: ignore[override]
    def map(
        self,
        fn: Callable[[A], T],
        iterable: Iterable[A],
        /,
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[[A, B], T],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[[A], T],
        iterable: Iterable[A],
        /,
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Iterator[T | Failed]: ...

    @overload
    def map(
        self,
        fn: Callable[[A, B], T],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Iterator[T | Failed]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Iterator[T | Failed]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = _CHUNK,
        buffersize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
    ) -> Iterator[Any]:
        """Like the built-in ``map``, computed by all workers, several calls at a time.

        Args:
            fn: takes as many arguments as there are iterables; sent to each worker once.
            iterables: consumed at once, unless there is a ``buffersize``.
            timeout: seconds from now; a result that is not there by then raises
                TimeoutError.
            chunksize: items that a worker is sent as one task. If it is not given, short items are
                sent several at once (at most 16); with ``max_tasks_per_child``, one at a time.
            buffersize: the maximum number of tasks whose results have not been fetched.
            progress: show progress, as ``Pool.map`` does; None: the executor's default.
            errors: the treatment of items that fail. ``"raise"``: a failed item raises in its
                place, and the iterator ends. ``"return"``: an ``onecopy.Failed`` takes its place.
                ``"skip"``: it is left out.

        Returns:
            An iterator over the results, in order. An error, a timeout, and ``close()`` end it;
            items that have not started by then are not run.

        Raises:
            ValueError, TypeError: ``chunksize`` or ``buffersize`` is below 1, or not an integer.
            ValueError: an unknown kind of ``errors``.
            RuntimeError: as for ``submit``; with a ``buffersize`` the iterator raises it as well.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        check_errors(errors)
        deadline = None if timeout is None else Deadline(timeout)
        bar = bar_of(progress, self._progress)
        engine = self._started()
        single = len(iterables) == 1
        items: Any = iter(iterables[0]) if single else zip(*iterables, strict=False)
        with engine.history.diary.at(ITERABLE):
            items = list(items) if buffersize is None else Items(items)
        try:
            function = engine.submission.function(fn)
        except Exception as error:
            without_ours(error)
            if raised_by_handler(error):
                raise
            return failing(error, items)
        chunk = None if chunksize is _CHUNK and not engine.options.max_tasks else chunksize
        call_kind = wire.MAP if single else wire.STARMAP
        namespace = engine.submission.namespace
        job = StreamJob(function, items, call_kind, namespace, chunk, _MAP_CHUNK, errors=errors)
        if bar is not None:
            job.bar = Progress(None if buffersize else len(items), job.name, bar=bar)
        try:
            if buffersize is None:
                job.end = len(items)
                return Results(engine, job, deadline, job.end)
            return Buffered(self._check_open, engine, job, deadline, chunksize, buffersize)
        except PoolClosed:
            self._check_open()
            raise
        except BaseException as error:
            engine.submission.cancel_job(job)  # no caller has the iterator
            if not isinstance(error, Exception):  # Ctrl-C
                cut_ours(error)
            raise

    def stats(self) -> PoolStats:
        """Return the executor's statistics so far, and what its workers are running: a frozen
        snapshot. Cheap, and safe in any thread."""
        return NOTHING_YET if self._engine is None else stats_of(self._engine)

    def spans(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one record for each task that has ended; see ``Pool.spans``. Starts the workers if
        there are none yet."""
        from ._report.gather import spans

        return spans(self._engine or self._started())

    def report(self, path: str | os.PathLike[str] | None = None) -> None:
        """Report where time and memory went; see ``Pool.report``. Works after ``shutdown`` too.
        Starts the workers if there are none yet.

        Args:
            path: None prints to the terminal; else a file, by its suffix ``.html``,
                ``.pftrace``, ``.json`` or ``.onecopy``.

        Raises:
            ValueError: an unknown suffix.
            OSError: the file cannot be written.
            RuntimeError: it was shut down before it had done anything.
        """
        from ._report import gather, write

        write.report(gather.run(self._engine or self._started()), path)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers exit when all is done.

        Args:
            wait: return when everything is done and the workers are gone, not at once.
            cancel_futures: cancel calls that no worker has been given yet.
        """
        with self._lock:
            self._shut = True
            engine = self._engine
        if engine is None:
            return
        if cancel_futures:
            engine.submission.cancel_waiting()
        engine.close()
        if wait:
            engine.join()

    def terminate_workers(self) -> None:
        """End the workers now with SIGTERM, and shut the executor down.

        Unfinished calls fail with ``BrokenProcessPool``. Does not wait. A worker thread
        (``"thread"``) ends after its task.
        """
        self._end_workers(signal.SIGTERM)

    def kill_workers(self) -> None:
        """Like ``terminate_workers``, with SIGKILL."""
        self._end_workers(signal.SIGKILL)

    def _end_workers(self, how: signal.Signals) -> None:
        with self._lock:
            self._shut = True  # no engine is made from here on
        if self._engine is not None:
            self._engine.kill(how)

    @property
    def _processes(self) -> dict[int, WorkerProcess]:  # type: ignore[override]  # see handles
        """A private attribute of the standard class that other programs read."""
        from ._engine.worker_process import WorkerProcess

        # The newest: a worker that was replaced may still be running its exit handlers.
        pids = [] if self._engine is None else self._engine.pids()[-self._max_workers :]
        return {pid: WorkerProcess(pid) for pid in pids}

    def _check_open(self) -> None:
        if self._shut:
            raise PoolClosed("cannot schedule new futures after shutdown")
        if _exiting:
            raise PoolClosed("cannot schedule new futures after interpreter shutdown")

    def _started(self) -> Engine:
        """Return the engine, with its workers started or starting."""
        engine = self._engine
        if engine is not None and not self._shut and not _exiting:
            return engine
        with self._lock, Uninterrupted() as signals:
            self._check_open()
            if self._engine is None:
                self._engine = self._made(signals)
                at_end(self._engine)
                when_dropped(self, self._engine.release)
                _engines.add(self._engine)
            if _exiting:  # the exit began meanwhile, and perhaps did not see this engine
                self._engine.close()
            return self._engine

    def _made(self, signals: Uninterrupted) -> Engine:
        """Return a new engine. If there can be none, the executor is broken: BrokenProcessPool."""
        if self._unmade is None:
            try:
                options = self._options()
                if self._hosts is None:
                    return setup.engine(options)
                return signals.pass_on(partial(self._hosts.engine, options))  # it may take long
            except InitializerFailed as error:
                self._unmade = error
            except OSError as error:
                self._unmade = InitializerFailed(f"the workers cannot be started: {error}")
                self._unmade.__cause__ = error
        raise InitializerFailed(*self._unmade.args) from self._unmade.__cause__

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]  # typeshed has the one half
        """The reason for taking no calls without having been shut down, or False; programs read it."""
        failure = self._unmade if self._engine is None else self._engine.core.failure
        return False if failure is None else str(failure)

    def __reduce__(self) -> Any:
        raise NotImplementedError(UNSENDABLE)

    def __repr__(self) -> str:
        state = "shut down" if self._shut else "open"
        held = busy.words(self._engine.core.held()) if self._engine is not None else ""
        return (
            f"<onecopy.ProcessPoolExecutor of {self._max_workers} workers "
            f"by {self._method}, {state}{'; ' if held else ''}{held}>"
        )


def _after_fork() -> None:
    """Reset the executors in a forked child: workers are the parent's, and a thread that does not
    exist there may have held a lock."""
    _engines.clear()
    for executor in list(_executors):
        executor._lock = threading.Lock()


def _at_exit() -> None:
    """Finish everything that was submitted: the interpreter ends."""
    global _exiting
    _exiting = True
    for engine in (engines := list(_engines)):
        engine.close()
    for engine in engines:
        engine.join()


forking.in_child(_after_fork)
# Private, but the standard library's own executors use it: it is called when the main thread has
# ended, before other threads are joined and before ``atexit``.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # not in typeshed
