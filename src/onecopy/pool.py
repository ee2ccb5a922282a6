"""``Pool``: worker processes that use the caller's data instead of getting copies of it.

``Pool`` is a subclass of ``multiprocessing.pool.Pool``, by name alone. Libraries ask
``isinstance(pool, multiprocessing.pool.Pool)`` before they use one, and annotations name it.
That class is a plain one: nothing can be registered with it, so that to be recognised is to
be derived. None of its machinery is used. Its ``__init__`` is never called, so its attributes
do not exist here, and every method of its own that anybody but itself calls is overridden
(``tests/unit/test_standard_classes.py`` goes through them, in each Python).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable
from multiprocessing.pool import Pool as StandardPool
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never, NoReturn, Self

from ._codec.blame import ours_cut
from ._engine import busy, refused_arguments, setup
from ._engine.calls import PoolView
from ._engine.engine import Engine
from ._engine.options import Prints
from ._engine.results import AsyncResult
from ._engine.stats import PoolStats, Running, stats_of
from ._engine.streams import Stream
from ._launch import Method
from ._observe.spans import KEPT
from ._report.environment import at_end
from .errors import PoolClosed

if TYPE_CHECKING:
    import numpy as np

    from ._engine.worker_process import WorkerProcess

__all__ = ["AsyncResult", "Method", "Pool", "PoolStats", "PoolView", "Prints", "Running"]


class Pool(PoolView, StandardPool):  # type: ignore[misc]  # results are of our own classes
    """A pool of workers on one copy of the data.

    Args:
        workers: how many; ``cpu_count()`` when None. At least 1.
        method: how workers start. ``"fork"``: they see the caller's state as it is now.
            ``"forkserver"``: forked from a fresh interpreter that has imported what they need,
            and holds nothing else of the caller's. ``"spawn"``: fresh interpreters. ``"thread"``: threads of this process;
            nothing is copied or pickled. ``"auto"``: what
            ``multiprocessing.set_start_method`` was told, otherwise ``forkserver``.
        initializer: called as ``initializer(*initargs)`` in each worker before its first
            task. When it raises, the pool is of no use and all tasks fail with
            ``InitializerFailed``.
        maxtasksperchild: a worker is replaced after this many tasks (a chunk is one).
        context: for programs that pass one to ``multiprocessing.Pool``: its start method.
        processes: what ``multiprocessing.Pool`` calls ``workers``.
        preload: modules to import once, before workers are forked; NumPy is, when the
            caller has it.
        logs: what workers log and warn of reaches this process's handlers and filters, once,
            with ``worker`` and ``task`` on each record. A handler that is set up in a worker is
            called there unless one of this process's takes the record to the same place.
            False leaves ``logging`` and ``warnings`` in workers as they are.
        prints: what workers print comes out of this process's ``sys.stdout`` and
            ``sys.stderr``, whole: ``"plain"``, or ``"prefixed"`` with worker and task.
            ``"direct"``: workers write to their own, as ``multiprocessing``'s do.
        spans: so many records of tasks are kept for ``spans`` and ``report``; totals
            are exact beyond that.
        progress: calls of many items (``map`` and its kin) show how far they have come,
            unless they say otherwise.
        main: how workers come by what the main module defines. ``"import"``: they import it,
            as ``multiprocessing`` has them do. ``"value"``: what functions need of it is sent
            to them. ``"auto"``: an import where the module is a file with an
            ``if __name__ == "__main__":`` guard and starts no workers outside it. Forked
            workers inherit it.
        state: ``"follow"``: what functions read of the main module and of your own modules
            has in workers the value that it has here. ``"import"``: what modules hold is what
            a worker's own import makes of it.
        reseed: forked workers give NumPy's global generator a seed of their own, so that
            they do not draw the same numbers.
        profile: look at the workers' stacks a hundred times a second, for under 1 % of their
            time: ``report`` then says in which lines your functions spend it. Also by
            ``ONECOPY_PROFILE=1`` in the environment. Worker processes only.

    Raises:
        ValueError: zero or negative workers, an unknown method.
        TypeError: an initializer that is not callable.
        NotPicklable: an initializer that cannot travel.
        UnsupportedPlatform: on Windows.

    Returns at once; workers start in the background. No ``if __name__ == "__main__"`` is
    needed under any method, and functions of ``__main__``, lambdas and closures work under
    all. Arguments and results arrive writable and the receiver's own; what is shared
    (``onecopy.share``, ``load``) arrives read-only and without moving a byte.

    Native threads (BLAS, OpenMP) of each worker are capped so that workers x threads fits
    ``cpu_count()``, unless the environment sets a figure, such as ``OMP_NUM_THREADS``.

    Thread-safe. In a forked child the pool is not usable; the child makes its own. Leaving
    the ``with`` block terminates the pool, as in ``multiprocessing``.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     pool.map(abs, [-1, -2])
        [1, 2]
    """

    def __init__(
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
        progress: bool = False,
        main: Literal["auto", "import", "value"] = "auto",
        state: Literal["follow", "import"] = "follow",
        reseed: bool = True,
        profile: bool = False,
        **others: Never,
    ) -> None:
        refused_arguments.refuse("Pool", others, refused_arguments.POOL)
        if processes is not None:
            if workers is not None:
                raise TypeError("workers and processes are the same: give one of them")
            workers = processes
        start: str = method
        if context is not None:
            if method != "auto":
                raise TypeError("context and method say the same: give one of them")
            start = setup.method_of(context, "context")
        with ours_cut:
            engine: Engine = setup.engine(
                workers,
                start,
                initializer,
                tuple(initargs),
                maxtasksperchild,
                tuple(preload),
                logs=logs,
                prints=prints,
                spans=spans,
                main=main,
                state=state,
                reseed=reseed,
                profile=profile,
            )
        at_end(engine)
        streams: weakref.WeakSet[Stream[Any]] = weakref.WeakSet()
        super().__init__(engine, None, streams, progress)
        # Runs when the pool is collected, which may be at any moment in any thread.
        self._finalizer = weakref.finalize(self, self._engine.release)

    # Its life.

    def stats(self) -> PoolStats:
        """What the pool has done so far: a frozen snapshot. Cheap, and from any thread."""
        return stats_of(self._engine)

    def spans(self) -> np.ndarray[Any, np.dtype[Any]]:
        """One record for each task (or chunk of ``map``) that has ended, in that order.

        Returns:
            A structured array, ready for ``pandas.DataFrame`` and ``polars.DataFrame``. Times
            are nanoseconds of CLOCK_MONOTONIC (``time.monotonic_ns``), sizes bytes:

            - ``task`` (all chunks of one call have the same), ``start`` and ``stop`` (a
                chunk's items; 0 and 0 for a single call), ``name``, ``worker``, ``pid``,
                ``state`` (``done``, ``failed`` or ``lost``);
            - ``submitted``, ``sent``, ``received``, ``decoded``, ``started``, ``finished``,
                ``encoded``, ``returned``;
            - ``waited``, ``blocked``: nanoseconds since the worker's task before, waiting
                for work, and writing that one's result;
            - ``imported``, ``importing``: nanoseconds of importing modules, before the function
                began and inside it;
            - ``cpu``, ``wanted``, ``helped``: nanoseconds inside the function, imports left out:
                CPU time of the worker process, and of programs that it has started and waited
                for; ready to run while no CPU was free; and the part of ``cpu`` that was not
                the task's own thread;
            - ``minor_faults``, ``major_faults``, ``voluntary``, ``involuntary`` (context
                switches): of the worker process. For tasks shorter than 100 microseconds
                ``cpu`` is their duration, and the others are 0;
            - ``args_moved``, ``args_shared``, ``result_moved``, ``result_shared``: bytes
                that were copied, and that were referred to;
            - ``line``: ``file:line`` of the program that has called.

            What is not known of a lost task is 0. The latest ``Pool(spans=...)`` are there;
            ``report`` and its totals know of the others too.

        Thread-safe; copies what is kept.
        """
        from ._report.gather import spans

        return spans(self._engine)

    def report(self, path: str | os.PathLike[str] | None = None) -> None:
        """Where time and memory went.

        Args:
            path: None prints to the terminal. A file, by its suffix: ``.html`` (one page that
                needs no network), ``.pftrace`` (Perfetto), ``.json`` (Chrome's trace format)
                or ``.onecopy`` (the run itself; ``onecopy report FILE`` makes the others of it).

        Names, types and sizes are shown, and never a value of an argument. May be called
        while the pool works, and after it has ended. Reads the memory of all processes once
        more, which takes some 30 ms per GB that they map.

        Raises:
            ValueError: an unknown suffix.
            OSError: the file cannot be written; nothing is left of it then.
        """
        from ._report import gather, write

        write.report(gather.run(self._engine), path)

    def _repr_html_(self) -> str:
        from ._report import gather, notebook

        return notebook.summary(gather.run(self._engine, look=False))

    @property
    def workers(self) -> int:
        """How many workers the pool has when all are up."""
        return self._engine.options.workers

    @property
    def method(self) -> Method:
        """The start method that is used; never ``"auto"``."""
        return self._engine.options.method

    def pids(self) -> list[int]:
        """The workers' process ids; empty for threads."""
        return self._engine.pids()

    def close(self) -> None:
        """No more work is taken; the workers end when all is done."""
        self._engine.close()

    def terminate(self) -> None:
        """Ends the workers at once; what was not finished fails with PoolClosed.

        A worker thread cannot be ended in the middle of a task: it ends after it.
        """
        self._engine.terminate()

    def join(self) -> None:
        """Waits until the workers have ended. Call ``close`` or ``terminate`` first.

        Results of ``imap`` that nobody has fetched are computed first, as in
        ``multiprocessing``, and can still be fetched.
        """
        if not self._engine.closed:
            raise ValueError("the pool is still running: call close or terminate first")
        for stream in list(self._streams):
            stream.run_to_end()
        self._engine.join()

    def __enter__(self) -> Self:
        if self._engine.closed:
            raise PoolClosed("the pool is closed and takes no more work")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()
        self._engine.join()

    def __del__(self) -> None:
        pass  # the finalizer ends the workers; the base class's would warn

    # What others read of the standard class's private parts, and what it has that is not ours.

    @property
    def _processes(self) -> int:
        return self._engine.options.workers

    @property
    def _pool(self) -> list[WorkerProcess]:
        from ._engine.worker_process import handles

        return handles(self.workers, self._engine.pids())

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> NoReturn:
        """Refused: a pool's workers are made by onecopy, not by a context's ``Process``."""
        raise NotImplementedError(
            "onecopy makes its workers by itself and calls no Process of a context or subclass; "
            "give Pool(method=...) or Pool(initializer=...) instead"
        )

    def __repr__(self) -> str:
        state = "closed" if self._engine.closed else "open"
        held = busy.words(self._engine.held())
        return (
            f"<onecopy.Pool of {self.workers} workers by {self.method}, {state}"
            f"{'; ' if held else ''}{held}>"
        )
