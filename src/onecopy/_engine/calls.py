"""The calls of a pool: one, many, blocks; the same for a pool and for a view of one.

Single calls create their work here, calls of many items in ``many``. The start and end of a pool
are in ``onecopy.pool``; ``imap`` is in ``streams``, ``await`` in ``aio``.

Type checkers see at least what typeshed declares for ``multiprocessing.pool.Pool``: a call's result
has the function's return type, and an item of a wrong type is an error. ``tests/typing`` checks
this. Below the calls everything is ``Any``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import (
    TYPE_CHECKING,
    Any,
    NoReturn,
    ParamSpec,
    TypeVar,
)

from .._codec.blame import cut_ours, without_ours
from .._progress.asked import Bar
from .._system.interrupts import raised_by_handler
from .block_calls import BlockCalls
from .engine import UNSENDABLE, Engine
from .many import Many
from .many_calls import ManyCalls
from .refused_arguments import arguments, check_callable
from .results import AsyncResult
from .rules import KEPT, Rules, added, byte_count
from .streams import Stream

if TYPE_CHECKING:
    import numpy as np

P = ParamSpec("P")
R = TypeVar("R")  # a function's return type
T = TypeVar("T")  # the type of an item
D = TypeVar("D")  # the type of the data that is cut into blocks
Array = TypeVar("Array", bound="np.ndarray[Any, Any]")


class PoolView(ManyCalls, BlockCalls):
    """A pool's calls: the same workers, and the rules given to ``Pool.options``. A ``Pool`` is the
    view without rules.
    """

    __module__ = "onecopy.pool"

    def __init__(
        self,
        engine: Engine,
        rules: Rules | None,
        streams: weakref.WeakSet[Stream[Any]],
        progress: bool | str | Bar = False,
        pool: PoolView | None = None,
    ) -> None:
        super().__init__(engine, Many(engine, rules, progress), streams)
        self._progress = progress
        self._diary = engine.history.diary
        self._rules = rules
        self._viewed = pool  # a pool without references is terminated

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError(UNSENDABLE)

    def __repr__(self) -> str:
        return f"<onecopy.PoolView: {self._rules.said() if self._rules else 'no rules'}>"

    def options(
        self,
        *,
        timeout: float | None = KEPT,
        retries: int = KEPT,
        retry_on: type[BaseException] | Iterable[type[BaseException]] = KEPT,
        memory_limit: int | str | None = KEPT,
        name: str | None = KEPT,
    ) -> PoolView:
        """Return a view of the pool whose calls follow these rules; it creates no workers.

        Args:
            timeout: seconds for each task, counted from when it is sent to a worker.
                After that the task ends with ``TaskTimeout``; its worker is killed and replaced.
            retries: how often a task is run again if its worker dies or it raises one of
                ``retry_on``. The failed attempt may have done part of its work.
            retry_on: exception classes. ``TaskTimeout`` and ``WorkerOutOfMemory`` are retried only
                if they are among them.
            memory_limit: private memory at which a task's worker is killed, in bytes or as
                ``"2GB"``; the task ends with ``WorkerOutOfMemory``. Shared data does not count,
                nor do pages that a forked worker shares with its parent. Checked about 50 times a
                second.
            name: the tasks' name in errors.

        In ``map`` and similar calls each item is a task with these rules, unless ``chunksize`` is
        given: then each chunk is. A worker is sent tasks with a timeout or a memory limit one at a
        time, so each tiny one costs a round trip. A view of a view has the rules of both; None
        removes a rule.

        Raises:
            ValueError, TypeError: an option is invalid; or ``timeout`` or ``memory_limit`` with
                worker threads, which cannot be killed.

        Example:
            >>> import onecopy as oc
            >>> with oc.Pool(2) as pool:
            ...     pool.options(timeout=60, retries=2).map(abs, [-1, -2])
            [1, 2]
        """
        # Anything that is neither a class nor an iterable is refused below as a single kind.
        kinds: Any = retry_on
        if not isinstance(retry_on, type) and isinstance(retry_on, Iterable):
            kinds = tuple(retry_on)
        elif retry_on is not KEPT:
            kinds = (retry_on,)
        limit: Any = memory_limit
        if limit is not None and limit is not KEPT:
            limit = byte_count(limit)
        rules = added(
            self._rules,
            timeout=timeout,
            retries=retries,
            retry_on=kinds,
            memory_limit=limit,
            name=name,
        )
        rules.check(self._engine.options.method)
        return PoolView(self._engine, rules, self._streams, self._progress, self)

    # Single calls.

    def submit(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call ``func(*args, **kwargs)`` in a worker; return its future at once.

        A function or argument that cannot be pickled raises NotPicklable here. Large plain
        arguments are copied when the task is sent, not before: do not change them until it has
        started.

        Raises:
            TypeError: ``func`` is not callable.
            NotPicklable: names what cannot be pickled.
            PoolClosed: the pool takes no more work.
        """
        check_callable(func)
        try:
            return self._engine.submission.submit(func, args, kwargs, self._rules)
        except BaseException as error:
            cut_ours(error)
            raise

    def apply(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> R:
        """Call ``func(*args, **kwds)`` in a worker and wait for its result.

        An exception of the function is raised with the worker's traceback as its cause.
        """
        check_callable(func)
        given = arguments("apply", args, kwds)
        try:
            result: R = self._engine.submission.apply(func, *given, self._rules)
            return result
        except BaseException as error:
            cut_ours(error)
            raise

    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]:
        """Call ``func(*args, **kwds)`` in a worker; return at once.

        Args:
            callback: called with the result, before ``get`` returns it. It runs in a thread of
                the pool, so it should return soon.
            error_callback: called with the error, in the same way.

        If something cannot be pickled, the result holds the error; this call does not raise it. The
        callback is then called before this returns.
        """
        check_callable(func)
        given = arguments("apply_async", args, kwds)
        result = AsyncResult(callback, error_callback, self)
        try:
            self._engine.submission.submit(func, *given, self._rules, result.end_as)
        except Exception as error:
            self._engine.core.check_open()
            without_ours(error)
            if raised_by_handler(error):
                raise
            result.end(None, error)
        except BaseException as error:
            cut_ours(error)
            raise
        return result

    async def run(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """``await pool.run(func, *args)``: call it in a worker without blocking the loop.

        Cancelling the awaiting task cancels the work: a worker that is running it is killed and
        replaced. (A worker thread finishes, and its result is discarded.) Large plain arguments are
        copied in the calling thread; shared ones are not.
        """
        from . import aio

        result: R = await aio.outcome(self._engine, self.submit(func, *args, **kwargs))
        return result

    def cancel(self, future: Future[Any]) -> bool:
        """Cancel a task of this pool, even if it is running: its worker is then killed and
        replaced, and no other task is lost. The future is cancelled at once.

        A worker thread cannot be killed: it finishes, and its result is discarded.

        Returns:
            True if the future is cancelled, False if the task was done already.

        Raises:
            ValueError: the future belongs to another pool.
        """
        return self._engine.submission.cancel(future)
