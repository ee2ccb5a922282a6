"""The joblib backend: ``joblib.Parallel``, and with it scikit-learn, on onecopy's workers.

``register()`` makes the name known to joblib; joblib then makes an ``OnecopyBackend`` for
each ``parallel_config`` and each ``Parallel`` that names it. Batches, dispatch and waiting
are joblib's own; here is how a batch gets to a pool and its outcome back.

How long a pool lives: as long as the backend object does, which keeps the pool of its last
call for the next. Inside a ``parallel_config`` block all calls so have one pool, and so have
the calls of one ``Parallel`` object; at the end of the block, or with the object, it ends.
loky keeps one for the whole program and needs a timer to let go of it; here nothing
outlives what the caller can see. Two pools are not kept: one in which something still
runs when a call ends early (it is terminated, which ends the work), and one by ``fork``,
whose workers are to see the caller's state at each call.

Needs joblib 1.5 or later, an optional dependency: importing this module without it raises
ImportError.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ._engine.engine import Engine
from ._engine.stats import PoolStats, stats_of
from ._launch import Method, resolve
from ._protocol.failures import name_of
from ._system.cpus import cpu_count
from ._system.native_threads import limit_threads
from .errors import PoolClosed, RemoteTraceback
from .pool import Pool

try:
    from joblib.parallel import (
        AutoBatchingMixin,
        FallbackToBackend,
        ParallelBackendBase,
        SequentialBackend,
        register_parallel_backend,
    )
except ImportError as _missing:
    raise ImportError(
        "onecopy.joblib needs joblib 1.5 or later: pip install onecopy[joblib]"
    ) from _missing

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OnecopyBackend", "register", "report", "spans", "stats"]

_log = logging.getLogger(__name__)

# Options of ``Pool`` that a backend takes as well.
_OF_POOL = (
    *("initializer", "initargs", "maxtasksperchild", "preload", "logs", "prints"),
    *("main", "state", "reseed", "spans", "profile"),
)

# The engine of the last call. It holds what its initializer was given, and so is not kept.
_last: deque[weakref.ref[Engine]] = deque(maxlen=1)
# Of each thread: is it at a task of ours?
_here = threading.local()

_Callback = Callable[[Future[Any]], object]
_Ended = tuple[_Callback, Future[Any]]


def register() -> None:
    """Makes ``backend="onecopy"`` known to joblib; calling it again does no harm.

    It has to be chosen then, by ``joblib.parallel_config(backend="onecopy")`` or
    ``joblib.Parallel(backend="onecopy")``, with these options:

    - ``method``: how workers start, as for ``Pool``. ``"forkserver"`` when not given, not
      ``"auto"``: joblib asks multiprocessing for its default context, which from then on
      looks as if the caller had chosen it.
    - ``inner_max_num_threads`` (``parallel_config`` only): native threads per worker, in
      place of ``cpu_count() // n_jobs``. Not for worker threads, which have them in common.
    - ``initializer`` and ``initargs``: called in each worker before its first task.
    - ``maxtasksperchild``, ``preload``, ``logs``, ``prints``, ``main``, ``state``,
      ``reseed``, ``spans``, ``profile``: as for ``Pool``.

    Any other option raises TypeError. As with loky, ``n_jobs`` is 1 unless it is given, and
    -1 means ``cpu_count()``. joblib's memory mapping (``max_nbytes``, ``mmap_mode``,
    ``temp_folder``) is not used: shared arrays move no bytes, plain ones arrive writable and
    the task's own.

    A ``Parallel`` inside a task runs its tasks one after the other, in that worker, also when
    it names a backend: joblib warns of ``"loky"`` and ``"multiprocessing"`` there.

    Does not block; may be called from any thread.

    Example:
        >>> import joblib, onecopy.joblib
        >>> onecopy.joblib.register()
        >>> with joblib.parallel_config(backend="onecopy", n_jobs=2):
        ...     joblib.Parallel()(joblib.delayed(abs)(x) for x in (-1, -2))
        [1, 2]
    """
    register_parallel_backend("onecopy", OnecopyBackend)


def stats() -> PoolStats:
    """What the pool of the last call of ``Parallel`` has done; see ``Pool.stats``.

    Raises:
        RuntimeError: the pool has ended, or no call has used this backend.
    """
    return stats_of(_used())


def spans() -> np.ndarray[Any, np.dtype[Any]]:
    """One record for each batch of the pool of the last call; see ``Pool.spans``.

    Raises:
        RuntimeError: the pool has ended, or no call has used this backend.
    """
    from ._report import gather

    return gather.spans(_used())


def report(path: str | os.PathLike[str] | None = None) -> None:
    """Where time and memory went in the pool of the last call; see ``Pool.report``. A pool serves
    several calls, and lives as long as the ``parallel_config`` block, or as the ``Parallel`` object.

    Args:
        path: None prints to the terminal; else a file, as for ``Pool.report``.

    Raises:
        RuntimeError: the pool has ended, or no call has used this backend.
        ValueError: an unknown suffix.
        OSError: the file cannot be written.
    """
    from ._report import gather, write

    write.report(gather.run(_used()), path)


def _used() -> Engine:
    engine = _last[-1]() if _last else None
    if engine is None:
        raise RuntimeError(
            'there is no pool of backend="onecopy": ask within the parallel_config block, or '
            "set ONECOPY_REPORT=run.html, which writes the report of each pool when it ends"
        )
    return engine


class OnecopyBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # untyped
    """See the module. joblib makes it and calls it; its callers only name it.

    The object that joblib makes may be used by several ``Parallel`` objects, also at the
    same time (one may hold a generator that is not at its end). Each of them is handed one
    of its own, with a pool that no other call uses: an abort ends this call's work only.

    Args:
        method: how workers start.
        nesting_level: as for every backend of joblib.
        inner_max_num_threads: likewise.
        options: of the pools that it makes; see ``register``.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False

    def __init__(
        self,
        method: Method = "forkserver",
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self.parallel: Any = None
        self._method = method
        self._options = _checked(options)
        self._n_jobs = 1
        # The pool that the next call may have; one that is pushed out ends by itself.
        self._spare: deque[tuple[_Key, Pool]] = deque(maxlen=1)
        # Guards the call's pool against an abort by another thread than the one that submits.
        self._lock = threading.RLock()
        self._key = _Key()
        self._pool: Pool | None = None
        self._running: set[Future[Any]] = set()
        self._ended: SimpleQueue[_Ended | None] | None = None

    # What joblib asks.

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` means here; 1 inside a task, of any backend."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if self.nesting_level:
            # As loky does: in its own tasks that is what everybody expects.
            if n_jobs != 1 and not getattr(_here, "in_task", False):
                warnings.warn(
                    "onecopy-backed parallel loops cannot be nested below another backend's, "
                    "setting n_jobs=1",
                    stacklevel=3,
                )
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """What a task's own ``Parallel`` uses. Loky has threads there, as many as asked for
        in every worker; workers and their native threads fill the CPUs already."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        method: Method | None = None,
        *,
        context: Any = None,
        max_nbytes: Any = None,
        mmap_mode: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        temp_folder: Any = None,
        verbose: int = 0,
        **options: Any,
    ) -> int:
        """Prepares for one ``Parallel`` object; the pool itself is made with its first call.

        The arguments from ``context`` on are those that joblib hands to every backend,
        whether or not somebody has given them: its default context, its memory mapping, and
        what it has carried out itself.
        """
        options = {**self._options, **_checked(options)}
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self.parallel is None:
            raise FallbackToBackend(self._for(parallel))
        self._n_jobs = n_jobs
        self._options = options
        self._method = resolve(method or self._method)
        if self._method == "thread" and self.inner_max_num_threads is not None:
            raise ValueError(
                "inner_max_num_threads is for worker processes: threads have their native "
                "threads in common; choose another method, or leave it out"
            )
        return n_jobs

    def _for(self, parallel: Any) -> OnecopyBackend:
        own = type(self)(
            self._method,
            nesting_level=self.nesting_level,
            inner_max_num_threads=self.inner_max_num_threads,
            **self._options,
        )
        # A proxy, for the same reason as in ``submit``: no cycle.
        own.parallel = weakref.proxy(parallel)
        own._spare = self._spare
        return own

    def start_call(self) -> None:
        """A call begins: takes the kept pool, or makes one."""
        self._let_go()
        # In a forked child the kept pool is the parent's.
        limit = self.inner_max_num_threads
        self._key = _Key((os.getpid(), self._n_jobs, self._method, limit), self._options)
        self._pool = self._kept() or self._new()
        _last.append(weakref.ref(self._pool._engine))
        try:
            self._ended = _called_back()
        except BaseException:
            self._let_go()
            raise

    def _kept(self) -> Pool | None:
        """The pool of the last call, if this call may have it."""
        with suppress(IndexError):
            key, pool = self._spare.pop()
            # One without workers has lost them, and perhaps the process that makes them.
            if key == self._key and pool.stats().workers:
                return pool
            pool.terminate()
        return None

    def _new(self) -> Pool:
        options = dict(self._options)
        set_up = options.pop("initializer", None), tuple(options.pop("initargs", ()))
        limit = self.inner_max_num_threads
        if self._method == "thread":
            initializer, initargs = set_up
        else:
            initializer, initargs = _begin, (limit, *set_up)
        return Pool(
            self._n_jobs,
            initializer,
            initargs,
            method=self._method,
            preload=[__name__, *options.pop("preload", ())],
            **options,
        )

    def submit(self, func: Any, callback: _Callback | None = None) -> Future[Any]:
        """Gives a batch to the pool. Never raises: joblib submits from its callbacks as
        well, where nobody would see it and the caller would wait for ever."""
        with self._lock:
            future: Future[Any]
            try:
                if self._pool is None:
                    raise PoolClosed("this call of Parallel was aborted")
                future = self._pool.submit(_Batch(func))
            except Exception as error:
                future = Future()
                future.set_exception(error.with_traceback(None))
            running, ended = self._running, self._ended
            running.add(future)
            if ended is None:
                ended = self._ended = _called_back()

        # Emptied when used: joblib's callback holds the future and its Parallel, and a cycle
        # would keep the pool until the garbage collector comes by.
        waiting = [(callback, ended)]

        def done(future: Future[Any]) -> None:
            running.discard(future)
            callback, ended = waiting.pop()
            if callback is not None:
                ended.put((callback, future))

        future.add_done_callback(done)
        return future

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        """The results of a batch, or its error, raised."""
        error = future.exception()
        if error is not None and error.__traceback__ is not None:
            # Raised in this process, by a worker thread. joblib takes its traceback away.
            text = "".join(traceback.format_exception(error))
            error.__cause__ = RemoteTraceback(text)
        return future.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends this call's work; the next call makes a new pool if it has to."""
        self._let_go()

    def stop_call(self) -> None:
        """The call is over, well or not."""
        self._let_go()

    def terminate(self) -> None:
        """joblib expects no further call for now; the kept pool stays."""
        self._let_go()
        self.reset_batch_stats()

    def _let_go(self) -> None:
        """Of the pool: kept for the next call, or ended if something runs in it."""
        with self._lock:
            pool, self._pool = self._pool, None
            ended, self._ended = self._ended, None
            running, self._running = self._running, set()
        if ended is not None:
            ended.put(None)
        if pool is None:
            return
        if running or pool.method == "fork":
            pool.terminate()
        else:
            self._spare.append((self._key, pool))


class _Key:
    """What a pool was made with. Options are compared by identity: an initializer's
    arguments may be arrays, and may have been changed since."""

    def __init__(self, made: tuple[Any, ...] = (), options: dict[str, Any] | None = None) -> None:
        self._made = made
        self._options = options or {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Key):
            return NotImplemented
        mine, theirs = self._options, other._options
        same = mine.keys() == theirs.keys() and all(mine[at] is theirs[at] for at in mine)
        return same and self._made == other._made

    __hash__ = None  # type: ignore[assignment]  # it is compared alone


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The same options. Raises TypeError for one that would not be carried out."""
    for name in options:
        if name not in _OF_POOL:
            raise TypeError(
                f"the backend onecopy has no option {name!r}; it has method, "
                f"inner_max_num_threads, {', '.join(_OF_POOL)}"
            )
    return options


def _begin(
    limit: int | None, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...]
) -> None:
    """In a worker process, before its first task."""
    # joblib's other backends ask this: in a task they would make processes of their own, or
    # wait for those that a forked worker has inherited without the threads that serve them.
    multiprocessing.current_process().daemon = True
    if limit is not None:
        limit_threads(limit)
    if initializer is not None:
        initializer(*initargs)


def _called_back() -> SimpleQueue[_Ended | None]:
    """A queue whose callbacks are called by a thread, until None comes."""
    ended: SimpleQueue[_Ended | None] = SimpleQueue()
    name = "onecopy-joblib-callbacks"
    threading.Thread(target=_call_back, args=(ended,), name=name, daemon=True).start()
    return ended


def _call_back(ended: SimpleQueue[_Ended | None]) -> None:
    """Calls joblib back, in a thread that each call of ``Parallel`` has for it.

    Not in the pool's driver: joblib's callback takes tasks from the caller's iterable and
    pickles them, and waits for a lock that is held while another thread does so. An
    iterable that waits for a pool, or runs another ``Parallel``, would stop the driver.
    """
    while (item := ended.get()) is not None:
        callback, future = item
        try:
            callback(future)
        except BaseException:
            _log.exception("joblib's callback failed; its Parallel may wait for ever")
        del item, callback, future  # nothing is kept alive while this waits


class _Batch:
    """A batch of joblib's calls, which errors know by the name of its first function."""

    def __init__(self, calls: Any) -> None:
        self.calls = calls
        self.__qualname__ = name_of(calls.items[0][0])
        self.__module__ = ""

    def __reduce__(self) -> Any:
        return _Batch, (self.calls,)

    def __call__(self) -> Any:
        register()  # for tasks that name it again; it then runs one after the other
        _here.in_task = True
        try:
            return self.calls()
        finally:
            _here.in_task = False
