"""The pool, one body over every start method: calls, maps, blocks."""

from __future__ import annotations

import functools
import operator
import threading
import time
from collections.abc import Iterator
from concurrent.futures import as_completed, wait
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.conftest import MakePool
from tests.pooled import add, double, fail_on_odd

pytestmark = pytest.mark.door


def nested_sum(data: dict[str, Any]) -> float:
    return float(sum(array.sum() for array in data["arrays"]))


class TestCalls:
    def test_apply(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert pool.apply(add, (1,)) == 1
        assert pool.apply(add, (1, 2), {"c": 3}) == 6
        assert [pool.apply(double, (i,)) for i in range(50)] == [2 * i for i in range(50)]

    def test_submit_gives_futures(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        futures = [pool.submit(add, i, c=1) for i in range(200)]
        assert {future.result() for future in as_completed(futures)} == set(range(1, 201))
        called: list[int] = []
        future = pool.submit(double, 4)
        future.add_done_callback(lambda f: called.append(f.result()))
        wait([future])
        pool.close()
        pool.join()
        assert called == [8]

    def test_lambdas_closures_and_partials(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        k = 3
        assert pool.apply(lambda x: x + k, (1,)) == 4
        assert pool.submit(functools.partial(add, 1, c=2), 3).result() == 6
        assert pool.map(lambda x: x * k, range(5)) == [0, 3, 6, 9, 12]

        class Local:
            def __init__(self, value: int) -> None:
                self.value = value

            def plus(self, other: int) -> Local:
                return Local(self.value + other)

        got = pool.apply(Local(1).plus, (2,))
        assert type(got) is Local
        assert got.value == 3

    def test_a_closure_is_not_served_from_yesterday(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        box, n = [1], 1

        def value() -> tuple[int, int]:
            return box[0], n

        for n in range(5):
            box[0] = n
            assert pool.apply(value) == (n, n)

    def test_builtin_and_numpy_functions(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        data = np.arange(10.0)
        assert pool.apply(len, ([1, 2],)) == 2
        assert pool.apply(np.sqrt, (4.0,)) == 2
        assert pool.apply(np.sum, (data,)) == 45
        assert pool.apply(operator.add, (1, 2)) == 3
        assert pool.apply(str.upper, ("a",)) == "A"

    def test_large_plain_arguments_and_results(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        for size in (10, 10_000, 1_000_000):
            data = np.arange(float(size))
            result = pool.apply(np.negative, (data,))
            np.testing.assert_array_equal(result, -data)
            assert result.flags.writeable
            result[0] = 1
        text = "é" * 300_000
        assert pool.apply(str.upper, (text,)) == text.upper()
        big = list(range(200_000))
        assert pool.apply(sorted, (big,), {"reverse": True}) == big[::-1]

    def test_from_many_threads(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        wrong: list[Any] = []

        def use(number: int) -> None:
            for i in range(40):
                if pool.apply(add, (number, i)) != number + i:
                    wrong.append((number, i))
                if pool.submit(add, number, i).result() != number + i:
                    wrong.append((number, i))

        threads = [threading.Thread(target=use, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_a_waiting_future_can_be_cancelled(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method, workers=1)
        first = pool.submit(time.sleep, 0.3)
        futures = [pool.submit(double, i) for i in range(5)]
        assert futures[3].cancel()
        assert [f.result() for f in futures if not f.cancelled()] == [0, 2, 4, 8]
        first.result()


class TestMaps:
    def test_map(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert pool.map(double, range(1000)) == [2 * i for i in range(1000)]
        assert pool.map(double, iter([1, 2, 3])) == [2, 4, 6]
        assert pool.map(double, []) == []
        assert pool.map(double, (i for i in range(7)), chunksize=3) == [2 * i for i in range(7)]
        assert pool.map(double, {1: 2, 3: 4}) == [2, 6]
        items: Any = np.arange(5)  # whose elements are no int to a type checker
        assert pool.map(double, items) == [0, 2, 4, 6, 8]

    def test_chunksize_is_honoured(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        pool.map(double, range(10))
        before = pool.stats().tasks
        pool.map(double, range(100), chunksize=7)
        assert pool.stats().tasks - before == 15

    def test_a_million_tiny_items_take_few_tasks(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert sum(pool.map(double, range(1_000_000))) == 999_999_000_000
        assert pool.stats().tasks < 2000

    def test_eight_slow_items_go_one_by_one(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        pool.map(time.sleep, [0.05] * 8)
        assert pool.stats().tasks == 8

    def test_starmap(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        pairs = [(i, i + 1) for i in range(30)]
        assert pool.starmap(add, pairs) == [2 * i + 1 for i in range(30)]
        assert pool.starmap(add, iter(pairs), chunksize=4) == [2 * i + 1 for i in range(30)]

    def test_imap_in_order_and_out_of_it(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert list(pool.imap(double, range(500))) == [2 * i for i in range(500)]
        assert sorted(pool.imap_unordered(double, range(500))) == [2 * i for i in range(500)]
        assert list(pool.imap(double, iter(()))) == []

    def test_endless_input_is_consumed_a_bounded_distance_ahead(
        self, make_pool: MakePool, method: str
    ) -> None:
        pool = make_pool(method)
        taken = 0

        def numbers() -> Iterator[int]:
            nonlocal taken
            while True:
                taken += 1
                yield taken

        for stream in (pool.imap(double, numbers()), pool.imap_unordered(double, numbers())):
            taken = 0
            for fetched, _ in zip(range(1, 301), stream, strict=False):
                assert taken <= fetched + 64 * 2 + 1

    def test_a_failing_item_of_imap_fails_alone(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        stream = pool.imap(fail_on_odd, range(20), chunksize=6)
        got: list[Any] = []
        while len(got) < 20:
            try:
                got.append(next(stream))
            except ValueError as error:
                got.append(str(error))
        assert got == [f"odd: {i}" if i % 2 else i for i in range(20)]
        with pytest.raises(StopIteration):
            next(stream)

    def test_imap_can_be_fetched_after_close_and_join(
        self, make_pool: MakePool, method: str
    ) -> None:
        pool = make_pool(method)
        stream = pool.imap(double, iter(range(1000)))
        pool.close()
        pool.join()
        assert list(stream) == [2 * i for i in range(1000)]

    def test_an_iterable_that_raises(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)

        def broken() -> Iterator[int]:
            yield 1
            raise KeyError("here")

        with pytest.raises(KeyError, match="here"):
            pool.map(double, broken())
        with pytest.raises(KeyError, match="here"):
            list(pool.imap(double, broken()))
        assert pool.map(double, [1]) == [2]

    def test_a_function_that_raises_stop_iteration(self, make_pool: MakePool, method: str) -> None:
        def stop(x: int) -> int:
            if x == 3:
                raise StopIteration
            return x

        pool = make_pool(method)
        with pytest.raises(RuntimeError, match="StopIteration"):
            pool.map(stop, range(6))

    def test_every_item_is_run_even_when_some_fail(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        out = oc.zeros(100, "i8")

        def mark(i: int) -> None:
            out[i] += 1
            if i % 10 == 3:
                raise ValueError(str(i))

        with pytest.raises(ValueError, match=r"^3"):
            pool.map(mark, range(100))
        assert (out == 1).all()

    def test_large_captured_data_stands_in_memory_once(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        data = np.arange(500_000.0)

        def look(i: int) -> float:
            value = float(data[i])
            data[i] = -1  # private to the worker
            return value

        before = pool.stats()
        assert pool.map(look, range(1000), chunksize=10) == list(range(1000))
        after = pool.stats()
        assert after.bytes_sent - before.bytes_sent < 100_000
        assert after.bytes_copied == before.bytes_copied
        assert data[0] == 0


class TestBlocks:
    @pytest.mark.parametrize("shared", [True, False])
    def test_reductions(self, make_pool: MakePool, method: str, shared: bool) -> None:
        pool = make_pool(method)
        plain = np.random.default_rng(1).normal(size=(1003, 17))
        data = oc.share(plain) if shared else plain
        for axis in (0, 1):
            kw: dict[str, Any] = {"axis": axis, "block": 7}
            assert np.isclose(pool.map_blocks(np.sum, data, reduce="sum", **kw), plain.sum())
            assert pool.map_blocks(np.min, data, reduce="min", **kw) == plain.min()
            assert pool.map_blocks(np.max, data, reduce="max", **kw) == plain.max()
            assert pool.map_blocks(np.max, data, reduce=max, **kw) == plain.max()
            got = pool.map_blocks(np.negative, data, reduce="concat", **kw)
            np.testing.assert_array_equal(got, -plain)
        parts = pool.map_blocks(len, data, block=100)
        assert parts == [100] * 10 + [3]

    def test_field_of_records_moves_no_bytes(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        records = np.zeros(200_000, [("index", "i8"), ("val", "f8")])
        records["val"] = 1
        shared = oc.share(records)
        pool.map_blocks(np.nansum, shared["val"], reduce="sum")
        assert pool.map_blocks(np.nansum, shared["val"], reduce="sum") == 200_000
        assert pool.stats().bytes_copied == 0

    def test_several_arrays_are_cut_together(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        a, b = np.arange(100.0), np.arange(100.0) * 2
        assert pool.map_blocks(np.dot, a, b, block=9, reduce="sum") == a @ b

    def test_sequences_and_frames(self, make_pool: MakePool, method: str) -> None:
        pd = pytest.importorskip("pandas")
        pool = make_pool(method)
        assert pool.map_blocks(sorted, [3, 1, 2, 0], block=2, reduce="concat") == [1, 3, 0, 2]
        frame = pd.DataFrame({"x": range(100)}, index=range(100, 200))
        got = pool.map_blocks(lambda part: part * 2, frame, block=30, reduce="concat")
        pd.testing.assert_frame_equal(got, frame * 2)

    def test_nothing_to_cut(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        assert pool.map_blocks(np.sum, np.zeros(0), reduce="sum") == 0
        assert pool.map_blocks(np.sum, np.zeros(0)) == []

    def test_clear_errors_at_the_call(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        with pytest.raises(ValueError, match=r"unequal lengths.*\[3, 4\]"):
            pool.map_blocks(np.dot, np.zeros(3), np.zeros(4))
        with pytest.raises(ValueError, match="no axis 2"):
            pool.map_blocks(np.sum, np.zeros((3, 3)), axis=2)
        with pytest.raises(ValueError, match="at least 1 row"):
            pool.map_blocks(np.sum, np.zeros(3), block=0)
        with pytest.raises(ValueError, match="unknown reduce 'median'"):
            pool.map_blocks(np.sum, np.zeros(3), reduce="median")  # type: ignore[call-overload]  # refused
        with pytest.raises(TypeError, match="argument 0 is a dict"):
            pool.map_blocks(len, {"a": 1})
        with pytest.raises(TypeError, match="argument 0 is an int"):
            pool.map_blocks(np.sum, 3)

    def test_progress_in_plain_lines(
        self, make_pool: MakePool, method: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pool = make_pool(method)
        pool.map_blocks(np.sum, np.zeros(100), block=10, progress=True)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "10 of 10 blocks" in captured.err
