"""A pool in an event loop: ``await pool.run`` and ``async for ... in pool.stream``."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, cast

import pytest

import onecopy as oc
from onecopy.errors import RemoteTraceback
from onecopy.pool import Method
from tests.arrays import Array
from tests.conftest import MakePool
from tests.pooled import FOR_EVER, double
from tests.scripts import until

pytestmark = pytest.mark.door


def add(a: int, b: int = 0, *, func: int = 0) -> int:
    return a + b + func


def hang(begun: Array) -> None:
    begun[0] = os.getpid()
    time.sleep(FOR_EVER)


def wait_for(gate: Array, value: int = 0) -> int:
    until(lambda: bool(gate[0]))
    return value


def fail_at_3(x: int) -> int:
    if x == 3:
        raise KeyError(x)
    return x


def stop() -> None:
    raise StopIteration


def numbers(end: int, fails: bool = False) -> Iterator[int]:
    yield from range(end)
    if fails:
        raise LookupError("no more numbers")


async def later(end: int, fails: bool = False) -> AsyncIterator[int]:
    for i in range(end):
        await asyncio.sleep(0)
        yield i
    if fails:
        raise LookupError("no more numbers")


ITEMS = pytest.mark.parametrize("items", [numbers, later])


async def come_true(condition: Callable[[], bool]) -> None:
    """``until`` for a loop that has other things to do meanwhile."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def into(got: list[Any], stream: AsyncIterator[Any]) -> None:
    async for result in stream:
        got.append(result)  # noqa: PERF401 (what came before an error counts)


async def listed(stream: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in stream]


def run(main: Coroutine[Any, Any, None]) -> None:
    """In a loop that complains of what is never awaited or raises unseen."""
    seen: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        await main

    asyncio.run(watched(), debug=True)
    assert not seen


