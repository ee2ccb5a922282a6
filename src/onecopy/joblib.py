"""The joblib backend: runs ``joblib.Parallel``, and with it scikit-learn, on onecopy's workers.

``register()`` makes the name known to joblib; joblib then creates an ``OnecopyBackend`` for each
``parallel_config`` and each ``Parallel`` that names it. Batches, dispatch and waiting are joblib's
own; this module passes batches to a pool and outcomes back.

A pool lives as long as the backend object, which keeps the pool of its last call for the next. So
all calls inside a ``parallel_config`` block use one pool, and so do the calls of one ``Parallel``
object; it ends with the block or the object. loky keeps a pool for the whole program and needs a
timer to release it; here nothing outlives what the caller can see. Two kinds of pool are not kept:
one in which something still runs when a call ends early (it is terminated, which ends the work),
and one by ``fork``, whose workers must see the caller's state at each call.

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
from ._progress.asked import bar_of
from ._progress.bar import Progress
from ._protocol.failures import name_of
from ._system.cpus import cpu_count
from ._system.interrupts import Uninterrupted
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
        "onecopy.joblib needs joblib 1.5 or later: pip install --upgrade joblib"
    ) from _missing

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OnecopyBackend", "register", "report", "spans", "stats"]

_log = logging.getLogger(__name__)

# Options of ``Pool`` that a backend accepts as well.
_OF_POOL = (
    *("initializer", "initargs", "maxtasksperchild", "preload", "logs", "prints"),
    *("main", "state", "reseed", "spans", "profile"),
    *("cluster", "reruns", "files", "hosts_timeout"),
)
# Options of a backend, with those.
_ALL = (*_OF_POOL, "progress")

# The engine of the last call. It references its initializer's arguments, so it is not kept alive.
_last: deque[weakref.ref[Engine]] = deque(maxlen=1)
# By thread: True while it runs a task of ours.
_here = threading.local()

_Callback = Callable[[Future[Any]], object]
_Ended = tuple[_Callback, Future[Any]] | Progress | None


def register() -> None:
    """Register ``backend="onecopy"`` with joblib; may be called repeatedly.

    Then choose it with ``joblib.parallel_config(backend="onecopy")`` or
    ``joblib.Parallel(backend="onecopy")``, with these options:

    - ``method``: the start method, as for ``Pool``. The default is ``"forkserver"``, not
      ``"auto"``: joblib requests multiprocessing's default context, which from then on looks as
      if the caller had chosen it.
    - ``inner_max_num_threads`` (``parallel_config`` only): native threads per worker, instead of
      ``cpu_count() // n_jobs``. Not for worker threads, which share them.
    - ``initializer`` and ``initargs``: called in each worker before its first task.
    - ``progress``: show the progress of each call, as for ``Pool``: True, a label, or an
      ``onecopy.Bar``. joblib takes tasks from an iterator as it needs them, so their number is
      known only when it has taken the last one, unless the bar has a ``total``. A call with
      ``n_jobs=1`` does not come here, and shows nothing.
    - ``maxtasksperchild``, ``preload``, ``logs``, ``prints``, ``main``, ``state``,
      ``reseed``, ``spans``, ``profile``: as for ``Pool``.
    - ``cluster``, with ``reruns``, ``files``, ``hosts_timeout``: work on several hosts, as for
      ``Pool``. All their workers are used: in ``parallel_config`` leave ``n_jobs`` out, and give
      ``n_jobs=-1`` to a ``Parallel`` that names the backend itself. Another number than theirs
      raises ValueError, and 1 means no pool, as always. joblib has to be installed on each host.

    Any other option raises TypeError. As with loky, ``n_jobs`` is 1 unless it is given, and
    -1 means ``cpu_count()``. joblib's memory mapping (``max_nbytes``, ``mmap_mode``,
    ``temp_folder``) is not used: shared arrays are passed by reference, plain ones arrive as
    writable copies.

    A ``Parallel`` inside a task runs its tasks one after the other, in that worker, even if it
    names a backend: joblib warns about ``"loky"`` and ``"multiprocessing"`` there.

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
    """Return the statistics of the pool of the last call of ``Parallel``; see ``Pool.stats``.

    Raises:
        RuntimeError: the pool has ended, or no call has used this backend.
    """
    return stats_of(_used())


def spans() -> np.ndarray[Any, np.dtype[Any]]:
    """Return one record for each batch of the pool of the last call; see ``Pool.spans``.

    Raises:
        RuntimeError: the pool has ended, or no call has used this backend.
    """
    from ._report import gather

    return gather.spans(_used())


