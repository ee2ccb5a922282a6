"""``Pool``: worker processes that use the caller's data instead of getting copies of it.

``Pool`` is a subclass of ``multiprocessing.pool.Pool`` in name only. Libraries check
``isinstance(pool, multiprocessing.pool.Pool)``, and annotations name that class. It is a plain
class, with which no other can be registered, so only a subclass is recognised. None of its code is
used. Its ``__init__`` is never called, so its attributes do not exist here, and every method that
is called from outside is overridden (``tests/unit/test_standard_classes.py`` checks them, in each
Python).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from multiprocessing.pool import Pool as StandardPool
from socket import gethostname
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never, NoReturn, Self

from ._codec.blame import ours_cut
from ._engine import busy, dropped, refused_arguments, setup
from ._engine.calls import PoolView
from ._engine.engine import Engine
from ._engine.options import Prints
from ._engine.results import AsyncResult
from ._engine.stats import PoolStats, stats_of
from ._engine.streams import Stream
from ._launch import Method
from ._observe.present import Running
from ._observe.spans import KEPT
from ._progress.asked import Bar, bar_of
from ._report.environment import at_end
from ._system.interrupts import Uninterrupted
from .errors import PoolClosed

if TYPE_CHECKING:
    import numpy as np
    from distributed import Client

    from ._cluster.carriers.loopback import Loopback
    from ._cluster.host import HostStatus
    from ._cluster.setup import DaskCluster
    from ._engine.worker_process import WorkerProcess
    from ._observe.memory import Memory

__all__ = ["AsyncResult", "Method", "Pool", "PoolStats", "PoolView", "Prints", "Running"]


class Pool(PoolView, StandardPool):  # type: ignore[misc]  # results are of our own classes
    """A pool of workers on one copy of the data.

    Args:
        workers: the number of workers, at least 1; ``cpu_count()`` if None.
        method: the start method. ``"fork"``: workers see the caller's state as it is now.
            ``"forkserver"``: they are forked from a fresh interpreter that has imported what
            they need, and has nothing else of the caller's. ``"spawn"``: fresh interpreters.
            ``"thread"``: threads of this process; nothing is copied or pickled. ``"auto"``: the
            method set with ``multiprocessing.set_start_method``, otherwise ``forkserver``.
        initializer: called as ``initializer(*initargs)`` in each worker before its first
            task. If it raises, the pool is unusable and all tasks fail with
            ``InitializerFailed``.
        maxtasksperchild: a worker is replaced after this many tasks. A chunk is one: without a
            ``chunksize``, of as many items as in ``multiprocessing``.
        context: for programs that pass one to ``multiprocessing.Pool``: its start method.
        processes: ``multiprocessing.Pool``'s name for ``workers``.
        preload: names of modules to import once, before workers are forked. NumPy is imported if
            the caller has imported it.
        logs: forward workers' log records and warnings to this process's handlers and filters,
            exactly once, with ``worker`` and ``task`` on each record. A handler set up in a
            worker is called there, unless a handler of this process writes the record to the
            same place. False leaves ``logging`` and ``warnings`` in workers alone.
        prints: write workers' printed lines to this process's ``sys.stdout`` and ``sys.stderr``,
            each line whole: ``"plain"``, or ``"prefixed"`` with worker and task.
            ``"direct"``: workers write to their own streams, as in ``multiprocessing``.
        spans: how many task records to keep for ``spans`` and ``report``. Totals are always exact.
        progress: show the progress of calls of many items by default; see ``map``.
        main: how workers get the contents of the main module. ``"import"``: they import it, as in
            ``multiprocessing``. ``"value"``: they are sent what functions need of it.
            ``"auto"``: they import it if it is a file with an ``if __name__ == "__main__":``
            guard and starts no workers outside it. Forked workers inherit it.
        state: ``"follow"``: globals of the main module and of your own modules have the same values
            in workers as here. ``"import"``: they have the values that a worker's own import
            gives them.
        reseed: give NumPy's global generator a different seed in each forked worker, so that they
            do not draw the same numbers.
        profile: sample the workers' stacks a hundred times a second, for less than 1 % of their
            time: ``report`` then shows in which lines your functions spend it.
            ``ONECOPY_PROFILE=1`` in the environment does the same. Worker processes only.
        worker_exit: called without arguments in each worker at its normal end: after ``close``, or
            because of ``maxtasksperchild``. A worker that is killed does not call it; so
            ``terminate``, and the end of a ``with`` block, do not. Not for worker threads.
        cluster: hosts to work on: a connected ``distributed.Client``; the address of a Dask
            scheduler, the path of its scheduler file, or a Dask cluster, to which the pool then
            connects itself; the module ``ray`` or its name (after ``ray.init()``); or what
            ``onecopy.loopback`` returns. The workers are theirs. Work is then run at least once:
            see ``reruns``. None: this machine.
        reruns: with ``cluster``: how often work that was lost with a host, and may have begun there,
            is given to another. Then it fails with ``HostLost``.
        files: with ``cluster``: how hosts get data of loaded files. ``"auto"``: a host that sees the
            same file maps or decodes it, and others are sent its bytes. ``"ship"``: all are sent
            them. ``"same"``: a host that sees another file than one that was mapped is an error.
        hosts_timeout: with ``cluster``: seconds that work waits if no host is left; then it fails
            with ``NoHosts``.

    Raises:
        ValueError: the number of workers is below 1, or the method is unknown.
        TypeError: the initializer is not callable; or ``workers`` is given with ``cluster``, or an
            option of ``cluster`` without it.
        NotPicklable: the initializer cannot be pickled.
        NotShared: with ``cluster``, the initializer needs memory that can be written, or a lock.
        NoHosts, HostMismatch: the cluster has no host, or one with other versions than this process.
        UnsupportedPlatform: on Windows.

    Returns at once; workers start in the background. No start method needs a guard
    (``if __name__ == "__main__"``), and functions of ``__main__``, lambdas and closures work under
    all. Arguments and results arrive as writable copies that belong to the receiver. Shared data
    (``onecopy.share``, ``load``) arrives read-only, by reference.

    Native threads (BLAS, OpenMP) of each worker are capped so that workers x threads fits
    ``cpu_count()``, unless the environment sets a number, such as ``OMP_NUM_THREADS``.

    Thread-safe. A forked child cannot use the pool, and creates its own. Leaving the ``with`` block
    terminates the pool, as in ``multiprocessing``.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     pool.map(abs, [-1, -2])
        [1, 2]
    """

    def __init__(  # noqa: PLR0913  # the standard library's, and our options
        self,
        workers: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        processes: int | None = None,
        method: Method = "auto",
        preload: Iterable[str] = (),
        logs: bool = True,
        prints: Prints = "plain",
        spans: int = KEPT,
        progress: bool | str | Bar = False,
        main: Literal["auto", "import", "value"] = "auto",
        state: Literal["follow", "import"] = "follow",
        reseed: bool = True,
        profile: bool = False,
        worker_exit: Callable[[], Any] | None = None,
        cluster: Loopback | Client | DaskCluster | ModuleType | str | None = None,
        reruns: int = 3,
        files: Literal["auto", "ship", "same"] = "auto",
        hosts_timeout: float = 60.0,
        **others: Never,
    ) -> None:
        refused_arguments.refuse("Pool", others, refused_arguments.POOL)
        bar_of(progress)
        if processes is not None:
            if workers is not None:
                raise TypeError("workers and processes are the same: give one of them")
            workers = processes
        start: str = method
        if context is not None:
            if method != "auto":
                raise TypeError("context and method say the same: give one of them")
            start = setup.method_of(context, "context")
        with ExitStack() as undo:
            carrier = None
            if cluster is not None:
                from ._cluster import setup as on_cluster

                on_cluster.refuse(workers=workers, main=main)
                hosts = on_cluster.Hosts(cluster, reruns, files, hosts_timeout)
                start = on_cluster.method_of(start)
                carrier = hosts.carrier()
                undo.callback(carrier.close)
                workers = carrier.workers
            else:
                setup.check_alone(reruns=reruns, files=files, hosts_timeout=hosts_timeout)
            with ours_cut:
                options = setup.options_of(
                    workers,
                    start,
                    initializer,
                    tuple(initargs),
                    maxtasksperchild,
                    setup.modules_of(preload, here=carrier is None),
                    logs=logs,
                    prints=prints,
                    spans=spans,
                    main=main,
                    state=state,
                    reseed=reseed,
                    profile=profile,
                    worker_exit=worker_exit,
                )
            # Ctrl-C ends the workers only if the finalizer is there.
            with Uninterrupted() as signals:
                with ours_cut:
                    if carrier is not None:  # hosts may take long to start
                        engine: Engine = signals.pass_on(partial(hosts.engine, options, carrier))
                    else:
                        engine = setup.engine(options)
                at_end(engine)
                streams: weakref.WeakSet[Stream[Any]] = weakref.WeakSet()
                super().__init__(engine, None, streams, progress)
                # Called when the pool is garbage-collected, possibly at any moment in any thread.
                self._finalizer = weakref.finalize(self, self._engine.release)
                # Before the finalizers that are due at the program's end: what is registered last is
                # called first.
                dropped.watch(engine)
            undo.pop_all()

    # Statistics, and the end.

    def stats(self) -> PoolStats:
        """Return the pool's statistics so far: a frozen snapshot. Cheap, and safe in any thread."""
        return stats_of(self._engine)

    def spans(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one record for each task (or chunk of ``map``) that has ended, in that order.

        Returns:
            A structured array, ready for ``pandas.DataFrame`` and ``polars.DataFrame``. Times
            are nanoseconds of CLOCK_MONOTONIC (``time.monotonic_ns``), sizes bytes:

            - ``task`` (all chunks of one call have the same), ``start`` and ``stop`` (a
                chunk's items; 0 and 0 for a single call), ``name``, ``host`` (this machine, or the
                host's name; empty for a task that was lost with its host), ``worker``, ``pid``,
                ``state`` (``done``, ``failed`` or ``lost``);
            - ``submitted``, ``sent``, ``received``, ``decoded``, ``started``, ``finished``,
                ``encoded``, ``returned``;
            - ``waited``, ``blocked``: nanoseconds since the worker's task before, waiting
                for work, and writing that one's result;
            - ``imported``, ``importing``: nanoseconds of importing modules, before the function
                began and inside it;
            - ``cpu``, ``wanted``, ``helped``: nanoseconds inside the function, without imports:
                CPU time of the worker process, and of programs that it has started and waited
                    for; the time ready to run without a free CPU; and the part of ``cpu`` that was
                    not
                the task's own thread;
            - ``minor_faults``, ``major_faults``, ``voluntary``, ``involuntary`` (context
                switches): of the worker process. For tasks shorter than 100 microseconds
                ``cpu`` is their duration, and the others are 0;
            - ``args_moved``, ``args_shared``, ``result_moved``, ``result_shared``: bytes copied,
            and bytes passed by reference; - ``line``: ``file:line`` of the call in the program.

            Unknown values of a lost task are 0. The latest ``Pool(spans=...)`` records are kept;
            ``report`` and its totals include the others too.

        Thread-safe; returns a copy.
        """
        from ._report.gather import spans

        return spans(self._engine)

    def report(self, path: str | os.PathLike[str] | None = None) -> None:
        """Report where time and memory went.

        Args:
            path: None prints to the terminal. The suffix of a file chooses the format: ``.html`` (a
                self-contained page), ``.pftrace`` (Perfetto), ``.json`` (Chrome's trace format) or
                ``.onecopy`` (the run itself, which ``onecopy report FILE`` converts).

        It shows names, types and sizes, and never the value of an argument. May be called while the
        pool works and after it has ended. Reads the memory of all processes once more, which takes
        about 30 ms per GB that they map.

        Raises:
            ValueError: an unknown suffix.
            OSError: the file cannot be written; no part of it is left then.
        """
        from ._report import gather, write

        write.report(gather.run(self._engine), path)

    def _repr_html_(self) -> str:
        from ._report import gather, notebook

        return notebook.summary(gather.run(self._engine, look=False))

    @property
    def workers(self) -> int:
        """The number of workers of the complete pool."""
        return self._engine.options.workers

    @property
    def method(self) -> Method:
        """The start method in use; never ``"auto"``."""
        return self._engine.options.method

    def pids(self) -> list[int]:
        """Return the workers' process ids; empty for threads."""
        return self._engine.pids()

    def hosts(self) -> list[HostStatus]:
        """Return the hosts of a pool with ``cluster=``, those that have gone included.

        Empty for a pool on this machine. Does not block; safe in any thread.
        """
        from ._cluster.engine import ClusterEngine

        return self._engine.hosts() if isinstance(self._engine, ClusterEngine) else []

    def memory(self) -> dict[str, Memory]:
        """Return the physical memory of the pool's processes now, by the name of the host.

        Returns:
            This machine first: this process and its descendants, as ``onecopy.memory`` has them.
            Then each host of a pool with ``cluster=``: its agent and its workers. A host that has
            not answered within 10 seconds is left out.

        Blocks for about 20 ms per GB that the processes map; hosts read at the same time.
        Thread-safe. Not for callbacks of futures of a pool with ``cluster=``: hosts cannot answer
        meanwhile, and are left out.

        Raises:
            UnsupportedPlatform: the system has no such figures: only Linux does.

        Example:
            >>> import onecopy as oc
            >>> with oc.Pool(cluster=oc.loopback(2)) as pool:
            ...     len(pool.pids())  # of all workers, once they have started
            ...     [name for name, memory in pool.memory().items() if memory.pss > 0][1:]
            2
            ['loopback-1', 'loopback-2']
        """
        from ._cluster.engine import ClusterEngine
        from ._observe.memory import memory

        if isinstance(self._engine, ClusterEngine):
            return self._engine.memory()
        return {gethostname(): memory()}

    def close(self) -> None:
        """Take no more work; the workers exit when all is done."""
        self._engine.close()

    def terminate(self) -> None:
        """End the workers at once; unfinished work fails with PoolClosed.

        A worker thread cannot be killed in the middle of a task: it ends after it.
        """
        self._engine.terminate()

    def join(self) -> None:
        """Wait until the workers have ended. Call ``close`` or ``terminate`` first.

        Results of ``imap`` that have not been fetched are computed first, as in
        ``multiprocessing``, and can still be fetched.
        """
        if not self._engine.core.closed:
            raise ValueError("the pool is still running: call close or terminate first")
        for stream in list(self._streams):
            stream.run_to_end()
        self._engine.join()

    def __enter__(self) -> Self:
        if self._engine.core.closed:
            raise PoolClosed("the pool is closed and takes no more work")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            dropped.tell(self._engine, "at the end of its with block")
        self.terminate()
        self._engine.join()

    def __del__(self) -> None:
        pass  # the finalizer ends the workers; the base class's would warn

    # Private parts of the standard class that other programs read, and its other methods.

    @property
    def _processes(self) -> int:
        return self._engine.options.workers

    @property
    def _pool(self) -> list[WorkerProcess]:
        from ._engine.worker_process import handles

        return handles(self.workers, self._engine.pids())

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> NoReturn:
        """Refuse: onecopy creates a pool's workers, not a context's ``Process``."""
        raise NotImplementedError(
            "onecopy makes its workers by itself and calls no Process of a context or subclass; "
            "give Pool(method=...) or Pool(initializer=...) instead"
        )

    def __repr__(self) -> str:
        state = "closed" if self._engine.core.closed else "open"
        held = busy.words(self._engine.core.held())
        return (
            f"<onecopy.Pool of {self.workers} worker{'s' * (self.workers != 1)} by {self.method}, {state}"
            f"{'; ' if held else ''}{held}>"
        )
