"""The calls of a pool."""

import multiprocessing
import multiprocessing.pool
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any, Literal, assert_type

import numpy as np

import onecopy as oc
from onecopy.pool import Method, Pool, PoolStats, PoolView


def half(number: int) -> float:
    return number / 2


def joined(words: list[str], *, by: str = " ") -> str:
    return by.join(words)


def both(one: int, other: str) -> tuple[int, str]:
    return one, other


def told(text: str) -> None: ...


def told_all(numbers: list[float]) -> None: ...


def late(result: oc.AsyncResult[complex]) -> None: ...


def failed(error: BaseException) -> None: ...


def one_call(pool: oc.Pool) -> None:
    assert_type(pool.submit(half, 4), Future[float])
    assert_type(pool.submit(joined, ["a"], by="-"), Future[str])
    assert_type(pool.submit(joined, ["a"]).result(), str)
    pool.submit(half, "no")  # error: arg-type | reportArgumentType
    pool.submit(half)  # error: call-arg | reportCallIssue
    pool.submit(half, 1, 2)  # error: call-arg | reportCallIssue
    pool.submit(joined, ["a"], by=1)  # error: arg-type | reportArgumentType
    pool.submit(joined, ["a"], off=1)  # error: call-arg | reportCallIssue
    pool.submit("half")  # error: arg-type | reportArgumentType,reportCallIssue

    assert_type(pool.apply(half, (4,)), float)
    assert_type(pool.apply(joined, (["a"],), {"by": "-"}), str)
    pool.apply(half, 4)  # error: arg-type | reportArgumentType

    assert_type(pool.apply_async(half, (4,)), oc.AsyncResult[float])
    assert_type(pool.apply_async(half, (4,)).get(10), float)
    assert_type(pool.apply_async(joined, callback=told), oc.AsyncResult[str])
    pool.apply_async(half, callback=told)  # error: misc | reportArgumentType
    pool.apply_async(half, error_callback=failed)
    pool.apply_async(half, error_callback=told)  # error: arg-type | reportArgumentType

    result = pool.apply_async(half, (4,))
    late(result)
    late(pool.apply_async(told))  # error: arg-type | reportArgumentType
    assert_type(pool.cancel(pool.submit(half, 1)), bool)


def many_items(pool: oc.Pool) -> None:
    assert_type(pool.map(half, [1, 2]), list[float])
    assert_type(pool.map(half, range(3), 10, progress=True), list[float])
    assert_type(pool.map(str, {1, 2}), list[str])
    pool.map(half, ["a"])  # error: arg-type | reportArgumentType
    pool.map(half, 3)  # error: call-overload | reportArgumentType
    pool.map(both, [1])  # error: arg-type | reportArgumentType
    assert_type(pool.map(both, [1], ["a"]), list[tuple[int, str]])
    assert_type(pool.map(both, [1], iter("ab"), chunksize=2), list[tuple[int, str]])
    assert_type(pool.map(max, [1], [2], [3], progress="largest"), list[Any])
    pool.map(both, ["a"], [1])  # error: arg-type | reportArgumentType,reportCallIssue
    pool.map(half, [1], [2])  # error: arg-type | reportArgumentType,reportCallIssue
    pool.map(half, [1], chunk_size=2)  # error: call-overload | reportCallIssue
    assert_type(pool.map(half, [1], timeout=2, progress=oc.Bar("half")), list[float])
    assert_type(pool.map(half, [1], errors="skip"), list[float])
    assert_type(pool.map(half, [1], errors="return"), list[float | oc.Failed])
    assert_type(pool.map(both, [1], ["a"], errors="return"), list[tuple[int, str] | oc.Failed])
    pool.map(half, [1], errors="keep")  # error: call-overload | reportArgumentType,reportCallIssue

    assert_type(pool.starmap(both, [(1, "a"), (2, "b")]), list[tuple[int, str]])
    pool.starmap(both, [1, 2])  # error: list-item | reportArgumentType

    assert_type(pool.map_async(half, [1]), oc.AsyncResult[list[float]])
    assert_type(pool.map_async(half, [1], callback=told_all).get(), list[float])
    pool.map_async(half, [1], callback=told)  # error: arg-type | reportArgumentType
    pool.map_async(half, ["a"])  # error: arg-type | reportArgumentType
    assert_type(pool.starmap_async(both, [(1, "a")]).get(), list[tuple[int, str]])

    results = pool.imap(half, [1, 2])
    assert_type(next(results), float)
    assert_type(results.next(timeout=3), float)
    assert_type(list(pool.imap_unordered(half, iter([1]))), list[float])
    assert_type(next(pool.imap(half, [1], errors="return")), float | oc.Failed)
    assert_type(list(pool.imap_unordered(both, [1], ["a"])), list[tuple[int, str]])
    pool.imap(half, ["a"])  # error: arg-type | reportArgumentType
    pool.imap_unordered(half, ["a"])  # error: arg-type | reportArgumentType