def report(path: str | os.PathLike[str] | None = None) -> None:
    """Report where time and memory went in the pool of the last call; see ``Pool.report``. A pool
    serves several calls, and lives as long as the ``parallel_config`` block, or as the ``Parallel``
    object.

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
    """See the module. joblib creates and calls it; users only name it.

    Several ``Parallel`` objects may use joblib's object, even at the same time (one may have a
    generator that is not exhausted). Each of them gets its own copy, with a pool that no other call
    uses: an abort ends this call's work only.

    Args:
        method: the start method.
        nesting_level: as for every backend of joblib.
        inner_max_num_threads: as for every backend of joblib.
        options: of its pools; see ``register``.
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
        # The pool that the next call may use; one that is pushed out ends by itself.
        self._spare: deque[tuple[_Key, Pool]] = deque(maxlen=1)
        # Guards the call's pool against an abort by a thread other than the one that submits.
        self._lock = threading.RLock()
        self._key = _Key()
        self._pool: Pool | None = None
        self._running: set[Future[Any]] = set()
        self._ended: SimpleQueue[_Ended] | None = None
        self._bar: Progress | None = None

    # Called by joblib.

    @property
    def default_n_jobs(self) -> int:
        """The ``n_jobs`` of a call that has none: all workers of the hosts, with ``cluster``."""
        return 1 if self._options.get("cluster") is None else -1

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of workers for ``n_jobs``; 1 inside a task, of any backend."""
        return self._workers(n_jobs, self._options.get("cluster"))

    def _workers(self, n_jobs: int | None, cluster: Any) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None and cluster is None:
            return 1
        if self.nesting_level:
            # As in loky: inside its own tasks that is the normal case.
            if n_jobs != 1 and not getattr(_here, "in_task", False):
                warnings.warn(
                    "onecopy-backed parallel loops cannot be nested below another backend's, "
                    "setting n_jobs=1",
                    stacklevel=3,
                )
            return 1
        if cluster is not None:
            return _of_hosts(n_jobs, cluster)
        assert n_jobs is not None
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return the backend for a task's own ``Parallel``. Loky uses threads there, as many as
        requested in every worker; here workers and their native threads fill the CPUs already."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def configure(  # noqa: PLR0913  # joblib's, and our options
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
        """Prepare for one ``Parallel`` object; its first call creates the pool.

        joblib passes the arguments from ``context`` on to every backend, whether or not the user
        has given them: its default context, its memory mapping, and options that it handles itself.
        """
        options = {**self._options, **_checked(options)}
        n_jobs = self._workers(n_jobs, options.get("cluster"))
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
        """Begin a call: take the kept pool, or create one."""
        self._let_go()
        # In a forked child the kept pool is the parent's.
        limit = self.inner_max_num_threads
        options = {name: self._options[name] for name in self._options if name in _OF_POOL}
        # Hosts come and go in a pool that stays the same.
        wanted = self._n_jobs if options.get("cluster") is None else 0
        self._key = _Key((os.getpid(), wanted, self._method, limit), options)
        self._pool = self._kept() or self._new()
        _last.append(weakref.ref(self._pool._engine))
        try:
            self._ended = self._called_back()
        except BaseException:
            self._let_go()
            raise

    def _kept(self) -> Pool | None:
        """Return the pool of the last call, if this call may use it."""
        with suppress(IndexError):
            key, pool = self._spare.pop()
            # A pool without workers has lost them, and perhaps the process that forks them.
            if key == self._key and pool.stats().workers:
                return pool
            pool.terminate()
        return None

    def _new(self) -> Pool:
        options = {name: self._options[name] for name in self._options if name in _OF_POOL}
        set_up = options.pop("initializer", None), tuple(options.pop("initargs", ()))
        limit = self.inner_max_num_threads
        if self._method == "thread":
            initializer, initargs = set_up
        else:
            initializer, initargs = _begin, (limit, *set_up)
        return Pool(
            self._n_jobs if options.get("cluster") is None else None,
            initializer,
            initargs,
            method=self._method,
            preload=[__name__, *options.pop("preload", ())],
            **options,
        )

    def submit(self, func: Any, callback: _Callback | None = None) -> Future[Any]:
        """Submit a batch to the pool. Never raises: joblib also submits in its callbacks, where an
        error would be lost and the caller would wait for ever."""
        batch, size = _Batch(func), len(func)
        with self._lock:
            future: Future[Any]
            bar = self._shown(batch)
            try:
                if self._pool is None:
                    raise PoolClosed("this call of Parallel was aborted")
                future = self._pool.submit(batch)
            except Exception as error:
                future = Future()
                future.set_exception(error.with_traceback(None))
            running, ended = self._running, self._ended
            running.add(future)
            if ended is None:
                ended = self._ended = self._called_back()

        # Emptied when used: joblib's callback references the future and its Parallel, and a cycle
        # would keep the pool until the garbage collector runs.
        waiting = [(callback, ended)]

        def done(future: Future[Any]) -> None:
            running.discard(future)
            callback, ended = waiting.pop()
            if bar is not None:
                failed = future.cancelled() or future.exception() is not None
                # A batch ends at its first error: the calls after it are not run.
                bar.advance(1 if failed else size, failed)
            if callback is not None:
                ended.put((callback, future))

        future.add_done_callback(done)
        return future

    def _shown(self, first: _Batch) -> Progress | None:
        """Return the call's bar, which begins with its ``first`` batch; None if it has none."""
        asked = bar_of(self._options.get("progress"))
        if self._bar is None and self._pool is not None and asked is not None:
            self._bar = Progress(None, name_of(first), "tasks", asked)
            self._bar.start()
        return self._bar

    def _called_back(self) -> SimpleQueue[_Ended]:
        """Return a queue whose callbacks a thread calls, until None comes, or a bar to end."""
        ended: SimpleQueue[_Ended] = SimpleQueue()
        arguments, name = (ended, weakref.ref(self)), "onecopy-joblib-callbacks"
        thread = threading.Thread(target=_call_back, args=arguments, name=name, daemon=True)
        with Uninterrupted():  # the standard library's ``start`` waits on a condition
            thread.start()
        return ended

    def _in_finalizer(self) -> bool:
        """Return True if this may be a generator's end, in the middle of anything: the caller must
        wait for no lock of a bar then."""
        try:
            return bool(self.parallel.return_generator)
        except ReferenceError:
            return True

    def count(self) -> None:
        """Tell the bar how many tasks there are, once joblib has taken the last one."""
        bar, parallel = self._bar, self.parallel
        with suppress(ReferenceError):  # its Parallel is gone
            if bar is not None and parallel._original_iterator is None:
                bar.expect(parallel.n_dispatched_tasks)

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        """Return the results of a batch, or raise its error."""
        error = future.exception()
        if error is not None and error.__traceback__ is not None:
            # Raised in this process, by a worker thread. joblib removes its traceback.
            text = "".join(traceback.format_exception(error))
            error.__cause__ = RemoteTraceback(text)
        return future.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End this call's work; the next call creates a new pool if necessary."""
        self._let_go()

    def stop_call(self) -> None:
        """End a call, successful or not."""
        self._let_go()

    def terminate(self) -> None:
        """Keep the pool: joblib expects no further call for now."""
        self._let_go()
        self.reset_batch_stats()

    def _let_go(self) -> None:
        """Keep the pool for the next call, or end it if something runs in it."""
        self.count()
        with self._lock:
            pool, self._pool = self._pool, None
            ended, self._ended = self._ended, None
            running, self._running = self._running, set()
            bar, self._bar = self._bar, None
        if ended is not None:
            ended.put(bar)
        if bar is not None and not self._in_finalizer():
            bar.finish()  # before the caller goes on, and prints
        if pool is None:
            return
        if running or pool.method == "fork":
            pool.terminate()
        else:
            self._spare.append((self._key, pool))


