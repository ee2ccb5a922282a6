"""Frames, tables and the user's own classes through real workers: arguments, results, shared.

All kinds of column are in `tests/unit/test_adapters.py`, which knows no process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

import onecopy as oc
from onecopy._codec.adapters import user_types
from tests import frames
from tests.arrays import Array
from tests.conftest import MakePool
from tests.frames import assert_equal

pytestmark = [pytest.mark.door, pytest.mark.memory, pytest.mark.beside]

OVERHEAD = 8192
ROWS = 50_000


def echo(value: Any) -> Any:
    return value


def shared_there(value: Any) -> bool:
    return oc.is_shared(value)


def words(n: int = ROWS) -> list[str]:
    return [f"some words, and a number: {i}" for i in range(n)]


def a_frame() -> Any:
    return pd.DataFrame(
        {
            "n": np.arange(ROWS),
            "s": words(),
            "t": pd.date_range("2020", periods=ROWS, tz="UTC", freq="s"),
        }
    )


def a_table() -> Any:
    return pa.table({"n": np.arange(ROWS), "s": pa.array(words()).dictionary_encode()})


def a_polars_frame() -> Any:
    series = pl.Series("c", [f"word {i % 50}" for i in range(ROWS)], dtype=pl.Categorical)
    return pl.DataFrame({"n": np.arange(ROWS), "s": words()}).with_columns(series)


MAKERS = {"pandas": a_frame, "arrow": a_table, "polars": a_polars_frame}


def written(frame: Any) -> Any:
    frame.loc[1, "n"] = -1
    frame.loc[1, "s"] = "x"
    return frame


def add_up(lazy: Any) -> int:
    return int(lazy.select(pl.col("n").sum()).collect().item())


def made_there(name: str) -> Any:
    return MAKERS[name]()


@pytest.fixture
def pool(make_pool: MakePool, process_method: str) -> Any:
    return make_pool(process_method)


@pytest.fixture
def clean(process_method: str) -> str:
    """A start method that polars can do with: after a fork its threads are not there."""
    if process_method == "fork":
        pytest.skip("polars cannot be used in a fork of a process that has used it")
    return process_method


def test_random_objects_through_workers(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    leaf = frames.pandas() | frames.arrow()
    if process_method != "fork":
        leaf = leaf | frames.polars(("ints", "strings", "enums", "lists"))

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(frames.nested(leaf))
    def check(sent: Any) -> None:
        assert_equal(pool.apply(echo, (sent,)), sent)
        shared = oc.share(sent)
        before = pool.stats()
        assert_equal(pool.apply(echo, (shared,)), sent)
        assert pool.stats().bytes_copied == before.bytes_copied

    check()


def test_frames_and_tables_stand_once(pool: Any) -> None:
    _stand_once(pool, "pandas")
    _stand_once(pool, "arrow")


def test_polars_frames_stand_once(make_pool: MakePool, clean: str) -> None:
    _stand_once(make_pool(clean), "polars")


def _stand_once(pool: Any, name: str) -> None:
    made = MAKERS[name]()
    shared = oc.share(made)
    part = shared[100:-100]
    pool.map(echo, [shared, part], chunksize=1)  # delivered before
    before = pool.stats()
    for value in (shared, part):
        assert_equal(pool.apply(echo, (value,)), value)
        assert pool.apply(shared_there, (value,))
    after = pool.stats()
    assert after.bytes_copied == before.bytes_copied
    assert after.bytes_sent - before.bytes_sent < 2 * OVERHEAD
    assert after.bytes_received - before.bytes_received < 2 * OVERHEAD
    assert_equal(pool.apply(made_there, (name,)), made)


def test_a_frame_from_a_worker_is_the_receivers_own(pool: Any) -> None:
    sent = a_frame()
    got = pool.apply(written, (sent,))
    assert sent.loc[1, "n"] == 1
    assert (got.loc[1, "n"], got.loc[1, "s"]) == (-1, "x")
    assert written(got) is got


def test_a_lazy_frame_is_carried_out_by_workers_on_shared_frames(
    make_pool: MakePool, clean: str
) -> None:
    pool = make_pool(clean)
    lazy = a_polars_frame().lazy().filter(pl.col("n") > 9)
    shared = oc.share(lazy)
    assert pool.apply(add_up, (lazy,)) == add_up(lazy)
    before = pool.stats()
    assert pool.map(add_up, [shared, shared.filter(pl.col("n") < 20)]) == [add_up(lazy), 145]
    assert pool.stats().bytes_copied == before.bytes_copied


class Track:
    """Registered in the test alone: importing this module does not."""

    def __init__(self, name: str, times: Array, places: Array) -> None:
        self.name, self.times, self.places = name, times, places

    def __reduce__(self) -> Any:
        raise TypeError("has no pickling of its own")


def apart(track: Track) -> tuple[str, list[Array]]:
    return track.name, [track.times, track.places]


def together(name: str, buffers: list[Array]) -> Track:
    return Track(name, *buffers)


@pytest.fixture
def _registered() -> Iterator[None]:
    oc.register(Track, apart, together)
    yield
    user_types.unregister(Track)


@pytest.mark.usefixtures("_registered")
def test_a_registered_class_needs_nothing_in_the_worker(pool: Any) -> None:
    track = Track("x", np.arange(1e5), np.ones((50, 2)))
    back = pool.apply(echo, (track,))
    assert (type(back), back.name, back.times.sum()) == (Track, "x", track.times.sum())
    back.times[0] = 1
    shared = oc.share(track)
    pool.map(echo, [shared] * 8, chunksize=1)
    before = pool.stats()
    back = pool.apply(echo, (shared,))
    after = pool.stats()
    assert oc.is_shared(back)
    assert not back.times.flags.writeable
    assert after.bytes_copied == before.bytes_copied
    assert after.bytes_sent - before.bytes_sent < OVERHEAD


def test_a_class_registered_by_value(pool: Any) -> None:
    class Local:
        def __init__(self, data: Array) -> None:
            self.data = data

    oc.register(Local, lambda local: (None, [local.data]), lambda _, parts: Local(parts[0]))
    try:
        shared = oc.share(Local(np.arange(1e5)))
        assert pool.apply(lambda local: float(local.data.sum()), (shared,)) == np.arange(1e5).sum()
        back = pool.apply(echo, (shared,))
    finally:
        user_types.unregister(Local)
    assert type(back) is Local
    assert oc.is_shared(back.data)