async def in_a_loop(pool: oc.Pool, numbers: AsyncIterator[int], words: AsyncIterator[str]) -> None:
    assert_type(await pool.run(half, 4), float)
    assert_type(await pool.run(joined, ["a"], by="-"), str)
    await pool.run(half, "no")  # error: arg-type | reportArgumentType
    async for result in pool.stream(half, numbers, ordered=False):
        assert_type(result, float)
    async for result in pool.stream(half, [1, 2]):
        assert_type(result, float)
    pool.stream(half, words)  # error: arg-type | reportArgumentType
    await pool.stream(half, [1]).aclose()


def total(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(values.sum())


def doubled(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return values * 2


def weighted(
    values: np.ndarray[Any, np.dtype[np.float64]], weights: np.ndarray[Any, np.dtype[np.float64]]
) -> float:
    return float(values @ weights)


def larger(one: float, other: float) -> float:
    return max(one, other)


def blocks(pool: oc.Pool, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    assert_type(pool.map_blocks(total, values), list[float])
    assert_type(pool.map_blocks(total, values, block=10, reduce=None), list[float])
    assert_type(pool.map_blocks(total, values, reduce="sum"), float)
    assert_type(pool.map_blocks(total, values, reduce=larger), float)
    assert_type(pool.map_blocks(total, values, reduce="max"), Any)
    assert_type(
        pool.map_blocks(doubled, values, reduce="concat"),
        np.ndarray[tuple[int], np.dtype[np.float64]],
    )
    assert_type(pool.map_blocks(len, [1, 2], reduce=larger), float)
    assert_type(pool.map_blocks(weighted, values, values), list[float])
    assert_type(pool.map_blocks(weighted, values, values, reduce="sum"), float)
    assert_type(pool.map_blocks(total, values, reduce="mean"), Any)
    assert_type(pool.map_blocks(doubled, values, reduce="count"), int)
    assert_type(pool.map_blocks(total, values, reduce="first"), float)
    assert_type(pool.map_blocks(total, values, errors="return"), list[float | oc.Failed])
    assert_type(pool.map_blocks(total, values, reduce="sum", errors="skip", timeout=3), float)
    pool.map_blocks(total, values, reduce="median")  # error: call-overload | reportArgumentType,reportCallIssue
    pool.map_blocks(total, [1, 2], block=1)  # error: arg-type | reportArgumentType,reportCallIssue
    pool.map_blocks(total, values, reduce=told)  # error: arg-type | reportArgumentType,reportCallIssue


def groups(pool: oc.Pool, frame: Any) -> None:
    assert_type(pool.map_groups(total, frame, by="city"), dict[Any, float])
    assert_type(pool.map_groups(len, {"a": 1}, by=["city", "shop"], progress="groups"), dict[Any, int])
    assert_type(pool.map_groups(total, frame, by="x", errors="return"), dict[Any, float | oc.Failed])
    pool.map_groups(total, frame)  # error: call-overload | reportCallIssue


def any_function(pool: oc.Pool, function: Callable[..., int], data: Any) -> None:
    assert_type(pool.map(function, data), list[int])
    assert_type(pool.submit(function, data, data=data), Future[int])
    assert_type(pool.map_blocks(function, data), list[int])
    assert_type(pool.map_blocks(function, data, data, reduce="sum"), int)


def views(pool: oc.Pool) -> None:
    view = pool.options(timeout=3, retries=2, retry_on=(OSError, oc.WorkerDied), name="half")
    assert_type(view, PoolView)
    assert_type(view.map(half, [1]), list[float])
    assert_type(view.options(retries=1).submit(half, 1), Future[float])
    view.map(half, ["a"])  # error: arg-type | reportArgumentType
    pool.options(retry_on="OSError")  # error: arg-type | reportArgumentType
    pool.options(tries=3)  # error: call-arg | reportCallIssue


class OwnPool(oc.Pool): ...


def takes_any(pool: multiprocessing.pool.Pool) -> list[float]:
    return pool.map(half, [1])


def its_life(method: Method, word: str, context: Any) -> None:
    with oc.Pool(2, method=method, prints="prefixed", state="import", main="value") as pool:
        assert_type(pool, Pool)
        assert_type(pool.stats(), PoolStats)
        assert_type(pool.pids(), list[int])
        assert_type(pool.method, Literal["auto", "fork", "forkserver", "spawn", "thread"])
    oc.Pool(context=multiprocessing.get_context("spawn"), processes=3)
    oc.Pool(context=context)
    takes_any(oc.Pool())
    with OwnPool(2) as own:
        assert_type(own, OwnPool)
    oc.Pool(2, half, (1,))
    oc.Pool("two")  # error: arg-type | reportArgumentType
    oc.Pool(method="frok")  # error: arg-type | reportArgumentType
    oc.Pool(method=word)  # error: arg-type | reportArgumentType
    oc.Pool(prints="loud")  # error: arg-type | reportArgumentType
    oc.Pool(main="both")  # error: arg-type | reportArgumentType
    oc.Pool(n_jobs=2)  # error: arg-type | reportArgumentType
    oc.Pool(nonsense=2)  # error: arg-type | reportArgumentType