class _Key:
    """The settings of a pool. Options are compared by identity: an initializer's arguments may be
    arrays, and may have been changed since."""

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
    """Return the options. Raises TypeError for one that is invalid or would have no effect."""
    for name in options:
        if name not in _ALL:
            raise TypeError(
                f"the backend onecopy has no option {name!r}; it has method, "
                f"inner_max_num_threads, {', '.join(_ALL)}"
            )
    bar_of(options.get("progress"))
    return options


def _of_hosts(n_jobs: int | None, cluster: Any) -> int:
    """Return the number of workers of a cluster's hosts, at least 2: with 1, joblib would run
    everything in this process. Raises ValueError if it is not the number that was asked for."""
    from ._cluster.setup import workers_of

    if n_jobs == 1:
        return 1
    workers = workers_of(cluster)
    if n_jobs not in (None, -1, workers):
        raise ValueError(
            f"with cluster= all {workers} workers of the hosts are used: give n_jobs=-1, or leave "
            f"it out, instead of n_jobs={n_jobs}"
        )
    return max(2, workers)


def _begin(
    limit: int | None, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...]
) -> None:
    """Set up a worker process, before its first task."""
    # joblib's other backends check this: otherwise, in a task, they would start processes, or wait
    # for processes that a forked worker has inherited without the threads that serve them.
    multiprocessing.current_process().daemon = True
    if limit is not None:
        limit_threads(limit)
    if initializer is not None:
        initializer(*initargs)


def _call_back(ended: SimpleQueue[_Ended], backend: weakref.ref[OnecopyBackend]) -> None:
    """Call joblib back, in a thread that each call of ``Parallel`` has for this.

    Not in the pool's driver: joblib's callback takes tasks from the caller's iterable and pickles
    them, and waits for a lock that another thread holds while it does the same. An iterable that
    waits for a pool, or runs another ``Parallel``, would block the driver.
    """
    while isinstance(item := ended.get(), tuple):
        callback, future = item
        try:
            callback(future)
        except BaseException:
            _log.exception("joblib's callback failed; its Parallel may wait for ever")
        del item, callback, future  # nothing is kept alive while this waits
        if (called := backend()) is not None:
            called.count()
        del called
    if item is not None:
        item.finish()


class _Batch:
    """A batch of joblib's calls, named in errors after its first function."""

    def __init__(self, calls: Any) -> None:
        self.calls = calls
        self.__qualname__ = name_of(calls.items[0][0])
        self.__module__ = ""

    def __reduce__(self) -> Any:
        return _Batch, (self.calls,)

    def __call__(self) -> Any:
        register()  # for tasks that name it again; it then runs them one after the other
        _here.in_task = True
        try:
            return self.calls()
        finally:
            _here.in_task = False
