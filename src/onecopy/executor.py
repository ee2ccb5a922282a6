"""``ProcessPoolExecutor``: the standard library's, on one copy of the data.

A thin door on the engine that ``Pool`` has. What is here is what executors do differently:
workers start at the first call, errors of pickling go into the future, and whatever was
submitted is finished, also when the program ends or nobody holds the executor any more.

It is a subclass of the standard library's class by name alone, for libraries that ask
``isinstance(executor, concurrent.futures.ProcessPoolExecutor)``: see ``pool`` for why, and
for what keeps the other's machinery out.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import ProcessPoolExecutor as StandardExecutor
from time import monotonic
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

from ._codec.blame import without_ours
from ._engine import busy, refused_arguments, setup
from ._engine.engine import UNSENDABLE, Engine
from ._engine.executor_results import Buffered, Results, failing
from ._engine.future import TaskFuture
from ._engine.jobs import Items, StreamJob
from ._engine.stats import NOTHING_YET, stats_of
from ._launch import resolve
from ._observe.diary import ITERABLE
from ._progress.bar import Progress
from ._protocol import wire
from ._report.environment import at_end
from ._system.cpus import cpu_count
from .errors import InitializerFailed, PoolClosed

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    import numpy as np

    from ._engine.options import Prints
    from ._engine.stats import PoolStats
    from ._engine.worker_process import WorkerProcess
    from ._launch import Method

    class _Options(TypedDict, total=False):
        """What every overload of the executor takes."""

        max_tasks_per_child: int | None
        logs: bool
        prints: Prints
        preload: Iterable[str]
        main: Literal["auto", "import", "value"]
        state: Literal["follow", "import"]
        reseed: bool
        progress: bool
        profile: bool


__all__ = ["ProcessPoolExecutor"]

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Ts = TypeVarTuple("Ts")

# ``map`` sends at most so many items at once unless it is told how many.
_MAP_CHUNK = 16


class _NotGiven(int):
    """The default of ``chunksize``: told from a 1 that was given by its identity."""


_CHUNK = _NotGiven(1)

_executors: weakref.WeakSet[ProcessPoolExecutor] = weakref.WeakSet()
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_exiting = False


class ProcessPoolExecutor(StandardExecutor):
    """``concurrent.futures.ProcessPoolExecutor`` as documented up to Python 3.14.

    Args:
        max_workers: how many workers; ``cpu_count()`` when None.
        mp_context: a ``multiprocessing`` context, whose start method is used; or the name
            of a start method, as for ``Pool(method=...)``; None is ``"auto"``.
        initializer: called as ``initializer(*initargs)`` in each worker before its first
            task. When it raises, all pending and later calls fail with ``InitializerFailed``,
            which is a ``BrokenProcessPool``.
        initargs: its arguments.
        max_tasks_per_child: a worker is replaced after this many tasks (a chunk of ``map``
            is one). Under every start method, ``fork`` as well: workers are forked from a
            process with one thread.
        logs, prints: what becomes of what workers log, warn of and print; as for ``Pool``.
        preload, main, state, reseed: what workers import, and whose state they have; as for
            ``Pool``.
        progress, profile: calls of ``map`` show how far they have come; the report says in which
            lines functions spend their time; as for ``Pool``.

    Raises:
        ValueError: a number below 1, an unknown start method, no such kind of ``prints``.
        TypeError: an initializer that is not callable; a ``max_tasks_per_child`` that is no
            integer; an ``mp_context`` that is none.
        UnsupportedPlatform: on Windows.

    Workers start in the background at the first ``submit`` or ``map``; under ``fork`` they
    see the caller's state as it is then.

    Beyond the standard library's: no ``if __name__ == "__main__"`` is needed; lambdas and
    closures work; shared data moves no bytes (see ``Pool``); and a worker that dies costs
    the call that it ran, whose future gets ``WorkerDied`` (a ``BrokenProcessPool``), and no
    other: a new worker takes its place and the executor goes on.

    Thread-safe. In a forked child an executor that has workers is not usable.

    Example:
        >>> from onecopy import ProcessPoolExecutor
        >>> with ProcessPoolExecutor(2) as executor:
        ...     executor.submit(pow, 2, 8).result(), list(executor.map(abs, [-1, -2]))
        (256, [1, 2])
    """

    # As typeshed has it: what the initializer takes is what ``initargs`` holds.
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

    def __init__(
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
        progress: bool = False,
        profile: bool = False,
        **others: Never,
    ) -> None:
        refused_arguments.refuse("ProcessPoolExecutor", others, refused_arguments.EXECUTOR)
        setup.check_platform()
        setup.check_prints(prints)
        setup.check_state(main, state)
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._max_workers = cpu_count() if max_workers is None else max_workers
        self._method = _method_of(mp_context)
        self._initializer = initializer  # type: ignore[assignment]  # theirs returns None
        self._initargs = tuple(initargs)
        self._max_tasks = max_tasks_per_child
        self._logs = logs
        self._prints = prints
        self._preload = tuple(preload)
        self._main, self._state, self._reseed = main, state, reseed
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._unmade: InitializerFailed | None = None  # why there is no engine
        self._shut = False
        self._progress, self._profile = progress, profile
        _executors.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls ``fn(*args, **kwargs)`` in a worker; returns its future at once.

        What cannot be pickled makes the future fail, with ``NotPicklable``. Large plain
        arguments are copied when the call is sent, not before: until then they should not
        be changed.

        Raises:
            RuntimeError: after ``shutdown``, and once the interpreter has begun to exit.
            BrokenProcessPool: the workers cannot be started.
        """
        engine = self._started()
        try:
            return engine.submit(fn, args, kwargs)
        except PoolClosed:
            self._check_open()
            raise
        except BrokenExecutor:
            raise
        except Exception as error:
            without_ours(error)
            future = TaskFuture()
            future.set_exception(error)
            return future

    # Narrower than the base's, for which every argument fits every function.
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
        progress: bool | None = None,
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
        progress: bool | None = None,
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
        progress: bool | None = None,
    ) -> Iterator[T]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = _CHUNK,
        buffersize: int | None = None,
        progress: bool | None = None,
    ) -> Iterator[T]:
        """As the built-in ``map``, by all workers, several calls at a time.

        Args:
            fn: takes as many arguments as there are iterables; sent to each worker once.
            iterables: consumed at once, unless there is a ``buffersize``.
            timeout: seconds from now; a result that is not there by then raises
                TimeoutError.
            chunksize: items that a worker is sent as one task. When it is not given, short
                items are sent several at once (at most 16), by their measured time.
            buffersize: so many tasks at most whose results have not been fetched.
            progress: show how far it has come, as ``Pool.map`` does. None: as the executor
                was told.

        Returns:
            An iterator over the results, in order. An item that fails raises at its place.
            That, a timeout, and ``close()`` end the iterator, and what has not begun by
            then is not run.

        Raises:
            ValueError, TypeError: a ``chunksize`` or ``buffersize`` below 1, or no integer.
            RuntimeError: as for ``submit``; with a ``buffersize`` from the iterator as well.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else monotonic() + timeout
        engine = self._started()
        single = len(iterables) == 1
        items: Any = iter(iterables[0]) if single else zip(*iterables, strict=False)
        with engine.diary.at(ITERABLE):
            items = list(items) if buffersize is None else Items(items)
        try:
            function = engine.function(fn)
        except Exception as error:
            without_ours(error)
            return failing(error, items)
        chunk = None if chunksize is _CHUNK else chunksize
        runner = wire.MAP if single else wire.STARMAP
        job = StreamJob(function, items, runner, engine.namespace, chunk, _MAP_CHUNK)
        if self._progress if progress is None else progress:
            job.bar = Progress(len(items) if isinstance(items, list) else None, job.name, "items")
        try:
            if buffersize is None:
                job.end = len(items)
                return Results(engine, job, deadline, job.end)
            return Buffered(self._check_open, engine, job, deadline, chunksize, buffersize)
        except PoolClosed:
            self._check_open()
            raise
        except BaseException as error:
            if not isinstance(error, Exception):
                engine.give_up(job)  # Ctrl-C, and nobody has the iterator
            raise

    def stats(self) -> PoolStats:
        """What the executor has done so far, and what its workers are at: a frozen snapshot.
        Cheap, and from any thread."""
        return NOTHING_YET if self._engine is None else stats_of(self._engine)

    def spans(self) -> np.ndarray[Any, np.dtype[Any]]:
        """One record for each task that has ended; see ``Pool.spans``. Starts the workers if
        there are none yet."""
        from ._report.gather import spans

        return spans(self._engine or self._started())

    def report(self, path: str | os.PathLike[str] | None = None) -> None:
        """Where time and memory went; see ``Pool.report``. Also after ``shutdown``. Starts the
        workers if there are none yet.

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
        """No more calls are taken; the workers end when all is done.

        Args:
            wait: return when everything is done and the workers are gone, not at once.
            cancel_futures: cancel what no worker has been given yet.
        """
        with self._lock:
            self._shut = True
            engine = self._engine
        if engine is None:
            return
        if cancel_futures:
            engine.cancel_waiting()
        engine.close()
        if wait:
            engine.join()

    def terminate_workers(self) -> None:
        """Ends the workers now, by SIGTERM, and shuts the executor down.

        What was not finished fails with ``BrokenProcessPool``. Does not wait. A worker
        thread (``"thread"``) ends after its task.
        """
        self._end_workers(signal.SIGTERM)

    def kill_workers(self) -> None:
        """As ``terminate_workers``, by SIGKILL."""
        self._end_workers(signal.SIGKILL)

    def _end_workers(self, how: signal.Signals) -> None:
        with self._lock:
            self._shut = True
            engine = self._engine
        if engine is not None:
            engine.kill(how)

    @property
    def _processes(self) -> dict[int, WorkerProcess]:  # type: ignore[override]  # see handles
        """What others read of the standard class's private parts."""
        from ._engine.worker_process import WorkerProcess

        # The newest: a worker that was replaced may still be running what is due at its end.
        pids = [] if self._engine is None else self._engine.pids()[-self._max_workers :]
        return {pid: WorkerProcess(pid) for pid in pids}

    def _check_open(self) -> None:
        if self._shut:
            raise PoolClosed("cannot schedule new futures after shutdown")
        if _exiting:
            raise PoolClosed("cannot schedule new futures after interpreter shutdown")

    def _started(self) -> Engine:
        """The engine, with its workers started or on their way."""
        engine = self._engine
        if engine is not None and not self._shut and not _exiting:
            return engine
        with self._lock:
            self._check_open()
            if self._engine is None:
                self._engine = self._made()
                at_end(self._engine)
                weakref.finalize(self, self._engine.release).atexit = False
                _engines.add(self._engine)
            if _exiting:  # begun meanwhile, and did perhaps not see this engine
                self._engine.close()
            return self._engine

    def _made(self) -> Engine:
        """A new engine. One that could not be made breaks the executor, which is what those
        expect who catch ``BrokenProcessPool``."""
        if self._unmade is None:
            try:
                return setup.engine(
                    self._max_workers,
                    self._method,
                    self._initializer,
                    self._initargs,
                    self._max_tasks,
                    self._preload,
                    executor=True,
                    logs=self._logs,
                    prints=self._prints,
                    main=self._main,
                    state=self._state,
                    reseed=self._reseed,
                    profile=self._profile,
                )
            except InitializerFailed as error:
                self._unmade = error
            except OSError as error:
                self._unmade = InitializerFailed(f"the workers cannot be started: {error}")
                self._unmade.__cause__ = error
        raise InitializerFailed(*self._unmade.args) from self._unmade.__cause__

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]  # typeshed has the one half
        """Why it takes no more calls although nobody has shut it down, or False: a name of
        the standard class that programs read."""
        failure = self._unmade if self._engine is None else self._engine.failure
        return False if failure is None else str(failure)

    def __reduce__(self) -> Any:
        raise NotImplementedError(UNSENDABLE)

    def __repr__(self) -> str:
        state = "shut down" if self._shut else "open"
        held = busy.words(self._engine.held()) if self._engine is not None else ""
        return (
            f"<onecopy.ProcessPoolExecutor of {self._max_workers} workers "
            f"by {self._method}, {state}{'; ' if held else ''}{held}>"
        )


def _method_of(mp_context: BaseContext | str | None) -> str:
    """The start method that the caller means; never ``auto``."""
    if mp_context is None or isinstance(mp_context, str):
        return resolve(mp_context or "auto")
    return resolve(setup.method_of(mp_context, "mp_context"))


def _after_fork() -> None:
    """In a forked child: workers are the parent's, and a thread that is not there may have
    held a lock."""
    _engines.clear()
    for executor in list(_executors):
        executor._lock = threading.Lock()


def _at_exit() -> None:
    """The interpreter ends: everything that was submitted is finished first."""
    global _exiting
    _exiting = True
    engines = list(_engines)
    for engine in engines:
        engine.close()
    for engine in engines:
        engine.join()


os.register_at_fork(after_in_child=_after_fork)
# Private, and what the standard library's own executors use: it is called when the main
# thread has ended, before other threads are waited for and before ``atexit``.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # not in typeshed
