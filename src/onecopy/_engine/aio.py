"""A pool in an event loop: ``await pool.run(...)`` and ``async for ... in pool.stream(...)``.

Nothing here blocks the loop. Outcomes arrive in a thread of the pool, which only has the
loop look (``call_soon_threadsafe``); all else happens in the loop's own thread.
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
    """Waits for a task; cancels it when the waiting task is cancelled.

    Not ``asyncio.wrap_future``: it would report a pool's end as a cancellation that nobody
    asked for, and it never ends when the task raised StopIteration (before Python 3.12).
    """
    ended = asyncio.Event()
    future.add_done_callback(_teller(ended))
    try:
        await ended.wait()
    except asyncio.CancelledError:
        engine.cancel(future)
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
    """The results of ``job``, whose items are fed in as there is room for them; ``pool`` is
    kept until the end, since one that nobody holds is terminated."""
    arrived, room = asyncio.Event(), asyncio.Event()
    job.tell = _teller(arrived)
    job.called = "stream"
    engine.open(job, 0, grows=True)
    feeder = asyncio.create_task(_feed(engine, job, items, room))
    try:
        job.show()
        while True:
            arrived.clear()
            if not job.has_next():
                room.set()  # there is some where items were skipped
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
            await feeder  # its error was raised above, or the caller has one of his own
        engine.give_up(job)


def _teller(event: asyncio.Event) -> Callable[..., None]:
    """Sets an event of the running loop from whatever thread, whatever it is called with."""
    loop = asyncio.get_running_loop()

    def tell(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(event.set)

    return tell


async def _feed(
    engine: Engine,
    job: StreamJob,
    items: Iterable[Any] | AsyncIterable[Any],
    room: asyncio.Event,
) -> None:
    """Takes items while fewer than the window's are on the way."""
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
                engine.grow(job.number, job.whole(taken))
    finally:
        job.finish_at(taken)
        engine.grow(job.number, taken, last=True)


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
