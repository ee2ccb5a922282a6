"""``Pool`` against the documentation of ``multiprocessing.pool``, one statement a test.

The calls; what becomes of errors, and the pool's life, is in ``test_pool_dropin_ends``.
"""

from __future__ import annotations

import itertools
import multiprocessing
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests.arrays import Array
from tests.conftest import MakePool
from tests.scripts import until

pytestmark = pytest.mark.door

STATE: list[int] = []
TIMEOUT = 30.0


def square(x: int = 2) -> int:
    return x * x


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


def wait_for(gate: Array, value: int = 0) -> int:
    until(lambda: bool(gate[0]))
    return value


def remember(*values: int) -> None:
    STATE.extend(values)


def remembered(_: int = 0) -> tuple[int, list[int]]:
    return os.getpid(), list(STATE)


def numbers(end: int, fails_at: int) -> Iterator[int]:
    for i in range(end):
        if i == fails_at:
            raise LookupError(f"at {i}")
        yield i


def pid_of_me(_: int) -> int:
    return os.getpid()


@dataclass
class Model:
    """A dataclass that is compared has no hash."""

    factor: int

    def __call__(self, x: int) -> int:
        return self.factor * x


class TestConstructor:
    """Pool([processes[, initializer[, initargs[, maxtasksperchild[, context]]]]])"""

    def test_all_by_position(self) -> None:
        context = multiprocessing.get_context("fork")
        with oc.Pool(2, remember, (5, 6), 3, context) as pool:
            assert (pool.workers, pool.method) == (2, "fork")
            found = pool.map(remembered, range(12), 1)
        assert all(state == [5, 6] for _, state in found), "initializer(*initargs) in each"
        pids = [pid for pid, _ in found]
        assert max(pids.count(pid) for pid in pids) <= 3, "maxtasksperchild"

    @pytest.mark.parametrize("name", ["fork", "forkserver", "spawn"])
    def test_all_by_keyword(self, name: str) -> None:
        context = multiprocessing.get_context(name)
        with oc.Pool(
            processes=1, initializer=remember, initargs=[7], maxtasksperchild=2, context=context
        ) as pool:
            assert (pool.workers, pool.method) == (1, name)
            assert [state for _, state in pool.map(remembered, range(2))] == [[7], [7]]

    def test_processes_none_is_the_number_of_cpus(self) -> None:
        with oc.Pool(None, method="thread") as pool:
            assert pool.workers == oc.cpu_count()

    def test_chunks_are_those_of_multiprocessing_where_workers_are_replaced(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, 2, maxtasksperchild=1)
        assert len(set(pool.imap(pid_of_me, range(8)))) == 8
        assert len(set(pool.imap_unordered(pid_of_me, range(8)))) == 8
        assert len(set(pool.map(pid_of_me, range(8)))) == 8
        pids = pool.map(pid_of_me, range(20))
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3] * 6 + [2]

    def test_maxtasksperchild_none_is_for_ever(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1, maxtasksperchild=None)
        assert len({pid for pid, _ in pool.map(remembered, range(30), 1)}) == 1

    def test_a_closed_pool_whose_workers_have_a_share(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 3, maxtasksperchild=1)
        results = [pool.apply_async(square, (i,)) for i in range(6)]
        pool.close()
        pool.join()
        assert [result.get(0) for result in results] == [i * i for i in range(6)]

    @pytest.mark.parametrize("processes", [0, -1])
    def test_no_processes(self, processes: int) -> None:
        with pytest.raises(ValueError, match="at least 1 worker"):
            oc.Pool(processes)

    @pytest.mark.parametrize("share", [0, -1, 0.5, 1.5, "12"])
    def test_a_share_of_nothing(self, share: Any) -> None:
        with pytest.raises(ValueError, match="maxtasksperchild is at least 1"):
            oc.Pool(3, maxtasksperchild=share)

    @pytest.mark.parametrize(
        "given", [{"processes": 2.5}, {"processes": "2"}, {"initializer": 3}, {"context": "fork"}]
    )
    def test_of_the_wrong_kind(self, given: dict[str, Any]) -> None:
        with pytest.raises(TypeError):
            oc.Pool(**given)

    @pytest.mark.parametrize(
        "given",
        [
            {"workers": 1, "processes": 1},
            {"method": "fork", "context": multiprocessing.get_context("fork")},
        ],
    )
    def test_the_same_said_twice(self, given: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match="give one of them"):
            oc.Pool(**given)


