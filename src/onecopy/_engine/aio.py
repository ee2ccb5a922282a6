"""A pool in an event loop: ``await pool.run(...)`` and ``async for ... in pool.stream(...)``.

Nothing here blocks the loop. Outcomes arrive in a thread of the pool, which only schedules a
callback (``call_soon_threadsafe``). Everything else runs in the loop's own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from concurrent.futures import Future
from typing import Any

from .engine import Engine
from .jobs import StreamJob
from .results import error_of
from .streams import WINDOW


async def outcome(engine: Engine, future: Future[Any]) -> Any:
    """Wait for a task; cancel it when the waiting task is cancelled.

    Not ``asyncio.wrap_future``: it reports a pool's end as a cancellation, and before Python 3.12
    it never returns if the task raised StopIteration.
    """
    ended = asyncio.Event()
    future.add_done_callback(_teller(ended))
    try:
        await ended.wait()
    except asyncio.CancelledError:
        engine.submission.cancel(future)
        raise
    error = error_of(future)
    if error is None:
        return future.result()
    try:
        raise error
    finally:
        del error, future  # its traceback holds this frame: no cycle


async def stream(
    engine: Engine, job: StreamJob, items: Iterable[Any] | AsyncIterable[Any], pool: object
) -> AsyncGenerator[Any, None]:
    """Yield the results of ``job``. Items are fed in while there is room for them. ``pool`` is a
    reference, held until the end: a pool without references is terminated."""
    arrived, room = asyncio.Event(), asyncio.Event()
    job.tell = _teller(arrived)
    job.called = "stream"
    engine.submission.open(job, 0, grows=True)
    feeder = asyncio.create_task(_feed(engine, job, items, room))
    try:
        while True:
            arrived.clear()
            if not job.has_next():
                room.set()  # there is room after items were skipped
                await arrived.wait()
                continue
            try:
                value = job.fetch()
            except StopIteration:
                await feeder  # raises what the items' own iterator raised
                return
            finally:
                job.items.forget(job.settled)
                room.set()
            yield value
    finally:
        feeder.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await feeder  # its error was raised above, or the caller has its own
        engine.submission.cancel_job(job)


def _teller(event: asyncio.Event) -> Callable[..., None]:
    """Return a function that sets an event of the running loop; any thread may call it, with any
    arguments."""
    loop = asyncio.get_running_loop()

    def tell(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(event.set)

    return tell


async def _feed(
    engine: Engine,
    job: StreamJob,
    items: Iterable[Any] | AsyncIterable[Any],
    room: asyncio.Event,
) -> None:
    """Feed items in while fewer than the window's number are in progress."""
    window = max(WINDOW, 2 * (job.chunk or 1)) * engine.options.workers
    taken = 0
    try:
        async with contextlib.aclosing(_each(items)) as each:
            async for item in each:
                while taken - job.yielded >= window:
                    room.clear()
                    await room.wait()
                job.items.put(item)
                taken += 1
                engine.submission.grow(job.number, job.whole(taken))
    finally:
        job.finish_at(taken)
        engine.submission.grow(job.number, taken, last=True)


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