class TestRun:
    def test_results_and_errors(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)

        async def main() -> None:
            assert await pool.run(double, 4) == 8
            assert await pool.run(add, 1, 2, func=3) == 6
            assert await pool.options(name="a").run(double, 1) == 2
            with pytest.raises(KeyError) as caught:
                await pool.run(fail_at_3, 3)
            if method != "thread":
                assert isinstance(caught.value.__cause__, RemoteTraceback)

        run(main())
        run(main())  # another loop

    def test_many_at_once(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)

        async def main() -> None:
            got = await asyncio.gather(*(pool.run(double, i) for i in range(200)))
            assert got == [2 * i for i in range(200)]

        run(main())

    def test_the_loop_goes_on(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine, 1)
        gate = oc.zeros(1, "i8")

        async def open_it() -> None:
            gate[0] = 1

        async def main() -> None:
            [got, _] = await asyncio.gather(pool.run(wait_for, gate, 5), open_it())
            assert got == 5

        run(main())

    def test_what_cannot_be_sent(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)

        async def main() -> None:
            with pytest.raises(oc.NotPicklable, match="a lock"):
                await pool.run(double, threading.Lock())  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="must be callable"):
                await pool.run(3)  # type: ignore[arg-type]
            assert await pool.run(double, 1) == 2

        run(main())

    def test_a_function_that_raises_stop_iteration(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine, 1)

        async def main() -> None:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await pool.run(stop)

        run(main())

    def test_cancelling_ends_the_worker(self, make_pool: MakePool, process_method: str) -> None:
        pool = make_pool(process_method, 1)
        begun = oc.zeros(1, "i8")

        async def main() -> None:
            task = asyncio.create_task(pool.run(hang, begun))
            waiting = asyncio.create_task(pool.run(double, 1))
            other = asyncio.create_task(pool.run(double, 2))
            await come_true(lambda: bool(begun[0]))
            waiting.cancel()
            task.cancel()
            for cancelled in (task, waiting):
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            assert await other == 4
            assert int(begun[0]) not in pool.pids()

        run(main())

    def test_cancelling_a_thread_s_lets_it_go_on(self, make_pool: MakePool) -> None:
        pool = make_pool("thread", 1)
        gate, begun = oc.zeros(1, "i8"), oc.zeros(1, "i8")

        def begin() -> None:
            begun[0] = 1
            wait_for(gate)

        async def main() -> None:
            task = asyncio.create_task(pool.run(begin))
            await come_true(lambda: bool(begun[0]))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate[0] = 1
            assert await pool.run(double, 1) == 2

        run(main())

    def test_the_pool_s_end_is_no_cancellation(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        begun = oc.zeros(1, "i8")

        async def main() -> None:
            tasks = [
                asyncio.create_task(pool.run(hang, begun)),
                asyncio.create_task(pool.run(double, 1)),
            ]
            await come_true(lambda: bool(begun[0]))
            pool.terminate()
            for task in tasks:
                with pytest.raises(oc.PoolClosed):
                    await task
            with pytest.raises(oc.PoolClosed):
                await pool.run(double, 1)

        run(main())


class TestStream:
    @ITEMS
    def test_ordered_and_unordered(self, make_pool: MakePool, method: str, items: Any) -> None:
        pool = make_pool(method)
        expected = [2 * i for i in range(300)]

        async def main() -> None:
            assert await listed(pool.stream(double, items(300))) == expected
            assert await listed(pool.stream(double, items(300), chunksize=7)) == expected
            assert sorted(await listed(pool.stream(double, items(300), ordered=False))) == expected
            assert await listed(pool.stream(double, items(0))) == []
            assert await listed(pool.stream(double, [1, 2])) == [2, 4]

        run(main())

    def test_unordered_is_as_they_come(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        gate = oc.zeros(1, "i8")

        def wait_at_0(i: int) -> int:
            return i if i else wait_for(gate)

        async def main() -> None:
            got = []
            async for value in pool.stream(wait_at_0, range(4), ordered=False, chunksize=1):
                got.append(value)
                if len(got) == 3:
                    gate[0] = 1
            assert got[3] == 0, "the first comes last"
            assert sorted(got) == [0, 1, 2, 3]

        run(main())

    @pytest.mark.parametrize("chunk", [None, 2, 4])
    def test_an_item_s_error_in_its_place(
        self, make_pool: MakePool, engine: str, chunk: int | None
    ) -> None:
        pool = make_pool(engine)

        async def main() -> None:
            got: list[int] = []
            stream = pool.stream(fail_at_3, range(10), chunksize=chunk)
            with pytest.raises(KeyError):
                await into(got, stream)
            assert got == [0, 1, 2]
            assert await listed(stream) == [], "it has ended"
            assert await pool.run(double, 1) == 2

        run(main())

    @ITEMS
    @pytest.mark.parametrize("ordered", [True, False])
    def test_the_items_own_error_comes_behind_the_results(
        self, make_pool: MakePool, engine: str, items: Any, ordered: bool
    ) -> None:
        pool = make_pool(engine)

        async def main() -> None:
            got: list[int] = []
            with pytest.raises(LookupError, match="no more numbers"):
                await into(got, pool.stream(double, items(5, fails=True), ordered=ordered))
            assert sorted(got) == [0, 2, 4, 6, 8]

        run(main())

    def test_bad_arguments(self, make_pool: MakePool) -> None:
        pool = make_pool("thread", 1)
        with pytest.raises(TypeError, match="must be callable"):
            pool.stream(3, [1])  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="at least 1 item"):
            pool.stream(double, [1], chunksize=0)

        async def main() -> None:
            with pytest.raises(TypeError, match="not iterable"):
                await listed(pool.stream(double, 5))  # type: ignore[call-overload]

        run(main())

    @pytest.mark.parametrize("chunk", [None, 1, 100])
    @pytest.mark.parametrize("kind", ["plain", "asynchronous"])
    def test_endless_input_is_consumed_a_bounded_distance_ahead(
        self, make_pool: MakePool, engine: str, chunk: int | None, kind: str
    ) -> None:
        pool = make_pool(engine)
        taken = 0

        def endless() -> Iterator[int]:
            nonlocal taken
            while True:
                taken += 1
                yield taken

        async def endless_later() -> AsyncIterator[int]:
            for i in endless():
                yield i

        async def main() -> None:
            fetched = 0
            items = endless() if kind == "plain" else endless_later()
            stream = cast(AsyncGenerator[int, None], pool.stream(double, items, chunksize=chunk))
            async for value in stream:
                fetched += 1
                assert value == 2 * fetched
                assert taken <= fetched + 2 * max(64, 2 * (chunk or 1)) + 1
                if fetched == 1000:
                    break
            await stream.aclose()

        run(main())

    @pytest.mark.parametrize("how", ["cancel", "close"])
    def test_ends_the_workers_that_run_its_items(self, make_pool: MakePool, how: str) -> None:
        pool = make_pool("fork")
        begun = oc.zeros(1, "i8")
        counts = oc.zeros(50, "i8")

        def hang_at_5(i: int) -> int:
            counts[i] += 1
            if i == 5:
                hang(begun)
            return i

        async def main() -> None:
            stream = cast(AsyncGenerator[int, None], pool.stream(hang_at_5, range(50)))
            if how == "cancel":
                task = asyncio.create_task(listed(stream))
                await come_true(lambda: bool(begun[0]))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                assert await anext(stream) == 0
                await come_true(lambda: bool(begun[0]))
                await stream.aclose()
            await come_true(lambda: int(begun[0]) not in pool.pids())
            assert await listed(pool.stream(double, range(20))) == [2 * i for i in range(20)]
            assert counts.max() == 1, "no item is run again"
            assert not pool._engine.core.work, "nothing of it is left"

        run(main())

    def test_the_pool_s_end(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        begun = oc.zeros(1, "i8")

        def hang_at_2(i: int) -> int:
            if i == 2:
                hang(begun)
            return i

        async def main() -> None:
            got: list[int] = []
            stream = pool.stream(hang_at_2, numbers(10**9), chunksize=1)
            task = asyncio.create_task(into(got, stream))
            await come_true(lambda: bool(begun[0]) and len(got) == 2)
            pool.terminate()
            with pytest.raises(oc.PoolClosed):
                await task
            assert got == [0, 1]
            with pytest.raises(oc.PoolClosed):
                await listed(pool.stream(double, [1]))

        run(main())

    @ITEMS
    def test_a_closed_pool_finishes_it(self, make_pool: MakePool, engine: str, items: Any) -> None:
        pool = make_pool(engine)

        async def main() -> None:
            got = []
            async for value in pool.stream(double, items(1000)):
                got.append(value)
                pool.close()
            assert got == [2 * i for i in range(1000)]

        run(main())
        pool.join()

    def test_many_at_once(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)

        async def main() -> None:
            streams = [pool.stream(double, later(100), ordered=bool(i % 2)) for i in range(20)]
            for got in await asyncio.gather(*(listed(stream) for stream in streams)):
                assert sorted(got) == [2 * i for i in range(100)]

        run(main())

    def test_with_rules(self, make_pool: MakePool) -> None:
        pool = make_pool("fork")
        tries = oc.zeros(6, "i8")

        def exit_at_odd(i: int) -> int:
            tries[i] += 1
            if i % 2 and tries[i] == 1:
                os._exit(3)
            return i

        async def main() -> None:
            view = pool.options(retries=1, timeout=60)
            assert await listed(view.stream(exit_at_odd, range(6))) == list(range(6))

        run(main())
        assert list(tries) == [1, 2] * 3

    def test_keeps_its_pool(self, engine: Method) -> None:
        async def main() -> None:
            stream = oc.Pool(2, method=engine).stream(double, range(500))
            assert await listed(stream) == [2 * i for i in range(500)]

        run(main())