class TestOneCall:
    def test_apply(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert pool.apply(square, (5,)) == 25
        assert pool.apply(square, (), {"x": 3}) == 9
        assert pool.apply(square) == 4
        assert pool.apply(square, args=[3], kwds={}) == 9

    def test_apply_async(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        results = [pool.apply_async(square, (i,)) for i in range(20)]
        assert [result.get() for result in results] == [i * i for i in range(20)]
        result = pool.apply_async(func=square, args=(), kwds={"x": 3})
        assert isinstance(result, oc.AsyncResult)
        assert result.get(timeout=TIMEOUT) == 9
        assert result.get() == 9, "as often as one likes"

    def test_callback(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        called: list[Any] = []
        result = pool.apply_async(square, (3,), {}, called.append, called.append)
        assert result.get(TIMEOUT) == 9
        assert called == [9], "with the result before get() returns"

    def test_error_callback(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        good: list[Any] = []
        bad: list[BaseException] = []
        result = pool.apply_async(odd_fails, (3,), callback=good.append, error_callback=bad.append)
        with pytest.raises(ValueError, match="odd: 3") as caught:
            result.get(TIMEOUT)
        assert bad == [caught.value], "called with the exception instance"
        assert not good

    def test_without_an_error_callback(self, make_pool: MakePool, engine: str) -> None:
        called: list[Any] = []
        result = make_pool(engine).apply_async(odd_fails, (3,), callback=called.append)
        result.wait(TIMEOUT)
        assert not result.successful()
        assert not called

    def test_ready_only_when_the_callback_has_returned(
        self, make_pool: MakePool, engine: str
    ) -> None:
        ready: list[bool] = []
        told = threading.Event()
        gate = oc.zeros(1, "i8")

        def look(_: int) -> None:
            told.wait(TIMEOUT)  # until ``result`` is there to be asked
            ready.append(result.ready())

        result = make_pool(engine).apply_async(wait_for, (gate,), callback=look)
        gate[0] = 1
        told.set()
        result.wait()
        assert ready == [False]
        assert result.ready()

    def test_callbacks_are_called_in_a_thread_of_the_pool(
        self, make_pool: MakePool, engine: str
    ) -> None:
        pool = make_pool(engine)
        callers: set[int] = set()

        def note(_: object) -> None:
            callers.add(threading.get_ident())

        results: list[oc.AsyncResult[Any]] = [
            pool.apply_async(square, (i,), callback=note) for i in range(500)
        ]
        results += [pool.map_async(square, [i], callback=note) for i in range(200)]
        for result in results:
            result.wait(TIMEOUT)
        assert callers
        assert threading.get_ident() not in callers, "who calls may hold what they wait for"

    @pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
    def test_a_callback_that_raises_harms_nobody(
        self, make_pool: MakePool, engine: str, kind: type, caplog: pytest.LogCaptureFixture
    ) -> None:
        pool = make_pool(engine, 1)

        def fail(_: object) -> None:
            raise kind("from the callback")

        assert pool.apply_async(square, (3,), callback=fail).get(TIMEOUT) == 9
        with pytest.raises(ValueError, match="odd: 1"):
            pool.apply_async(odd_fails, (1,), error_callback=fail).get(TIMEOUT)
        assert pool.map_async(square, [1, 2], callback=fail).get(TIMEOUT) == [1, 4]
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
        assert len(caplog.records) == 3, "each is logged"


class TestAsyncResult:
    def test_before_it_is_ready(self, make_pool: MakePool, engine: str) -> None:
        gate = oc.zeros(1, "i8")
        result = make_pool(engine).apply_async(wait_for, (gate, 5))
        assert not result.ready()
        with pytest.raises(ValueError, match="has not ended"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0.01)
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0)
        result.wait(0.01)
        assert not result.ready(), "wait() returns when the time has passed"
        gate[0] = 1
        result.wait()
        assert result.ready()
        assert result.successful()
        assert result.get(0) == 5

    def test_of_a_failure(self, make_pool: MakePool, engine: str) -> None:
        result = make_pool(engine).apply_async(odd_fails, (1,))
        result.wait(TIMEOUT)
        assert result.ready()
        assert not result.successful()
        for _ in range(2):
            with pytest.raises(ValueError, match="odd: 1"):
                result.get()

    def test_keeps_its_pool(self, engine: Method) -> None:
        assert oc.Pool(2, method=engine).apply_async(square, (3,)).get(TIMEOUT) == 9
        assert oc.Pool(2, method=engine).map_async(square, [3]).get(TIMEOUT) == [9]


class TestMaps:
    def test_a_callable_object_without_a_hash(self, make_pool: MakePool, method: str) -> None:
        pool, model = make_pool(method, 2), Model(3)
        with pytest.raises(TypeError, match="unhashable"):
            hash(model)
        for _ in range(2):
            assert pool.map(model, [1, 2]) == [3, 6]
            assert pool.starmap(model, [(1,), (2,)]) == [3, 6]
            assert pool.map_async(model, [1, 2]).get() == [3, 6]
            assert list(pool.imap(model, [1, 2])) == [3, 6]
            assert pool.apply(model, (2,)) == pool.submit(model, 2).result() == 6
        assert pool.apply(abs, (-1,)) == 1

    def test_map(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        expected = [i * i for i in range(100)]
        for chunk in (None, 1, 20, 1000):
            assert pool.map(square, range(100), chunk) == expected
            assert pool.map_async(square, iter(range(100)), chunk).get(TIMEOUT) == expected

    @pytest.mark.parametrize("chunk", [None, 20])
    def test_starmap(self, make_pool: MakePool, engine: str, chunk: int | None) -> None:
        pool = make_pool(engine)
        pairs = list(zip(range(100), range(99, -1, -1), strict=True))
        expected = [a * b for a, b in pairs]
        assert pool.starmap(operator.mul, pairs, chunk) == expected
        assert pool.starmap(operator.mul, iter(pairs), chunksize=chunk) == expected
        assert pool.starmap(operator.mul, [[1, 2], (3, 4)]) == [2, 12]
        assert pool.starmap_async(operator.mul, pairs, chunk).get(TIMEOUT) == expected

    def test_callbacks(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        called: list[Any] = []
        for start in (pool.map_async, pool.starmap_async):
            start(int, ["1"], None, called.append, called.append).wait(TIMEOUT)
            start(int, ["a"], callback=called.append, error_callback=called.append).wait(TIMEOUT)
        assert len(called) == 4, "one of the two, once"
        assert called[0] == called[2] == [1]
        assert isinstance(called[1], ValueError)
        assert isinstance(called[3], ValueError)

    def test_async_is_ready_when_all_is_done(self, make_pool: MakePool, engine: str) -> None:
        gate, ran = oc.zeros(1, "i8"), oc.zeros(4, "i8")

        def work(i: int) -> None:
            if i == 3:
                wait_for(gate)
            ran[i] = 1
            if i == 0:
                raise ValueError("the first")

        result = make_pool(engine).map_async(work, range(4), 1)
        until(lambda: list(ran) == [1, 1, 1, 0])
        assert not result.ready(), "not before the last, though one has failed"
        gate[0] = 1
        with pytest.raises(ValueError, match="the first"):
            result.get(TIMEOUT)
        assert (ran == 1).all()

    def test_imap(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        expected = [i * i for i in range(300)]
        for chunk in (None, 1, 100):
            results = pool.imap(square, range(300), chunk)
            assert iter(results) is results
            assert [next(results) for _ in range(300)] == expected
            for _ in range(2):
                with pytest.raises(StopIteration):
                    next(results)
            assert sorted(pool.imap_unordered(square, range(300), chunk)) == expected

    def test_imap_is_lazier(self, make_pool: MakePool, engine: str) -> None:
        taken: list[int] = []

        def watched() -> Iterator[int]:
            for i in range(10_000):
                taken.append(i)
                yield i

        results = make_pool(engine).imap(square, watched())
        assert next(results) == 0
        assert len(taken) <= 130

    def test_next_with_a_timeout(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine)
        gate = oc.zeros(1, "i8")
        for start in (pool.imap, pool.imap_unordered):
            gate[0] = 0
            results: Any = start(lambda i: wait_for(gate, i), range(2))
            with pytest.raises(multiprocessing.TimeoutError):
                results.next(0.01)
            with pytest.raises(multiprocessing.TimeoutError):
                results.next(timeout=0)
            gate[0] = 1
            assert sorted([results.next(TIMEOUT), results.next()]) == [0, 1]
            with pytest.raises(StopIteration):
                results.next(timeout=TIMEOUT)

    def test_an_item_s_own_timeout_error_is_its_own(self, make_pool: MakePool, engine: str) -> None:
        def fail(_: int) -> None:
            raise TimeoutError("of the task")

        results: Any = make_pool(engine).imap(fail, range(2))
        for _ in range(2):
            with pytest.raises(TimeoutError, match="of the task"):
                results.next(TIMEOUT)

    def test_one_worker_keeps_the_order(self, make_pool: MakePool, engine: str) -> None:
        results = make_pool(engine, 1).imap_unordered(square, range(200))
        assert list(results) == [i * i for i in range(200)]

    def test_nothing_to_do(self, make_pool: MakePool, engine: str) -> None:
        pool = make_pool(engine, 1)
        called: list[Any] = []
        assert pool.map(square, []) == []
        assert pool.starmap(square, iter(())) == []
        assert list(pool.imap(square, [])) == []
        assert list(pool.imap_unordered(square, iter(()), 5)) == []
        assert pool.map_async(square, [], chunksize=1, callback=called.append).get(TIMEOUT) == []
        assert called == [[]]

    @pytest.mark.parametrize("fails_at", [0, 3])
    @pytest.mark.parametrize("name", ["map", "map_async", "starmap"])
    def test_an_iterable_that_raises(
        self, make_pool: MakePool, engine: str, name: str, fails_at: int
    ) -> None:
        pool = make_pool(engine, 1)
        with pytest.raises(LookupError, match=f"at {fails_at}") as caught:
            getattr(pool, name)(square, numbers(10, fails_at), 1)
        assert caught.value.__cause__ is None, "it was not remote"
        assert pool.map(square, [1, 2]) == [1, 4]

    @pytest.mark.parametrize("fails_at", [0, 3])
    def test_an_iterable_that_raises_in_imap(
        self, make_pool: MakePool, engine: str, fails_at: int
    ) -> None:
        pool = make_pool(engine, 3)
        starts: list[Callable[..., Iterable[int]]] = [pool.imap, pool.imap_unordered]
        for start, chunk in itertools.product(starts, (None, 1, 2, 4)):
            results = iter(start(square, numbers(10, fails_at), chunk))  # not here
            assert sorted(next(results) for _ in range(fails_at)) == [0, 1, 4][:fails_at]
            with pytest.raises(LookupError, match=f"at {fails_at}"):
                next(results)
            with pytest.raises(StopIteration):
                next(results)
