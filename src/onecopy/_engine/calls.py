"""The calls of a pool: one, many, blocks; the same for a pool and for a view of it.

Those of one call make their work here, those of many items in ``many``. How a pool begins
and ends is in ``onecopy.pool``; what is behind ``imap`` in ``streams``, behind ``await`` in
``aio``.

Their types tell a checker no less than typeshed tells of ``multiprocessing.pool.Pool``: what a
function returns is what its call gives, and an item that it does not take is an error. They
are held by ``tests/typing``. Below the calls everything is ``Any``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import (
    TYPE_CHECKING,
    Any,
    ParamSpec,
    TypeVar,
)

from .._codec.blame import ours_cut, without_ours
from .._progress.asked import Bar
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
R = TypeVar("R")  # what a function returns
T = TypeVar("T")  # an item
D = TypeVar("D")  # what is cut into blocks
Array = TypeVar("Array", bound="np.ndarray[Any, Any]")


class PoolView(ManyCalls, BlockCalls):
    """A pool as its calls see it: the same workers, and calls that carry the rules given to
    ``Pool.options``. A ``Pool`` is the one whose calls carry none.
    """

    __module__ = "onecopy.pool"

    def __init__(
        self,
        engine: Any,
        rules: Rules | None,
        streams: weakref.WeakSet[Stream[Any]],
        progress: bool | str | Bar = False,
        pool: PoolView | None = None,
    ) -> None:
        super().__init__(engine, Many(engine, rules, progress), streams)
        self._progress = progress
        self._engine: Engine = engine  # given by ``Pool`` alone: no part of the public types
        self._rules = rules
        self._viewed = pool  # nobody else may hold it, and a pool that nobody holds ends

    def __reduce__(self) -> Any:
        raise NotImplementedError(UNSENDABLE)

    def __repr__(self) -> str:
        return f"<onecopy.PoolView, {self._rules}>"

    def options(
        self,
        *,
        timeout: float | None = KEPT,
        retries: int = KEPT,
        retry_on: type[BaseException] | Iterable[type[BaseException]] = KEPT,
        memory_limit: int | str | None = KEPT,
        name: str | None = KEPT,
    ) -> PoolView:
        """A view of the pool whose calls carry these rules; it makes no workers.

        Args:
            timeout: seconds for each task, from when it was sent to a worker. Then it ends
                with ``TaskTimeout``, and its worker is ended and replaced.
            retries: how often a task is run again when its worker died, or when it raised
                one of ``retry_on``. It may have done part of its work before.
            retry_on: exception classes; ``TaskTimeout`` and ``WorkerOutOfMemory`` can be
                among them, and are not retried otherwise.
            memory_limit: memory of its own at which a task's worker is ended, as bytes or as
                ``"2GB"``; the task ends with ``WorkerOutOfMemory``. Shared data does not
                count, nor does what a forked worker has in common with its parent. Looked at
                some 50 times a second.
            name: what errors call the tasks.

        In ``map`` and its kin the rules hold for each item by itself, each being a task,
        unless ``chunksize`` is given: then for each chunk. A task with a timeout or a
        memory limit is the only one that its worker is sent, so tiny ones cost a round
        trip each. A view of a view has the rules of both; None takes one back.

        Raises:
            ValueError, TypeError: an option makes no sense; ``timeout`` or
                ``memory_limit`` with worker threads, which cannot be ended.

        Example:
            >>> import onecopy as oc
            >>> with oc.Pool(2) as pool:
            ...     pool.options(timeout=60, retries=2).map(abs, [-1, -2])
            [1, 2]
        """
        # What is neither a class nor an iterable is one kind, and refused as that.
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

    # One call.

    def submit(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Calls ``func(*args, **kwargs)`` in a worker; returns its future at once.

        A function or argument that cannot be pickled raises NotPicklable here. Large
        plain arguments are copied when the task is sent, not before: until then they
        should not be changed.

        Raises:
            TypeError: ``func`` is not callable.
            NotPicklable: names what cannot travel.
            PoolClosed: the pool takes no more work.
        """
        check_callable(func)
        with ours_cut:
            return self._engine.submit(func, args, kwargs, self._rules)

    def apply(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> R:
        """Calls ``func(*args, **kwds)`` in a worker and waits for its result.

        An exception of the function is raised with the worker's traceback as its cause.
        """
        check_callable(func)
        with ours_cut:
            result: R = self._engine.apply(func, *arguments("apply", args, kwds), self._rules)
            return result

    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]:
        """Calls ``func(*args, **kwds)`` in a worker; returns at once.

        Args:
            callback: called with the result, before ``get`` returns it; in a thread of the
                pool, so it should return soon.
            error_callback: called with the error, likewise.

        What cannot be pickled is an error of the result, not of this call; the callback is
        called by it, here.
        """
        check_callable(func)
        given = arguments("apply_async", args, kwds)
        result = AsyncResult(callback, error_callback, self)
        try:
            self._engine.submit(func, *given, self._rules, result.end_as)
        except Exception as error:
            self._engine.check_open()
            without_ours(error)
            result.end(None, error)
        return result

    async def run(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """``await pool.run(func, *args)``: calls it in a worker without blocking the loop.

        Cancelling the awaiting task cancels the work: a worker that is at it already is
        ended and replaced. (A worker thread goes on, and its result is thrown away.)
        Large plain arguments are copied in the calling thread; shared ones are not.
        """
        from . import aio

        result: R = await aio.outcome(self._engine, self.submit(func, *args, **kwargs))
        return result

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a task of this pool, also one that is running: its worker is ended then
        and replaced, and no other task is lost. The future is cancelled at once.

        A worker thread cannot be ended: it goes on, and its result is thrown away.

        Returns:
            True when the future is cancelled, False when the task was done already.

        Raises:
            ValueError: the future is of another pool.
        """
        return self._engine.cancel(future)
