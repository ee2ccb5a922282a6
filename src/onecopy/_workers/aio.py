"""A pool in an event loop: ``await pool.run(...)`` and ``async for ... in pool.stream(...)``.

Nothing here blocks the loop. Outcomes arrive in a thread of the pool, which only has the
loop look (``call_soon_threadsafe``); all else happens in the loop's own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from concurrent.futures import Future
from typing import Any

from .engine import Engine
from .jobs import StreamJob
from .streams import WINDOW


async def outcome(engine: Engine, future: Future[Any]) -> Any:
    """Waits for a task; cancels it when the waiting task is cancelled."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        engine.cancel(future)
        raise


async def stream(
    engine: Engine, job: StreamJob, items: Iterable[Any] | AsyncIterable[Any]
) -> AsyncIterator[Any]:
    """The results of ``job``, whose items are fed in as there is room for them."""
    loop = asyncio.get_running_loop()
    arrived, room = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(arrived.set)

    job.tell = tell
    engine.open(job, 0)
    feeder = loop.create_task(_feed(engine, job, items, room))
    try:
        while True:
            arrived.clear()
            if not job.has_next():
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
        async for item in _each(items):
            while taken - job.yielded >= window:
                room.clear()
                await room.wait()
            job.items.put(item)
            # Raises when the pool was closed meanwhile: this item is not run any more.
            engine.grow_if_open(job.number, taken + 1)
            taken += 1
    finally:
        job.finish_at(taken)


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
