"""``Pool`` against ``multiprocessing.pool``: errors that are sent, what is released, and how a
pool ends."""

from __future__ import annotations

import gc
import multiprocessing.pool
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy.errors import RemoteTraceback
from onecopy.pool import Method
from tests.arrays import Array
from tests.conftest import MakePool
from tests.pooled import FOR_EVER
from tests.scripts import until

pytestmark = pytest.mark.door

TIMEOUT = 30.0


def square(x: int) -> int:
    return x * x


def identity(x: Any) -> Any:
    return x


def fail(x: int = 0) -> int:
    raise RuntimeError(123)  # some comment


def unpicklable(x: int = 0) -> Any:
    return threading.Lock() if x % 2 == 0 else x


def fail_large(x: int) -> int:
    raise ValueError("x" * (1 << 20))


class OwnError(Exception):
    """One that can be referred to weakly."""


def fail_own(x: int = 0) -> int:
    raise OwnError(x)


class Counted:
    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __setstate__(self, _: object) -> None:
        Counted.alive += 1

    def __getstate__(self) -> tuple[int]:
        return (1,)

    def __del__(self) -> None:
        Counted.alive -= 1


def freed(references: Sequence[weakref.ref[Any]], what: str = "") -> None:
    """Block until nothing holds what these refer to."""
    until(lambda: not any(one() is not None for one in references), f"freed: {what}")


Call = Callable[[oc.Pool, Callable[[int], Any]], Any]
CALLS: dict[str, Call] = {
    "apply": lambda pool, f: pool.apply(f, (0,)),
    "submit": lambda pool, f: pool.submit(f, 0).result(),
    "apply_async": lambda pool, f: pool.apply_async(f, (0,)).get(TIMEOUT),
    "map": lambda pool, f: pool.map(f, range(4)),
    "starmap": lambda pool, f: pool.starmap(f, [(0,), (1,)]),
    "map_async": lambda pool, f: pool.map_async(f, range(4), 2).get(TIMEOUT),
    "imap": lambda pool, f: list(pool.imap(f, range(4), 2)),
    "imap_unordered": lambda pool, f: list(pool.imap_unordered(f, [0])),
}


