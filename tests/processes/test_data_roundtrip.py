"""Any array through real workers: as argument, as result, shared; and what moves then.

The same without a process is in `tests/unit/test_arrays.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings

import onecopy as oc
from tests.arrays import Array, Facts, arrays, arrived, assert_same, facts
from tests.conftest import MakePool
from tests.hosts import CLUSTER

pytestmark = [pytest.mark.door, pytest.mark.memory, pytest.mark.beside]

# Frames carry names, types and strides besides the elements.
OVERHEAD = 8192
LARGE = 1 << 18


def examine(array: Any) -> Facts:
    return facts(array)


def echo(value: Any) -> Any:
    return value


def overwrite(array: Array) -> float:
    array[...] = -1
    return float(array.sum())


def shared_or_not(array: Any) -> tuple[bool, bool]:
    return oc.is_shared(array), array.flags.writeable


def alias(arrays: tuple[Array, Array, Array]) -> tuple[float, float, bool]:
    whole, row, column = arrays
    whole[2, 1] = -5
    return float(row[0, 1]), float(column[2]), np.shares_memory(row, column)


def centred(window: Array) -> float:
    window -= window[0]
    return float(window.sum())


def cleared(window: Any) -> float:
    found = float(window.sum())
    window.iloc[:] = 0.0
    return found


def three_views(size: int) -> tuple[Array, Array, Array, Array]:
    whole = np.arange(float(size)).reshape(-1, 10)
    return whole, whole[2:5], whole[:, 1], whole


def part_of(array: Array, start: int, step: int) -> Array:
    return array[start::step]


def share_a_copy(array: Array) -> Array:
    return oc.share(array)


def new_zeros(count: int) -> Array:
    return oc.zeros(count)


def test_any_array_through_workers(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)

    @settings(max_examples=50)
    @given(arrays())
    def check(array: Any) -> None:
        sent = facts(array)
        assert_same(pool.apply(examine, (array,)), arrived(array), strides=True)
        assert_same(facts(pool.apply(echo, (array,))), arrived(array), strides=True)
        shared = oc.share(array)
        there = sent._replace(writable=False, strides=shared.strides)
        before = pool.stats()
        assert_same(pool.apply(examine, (shared,)), there, strides=True)
        back = pool.apply(echo, (shared,))
        after = pool.stats()
        assert_same(facts(back), there, strides=True)
        assert after.bytes_copied == before.bytes_copied
        if process_method != CLUSTER:  # hosts have to get them first
            assert after.bytes_sent - before.bytes_sent < OVERHEAD
        if shared.size:
            assert after.bytes_shared - before.bytes_shared >= 2 * shared.dtype.itemsize
            assert np.shares_memory(back, shared) or oc.is_shared(back)

    check()


def test_any_array_through_threads(make_pool: MakePool) -> None:
    pool = make_pool("thread")

    @settings(max_examples=30)
    @given(arrays())
    def check(array: Any) -> None:
        assert pool.apply(echo, (array,)) is array

    check()


def test_shared_array_costs_the_same_whatever_its_size(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    cost: list[tuple[int, int, int]] = []
    for size in (1 << 10, 1 << 25):
        shared = oc.share(np.ones(size, "u1"))
        # The segment and the function are sent for the first time.
        pool.apply(part_of, (shared, 0, 1))
        before = pool.stats()
        view = pool.apply(part_of, (shared[:, None], size // 2, 3))
        after = pool.stats()
        assert np.shares_memory(view, shared)
        assert view.strides == shared[:, None][::3].strides
        cost.append(
            (
                after.bytes_sent - before.bytes_sent,
                after.bytes_received - before.bytes_received,
                after.bytes_copied - before.bytes_copied,
            )
        )
    small, large = cost
    assert large[0] <= small[0] + 64
    assert large[1] <= small[1] + 64
    assert small[2] == large[2] == 0


def test_plain_arguments_and_results_are_writable_and_the_receivers(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method)
    for size in (10, LARGE):
        array = np.ones(size)
        assert pool.apply(overwrite, (array,)) == -size
        assert array.sum() == size
        result = pool.apply(echo, (array,))
        assert pool.apply(shared_or_not, (array,)) == (False, True)
        result[...] = 5
        again = pool.apply(echo, (array,))
        assert again.sum() == size
        assert result.sum() == 5 * size


def test_shared_arguments_are_read_only(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    shared = oc.share(np.ones(LARGE))
    assert pool.apply(shared_or_not, (shared[5:],)) == (True, False)
    with pytest.raises(ValueError, match="read-only"):
        pool.apply(overwrite, (shared,))
    assert shared.sum() == LARGE


@pytest.mark.parametrize("size", [40, 10 * LARGE])
def test_views_within_a_message_are_apart(
    make_pool: MakePool, process_method: str, size: int
) -> None:
    """As by pickle: a write to one is seen in no other, neither in a worker nor here."""
    pool = make_pool(process_method)
    whole = np.arange(float(size)).reshape(-1, 10)
    before = float(whole[2, 1])
    assert pool.apply(alias, ((whole, whole[2:5], whole[:, 1]),)) == (before, before, False)
    assert whole[2, 1] == 21
    whole, row, column, again = pool.apply(three_views, (size,))
    assert again is whole
    whole[3, 1] = -7
    assert row[1, 1] == column[3] == 31


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("width", [50, 2_000, LARGE])
def test_items_that_are_windows_of_one_array_do_not_see_each_other(
    make_pool: MakePool, process_method: str, width: int, chunk: int | None
) -> None:
    pool = make_pool(process_method, 2)
    series = np.arange(float(2 * width))
    windows = [series[at : at + width] for at in range(0, width, width // 10)]
    expected = [centred(window.copy()) for window in windows]
    assert pool.map(centred, windows, chunksize=chunk) == expected
    assert list(pool.imap(centred, windows, chunksize=chunk or 2)) == expected
    back = pool.apply(np.negative, (series,))  # in memory of the worker's, and sent once more
    windows = [back[at : at + width] for at in range(0, width, width // 10)]
    expected = [centred(window.copy()) for window in windows]
    assert pool.map(centred, windows, chunksize=chunk) == expected
    assert (back == -series).all()


def test_rows_and_columns_of_one_frame_do_not_see_each_other(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 2)
    column = pd.Series(np.arange(4_000.0))
    windows = [column.iloc[at : at + 2_000] for at in range(0, 2_000, 200)]
    expected = [cleared(window.copy()) for window in windows]
    assert pool.map(cleared, windows, chunksize=5) == expected


def test_worker_shares_and_returns(make_pool: MakePool, process_method: str) -> None:
    """A segment that a worker made is known to the owner and then to the other workers."""
    pool = make_pool(process_method)
    array = np.arange(float(LARGE))
    before = pool.stats()
    shared = pool.apply(share_a_copy, (array,))
    after = pool.stats()
    assert after.bytes_received - before.bytes_received < OVERHEAD
    assert oc.is_shared(shared)
    assert not shared.flags.writeable
    assert (shared == array).all()
    assert pool.map(shared_or_not, [shared] * 8, chunksize=1) == [(True, False)] * 8
    assert pool.stats().bytes_copied - after.bytes_copied < OVERHEAD


def test_worker_makes_a_writable_one(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    array = pool.apply(new_zeros, (LARGE,))
    array[3] = 3
    assert pool.map(float, [array[3:4].sum()]) == [3.0]
    assert pool.apply(overwrite, (array,)) == -LARGE
    assert array[3] == -1


FRAMES: dict[str, Any] = {
    "frame": pd.DataFrame(
        {
            "number": np.arange(LARGE),
            "half": np.arange(LARGE) * 0.5,
            "when": pd.date_range("2020", periods=LARGE, freq="s"),
            "word": np.arange(LARGE).astype(str),
            "kind": pd.Categorical(np.arange(LARGE) % 5),
        }
    ),
    "series": pd.Series(np.arange(LARGE), name="n"),
    "csr": scipy.sparse.random(2000, 2000, 0.05, format="csr", rng=1),
}


def same_frame(got: Any, sent: Any) -> bool:
    if scipy.sparse.issparse(sent):
        return type(got) is type(sent) and (got != sent).nnz == 0
    return type(got) is type(sent) and bool(got.equals(sent))


def digest(frame: Any) -> tuple[str, Any]:
    if scipy.sparse.issparse(frame):
        return type(frame).__name__, frame.sum()
    return type(frame).__name__, int(pd.util.hash_pandas_object(frame).sum())


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_other_libraries(make_pool: MakePool, process_method: str, name: str) -> None:
    pool = make_pool(process_method)
    frame = FRAMES[name]
    assert pool.apply(digest, (frame,)) == digest(frame)
    assert same_frame(pool.apply(echo, (frame,)), frame)
    shared = oc.share(frame)
    before = pool.stats()
    assert pool.apply(digest, (shared,)) == digest(frame)
    after = pool.stats()
    assert after.bytes_copied == before.bytes_copied
    assert after.bytes_sent - before.bytes_sent < OVERHEAD
    assert same_frame(pool.apply(echo, (shared,)), frame)
    assert pool.stats().bytes_received - after.bytes_received < OVERHEAD


def test_bytes_and_views_of_them(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    for data in (b"", b"abc" * LARGE, bytearray(b"xyz" * LARGE)):
        back = pool.apply(echo, (data,))
        assert type(back) is type(data)
        assert back == data
    shared = oc.share(b"abc" * LARGE)
    before = pool.stats()
    assert pool.apply(echo, (shared,)) == shared
    after = pool.stats()
    assert after.bytes_copied == before.bytes_copied
    assert after.bytes_received - before.bytes_received < OVERHEAD
