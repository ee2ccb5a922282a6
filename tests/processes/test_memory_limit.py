"""``pool.options(memory_limit=...)``: what counts as a worker's own, in every kind of call."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import numpy as np
import pytest

import onecopy as oc
from tests.arrays import Array
from tests.calls import CALLS, Call
from tests.conftest import MakePool
from tests.pooled import FOR_EVER, double

pytestmark = pytest.mark.beside

DATA: list[Array] = []


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return CALLS[request.param]


def total(data: Array) -> float:
    return float(data.sum())


def grow(megabytes: int) -> None:
    held = np.ones(megabytes * 125_000)
    time.sleep(FOR_EVER)
    held[0] = 0


@pytest.mark.parametrize("how", ["share", "load"])
def test_shared_data_does_not_count(
    make_pool: MakePool, process_method: str, how: str, tmp_path: Path
) -> None:
    data = np.ones(25_000_000)  # 200 MB
    if how == "share":
        shared = oc.share(data)
    else:
        np.save(tmp_path / "data.npy", data)
        shared = oc.load(tmp_path / "data.npy")
    del data
    view = make_pool(process_method, 1).options(memory_limit=100_000_000)
    assert [view.apply(total, (shared,)) for _ in range(3)] == [25e6] * 3


def test_what_a_fork_has_in_common_with_its_parent_does_not(make_pool: MakePool) -> None:
    data = np.ones(25_000_000)

    def inherited(_: int) -> float:
        return float(DATA[0].sum())

    DATA.append(data)
    try:
        view = make_pool("fork", 1).options(memory_limit=100_000_000)
        assert view.map(inherited, range(3)) == [25e6] * 3
        DATA.clear()  # nor what worker and zygote have in common, and this process no longer has
        del data
        assert view.map(inherited, range(3)) == [25e6] * 3
    finally:
        DATA.clear()


def test_what_it_has_written_of_that_does(make_pool: MakePool) -> None:
    def write(_: int) -> None:
        DATA[0][:20_000_000] = 2
        time.sleep(FOR_EVER)

    DATA.append(np.ones(25_000_000))
    try:
        view = make_pool("fork", 1).options(memory_limit=100_000_000)
        with pytest.raises(oc.WorkerOutOfMemory) as caught:
            view.apply(write, (0,))
    finally:
        DATA.clear()
    assert caught.value.memory is not None
    assert 100_000_000 <= caught.value.memory < 190_000_000


def test_what_a_task_allocates_does(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    limit = 100_000_000
    growing = pool.options(memory_limit=limit, name="grower").submit(grow, 300)
    others = pool.map(double, range(50))
    assert others == [2 * i for i in range(50)]
    with pytest.raises(MemoryError, match=r"'grower' .* beyond its memory_limit of 100 MB") as c:
        growing.result()
    error = c.value
    assert isinstance(error, oc.WorkerOutOfMemory)
    assert isinstance(error, oc.WorkerDied)
    assert error.limit == limit
    assert error.memory is not None
    assert limit <= error.memory < 400_000_000
    assert error.pid not in pool.pids()
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))
    assert pool.apply(double, (1,)) == 2


def test_in_every_call(make_pool: MakePool, call: Call) -> None:
    def grow_at_1(i: int) -> int:
        if i == 1:
            grow(200)
        return i

    view = make_pool("fork").options(memory_limit=150_000_000)
    assert list(call(view, double, range(4))) == [0, 2, 4, 6]
    with pytest.raises(oc.WorkerOutOfMemory):
        list(call(view, grow_at_1, range(4)))