class TestErrors:
    def test_an_exception_with_the_worker_s_traceback_as_cause(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        for call in CALLS.values():
            with pytest.raises(RuntimeError) as caught:
                call(pool, fail)
            assert type(caught.value) is RuntimeError
            assert caught.value.args == (123,)
            cause = caught.value.__cause__
            assert isinstance(cause, RemoteTraceback)
            assert "raise RuntimeError(123)  # some comment" in str(cause)

    def test_of_a_thread_is_not_wrapped(self, make_pool: MakePool) -> None:
        pool = make_pool("thread", 1)
        for call in CALLS.values():
            with pytest.raises(RuntimeError) as caught:
                call(pool, fail)
            assert caught.value.__cause__ is None

    def test_a_result_that_cannot_be_pickled(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, 1)
        for start in CALLS.values():
            with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:  # type: ignore[attr-defined]  # no stub
                start(pool, unpicklable)
            error = caught.value
            assert isinstance(error, oc.ResultNotPicklable)
            assert "lock" in error.exc
            assert "lock" in error.value
            again = pickle.loads(pickle.dumps(error))
            assert (again.exc, again.value, str(again)) == (error.exc, error.value, str(error))

    def test_such_results_cost_no_workers(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 2)
        assert pool.map(square, range(8), 1)
        until(lambda: len(pool.pids()) == 2)
        before = sorted(pool.pids())
        for _ in range(20):
            told: list[BaseException] = []
            result = pool.apply_async(unpicklable, error_callback=told.append)
            with pytest.raises(oc.ResultNotPicklable):
                result.get(TIMEOUT)
            assert isinstance(told[0], oc.ResultNotPicklable)
        assert sorted(pool.pids()) == before

    @pytest.mark.parametrize("chunk", [1, 5])
    def test_only_the_result_that_cannot_be_pickled_fails(
        self, make_pool: MakePool, chunk: int
    ) -> None:
        results = make_pool("fork").imap(unpicklable, range(10), chunk)
        for i in range(10):
            if i % 2:
                assert next(results) == i
            else:
                with pytest.raises(oc.ResultNotPicklable):
                    next(results)

    @pytest.mark.parametrize("chunk", [None, 1, 5])
    def test_only_the_item_that_cannot_be_pickled_fails(
        self, make_pool: MakePool, chunk: int | None
    ) -> None:
        pool = make_pool("fork")
        lock = threading.Lock()
        items = [lock if i in (2, 3, 9) else i for i in range(10)]
        results = pool.imap(identity, items, chunk)
        for i in range(10):
            if items[i] is lock:
                with pytest.raises(oc.NotPicklable):
                    next(results)
            else:
                assert next(results) == i
        with pytest.raises(StopIteration):
            next(results)
        with pytest.raises(pickle.PicklingError):
            pool.map(identity, items, chunk)

    def test_an_item_whose_pickling_raises(self, make_pool: MakePool) -> None:
        class Refuses:
            def __reduce__(self) -> Any:
                raise RuntimeError("cannot pickle")

        pool = make_pool("fork", 1)
        with pytest.raises(RuntimeError, match="cannot pickle") as caught:
            pool.map(identity, [Refuses()] * 10)
        assert caught.value.__notes__ == ["onecopy: raised while item 0 (a Refuses) was pickled"]
        assert pool.map(square, [2]) == [4]

    def test_arguments_of_apply_async_that_cannot_be_pickled(self, make_pool: MakePool) -> None:
        told: list[BaseException] = []
        lock = threading.Lock()
        result = make_pool("fork", 1).apply_async(identity, (lock,), error_callback=told.append)
        with pytest.raises(oc.NotPicklable):
            result.get(TIMEOUT)
        assert isinstance(told[0], oc.NotPicklable)

    def test_a_map_that_fails_runs_to_its_end(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        with pytest.raises(ValueError, match="xxx"):
            pool.map(fail_large, [0, 1])
        pool.close()
        pool.join()

    @pytest.mark.parametrize("view", [False, True])
    def test_pools_refuse_pickling(self, make_pool: MakePool, engine: str, view: bool) -> None:
        pool = make_pool(engine, 1)
        with pytest.raises(NotImplementedError, match="cannot be pickled"):
            pickle.dumps(pool.options() if view else pool)


class TestLettingGo:
    def test_arguments_and_results(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        calls: tuple[Callable[[list[Counted]], object], ...] = (
            lambda objects: pool.map(identity, objects),
            lambda objects: pool.map_async(identity, objects, 2).get(TIMEOUT),
            lambda objects: [pool.apply(identity, (one,)) for one in objects],
            lambda objects: [pool.apply_async(identity, (one,)).get() for one in objects],
            lambda objects: [pool.submit(identity, one).result() for one in objects],
            lambda objects: list(pool.imap(identity, iter(objects))),
        )
        for call in calls:
            objects = [Counted() for _ in range(10)]
            references = [weakref.ref(one) for one in objects]
            call(objects)
            del objects
            # A thread of the pool may be about to release the last.
            freed(references)
            until(lambda: Counted.alive == 0, "and what came back")

    def test_an_error_and_what_it_holds(self, make_pool: MakePool, engine: str) -> None:
        """Without the collector: errors hold frames, which hold what the caller had."""
        pool = make_pool(engine, 1)

        def provoke(call: Call) -> list[weakref.ref[Any]]:
            held = np.zeros(3)
            references: list[weakref.ref[Any]] = [weakref.ref(held)]
            try:
                call(pool, fail_own)
            except OwnError as error:
                references.append(weakref.ref(error))
            return references

        gc.collect()
        gc.disable()
        try:
            for name, call in CALLS.items():
                references = provoke(call)
                assert len(references) == 2
                freed(references, name)
        finally:
            gc.enable()

    def test_a_stream_that_nobody_reads_on(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)

        def endless() -> Iterator[int]:
            i = 0
            while True:
                yield (i := i + 1)

        stream = pool.imap(square, endless())
        assert next(stream) == 1
        del stream
        pool.close()
        pool.join()

    def test_a_stream_that_goes_while_the_pool_is_joined(
        self, make_pool: MakePool, engine: str
    ) -> None:
        pool = make_pool(engine, 1)
        streams = [pool.imap(square, iter(range(1000)))]
        reference = weakref.ref(streams[0])
        pool._streams.clear()  # join does not run this one to its end
        pool.close()
        joined = threading.Thread(target=pool.join)
        joined.start()
        streams.clear()
        joined.join(TIMEOUT)
        assert not joined.is_alive()
        assert reference() is None


class TestEnds:
    def test_close_takes_no_more(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine, 1)
        result = pool.apply_async(square, (3,))
        pool.close()
        calls: list[Callable[[], object]] = [
            lambda: pool.apply(square, (1,)),
            lambda: pool.apply_async(square, (1,)),
            lambda: pool.apply_async(identity, (threading.Lock(),)),
            lambda: pool.map(square, [1]),
            lambda: pool.map(square, []),
            lambda: pool.map_async(square, [1]),
            lambda: pool.map_async(square, []),
            lambda: pool.starmap(square, [(1,)]),
            lambda: pool.starmap_async(square, []),
            lambda: pool.imap(square, [1]),
            lambda: pool.imap_unordered(square, []),
            lambda: pool.__enter__(),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="closed"):
                call()
        pool.close()
        pool.join()
        assert result.get(0) == 9, "what was there is finished"
        assert pool.pids() == []

    def test_a_stream_goes_on_in_a_closed_pool(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        for start in (pool.imap, pool.imap_unordered):
            assert sorted(start(square, iter(range(3)))) == [0, 1, 4]
        stream = pool.imap(square, iter(range(1000)))
        pool.close()
        assert list(stream) == [i * i for i in range(1000)]
        pool.join()

    def test_a_stream_whose_workers_had_nothing_to_do_when_it_closed(
        self, make_pool: MakePool, engine: str
    ) -> None:
        pool = make_pool(engine)
        stream = pool.imap(square, iter(range(1000)))
        until(lambda: pool.stats().tasks == 2, "what was handed out at first is done")
        pool.close()
        pool.join()
        assert list(stream) == [i * i for i in range(1000)]

    def test_an_iterable_that_raises_while_the_pool_is_joined(
        self, make_pool: MakePool, engine: str
    ) -> None:
        def numbers() -> Iterator[int]:
            yield from range(100)
            raise LookupError("no more")

        pool = make_pool(engine)
        stream = pool.imap(square, numbers())
        pool.close()
        pool.join()
        assert [next(stream) for _ in range(100)] == [i * i for i in range(100)]
        with pytest.raises(LookupError, match="no more"):
            next(stream)

    def test_terminate_stops_without_finishing(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        begun = oc.zeros(100, "i8")

        def hang(i: int) -> None:
            begun[i] = 1
            time.sleep(FOR_EVER)

        told: list[BaseException] = []
        result = pool.map_async(hang, range(100), 1, error_callback=told.append)
        stream: Any = pool.imap(hang, range(100))
        until(lambda: begun.sum() >= 2)
        pool.terminate()
        pool.join()
        assert begun.sum() == 2
        with pytest.raises(oc.PoolClosed):
            result.get(TIMEOUT)
        assert isinstance(told[0], oc.PoolClosed)
        with pytest.raises(oc.PoolClosed):
            stream.next(TIMEOUT)

    def test_a_pool_that_is_collected_is_terminated(self) -> None:
        pool = oc.Pool(1, method="fork")
        future = pool.submit(time.sleep, FOR_EVER)
        until(lambda: bool(future.running()))
        engine = pool._engine
        del pool
        assert engine.join(TIMEOUT)
        assert future.done()

    def test_join_needs_close_or_terminate(self, make_pool: MakePool, engine: str) -> None:
        for end in ("close", "terminate"):
            pool = make_pool(engine, 1)
            with pytest.raises(ValueError, match="still running"):
                pool.join()
            getattr(pool, end)()
            pool.join()
            pool.join()

    def test_as_a_context(self, method: Method) -> None:
        pool = oc.Pool(2, method=method)
        with pool as entered:
            assert entered is pool
            result = pool.map_async(square, range(10))
            assert result.get(TIMEOUT) == [i * i for i in range(10)]
        pool.join()
        with pytest.raises(ValueError, match="closed"):
            pool.map_async(square, range(10))
        with pytest.raises(ValueError, match="closed"), pool:
            pass

    def test_nested_data(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        array: Array = np.arange(100_000.0)
        data = {"a": [1, (2, {"b": array})], "c": {3: {4, 5}}, "d": None, "e": oc.share(array)}
        for got in (pool.apply(identity, (data,)), pool.map(identity, [data, data])[1]):
            np.testing.assert_array_equal(got["a"][1][1]["b"], array)
            np.testing.assert_array_equal(got["e"], array)
            assert got["a"][0] == 1
            assert got["c"] == {3: {4, 5}}
            assert got["d"] is None
            assert oc.is_shared(got["e"])
            del got


def test_a_forked_child_does_not_wait_for_results(make_pool: MakePool) -> None:
    """They are the parent's, and will never come to it."""
    pool = make_pool("forkserver", 1)
    results: list[oc.AsyncResult[Any]] = [
        pool.apply_async(time.sleep, (600,)),
        pool.map_async(time.sleep, [600]),
    ]
    pid = os.fork()
    if not pid:
        told = 0
        try:
            for result in results:
                try:
                    result.get()
                except oc.PoolClosed:
                    told += 1
        finally:
            os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert not results[0].ready()
