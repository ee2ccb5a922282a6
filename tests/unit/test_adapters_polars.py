"""polars' frames and lazy frames through a message and back, and shared: what is its own.

Random frames are in `test_adapters.py`, with all that polars has in common with the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import onecopy
from onecopy._codec.adapters import lazy
from onecopy._codec.adapters.lazy import _taken_out
from onecopy._codec.adapters.polars import _build_categorical
from onecopy._codec.codec import encode
from onecopy.errors import PickledWarning
from tests import frames
from tests.arrays import Array
from tests.frames import assert_equal
from tests.links import Ends, copied

LARGE = 1 << 16


def numbers() -> Array:
    return np.arange(LARGE)


@pytest.mark.parametrize("kind", sorted(frames.NOT_SHARED))
@pytest.mark.filterwarnings("ignore::onecopy.errors.PickledWarning")
def test_a_column_that_polars_makes_anew_travels_all_the_same(kind: str) -> None:
    ends = Ends()
    sent = frames.POLARS[kind](3000, np.random.default_rng(1))
    for column in (sent, sent[7:9], sent.to_frame()):
        assert_equal(ends.send(column), column)
        assert_equal(onecopy.share(column), column)


def test_parts_of_a_shared_polars_frame_are_shared() -> None:
    made = {"n": pl.Series([None, 1, 2, 3] * 999), "s": ["some words of more than 12"] * 3996}
    shared = onecopy.share(pl.DataFrame(made))
    for part in (shared[5:99], shared["s"], shared["n"][17:], shared.select("n"), shared.head(3)):
        assert onecopy.is_shared(part)
        assert copied(part) == 0


def test_pieces_of_a_polars_column_are_not_joined() -> None:
    series = pl.concat([pl.Series([1, 2]), pl.Series([3])], rechunk=False)
    there = Ends().send(series)
    assert there.n_chunks() == 2
    assert there.to_list() == [1, 2, 3]


def test_a_polars_frame_without_columns_keeps_its_height() -> None:
    for height in (0, 7):
        frame = pl.DataFrame({"a": range(height)}).drop("a")
        assert Ends().send(frame).shape == frame.shape


def test_words_that_were_met_in_another_order_are_found_again() -> None:
    ends = Ends()
    words = pl.Categorical(pl.Categories("order"))
    series = pl.Series(["x", "y", None, "x"], dtype=words)
    reduced = encode(series).stream()
    assert b"x" in reduced
    numbers = pl.Series([1, 0, None], dtype=pl.UInt32)
    there = _build_categorical(numbers, words, ["y", "x"], "name", None)
    assert there.to_list() == ["x", "y", None]
    assert there.name == "name"
    assert_equal(ends.send(series), series)


def lazies() -> dict[str, pl.LazyFrame]:
    left = pl.DataFrame({"a": numbers(), "s": numbers().astype(str)})
    right = pl.DataFrame({"a": numbers()[::3], "z": numbers()[::3] * 0.5})
    # Every byte, and what the plan's own keys look like.
    keys = bytes(range(256)) * 20 + b"\xcc\xcc\xa9dsl_plans\xa7version" * 99
    return {
        "filter": left.lazy().filter(pl.col("a") > 5).with_columns(b=pl.col("a") * 2),
        "join": left.lazy().join(right.lazy(), on="a", maintain_order="left"),
        "many": pl.concat([pl.LazyFrame({"a": [i]}) for i in range(20)]),
        "bytes": pl.LazyFrame({"a": np.frombuffer(keys, np.uint8)}),
    }


@pytest.mark.parametrize("name", ["filter", "join", "many", "bytes"])
def test_a_lazy_frame_travels_as_its_plan_and_its_frames_are_shared(name: str) -> None:
    ends = Ends()
    sent = lazies()[name]
    there = ends.send(sent)
    assert there.explain() == sent.explain()
    assert_equal(there.collect(), sent.collect())
    shared = onecopy.share(sent)
    assert type(shared) is pl.LazyFrame
    assert onecopy.is_shared(shared)
    assert onecopy.share(shared) is shared
    assert copied(shared) == 0
    before = ends.moved() - len(ends.body)
    there = ends.send(shared)
    assert ends.moved() - len(ends.body) == before or name == "many"
    assert there.collect_schema() == sent.collect_schema()
    assert_equal(there.collect(), sent.collect())
    assert_equal(there.tail(3).select("a").collect(), sent.tail(3).select("a").collect())


def test_columns_filters_and_limits_reach_a_shared_lazy_frame() -> None:
    shared = onecopy.share(lazies()["filter"])
    plan = shared.select("b").filter(pl.col("b") > 100).explain()
    assert "PROJECT 1/2 COLUMNS" in plan
    assert "SELECTION" in plan
    assert shared.select("b").filter(pl.col("b") > 100).head(2).collect()["b"].to_list() == [
        102,
        104,
    ]


def test_a_plan_without_frames_is_left_as_it_is(tmp_path: Any) -> None:
    pl.DataFrame({"a": [1]}).write_csv(tmp_path / "x.csv")
    scan = pl.scan_csv(tmp_path / "x.csv")
    assert onecopy.share(scan) is scan
    assert not onecopy.is_shared(scan)
    assert Ends().send(scan).collect()["a"].to_list() == [1]


@pytest.mark.parametrize("found", [b"another form", b"DSL_VERSION\x83\xa4root\x82\xa3idx"])
def test_a_plan_of_another_form_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, found: bytes
) -> None:
    """As with a later polars: the lazy frame then holds its frames."""
    lazy_frame = lazies()["filter"]
    monkeypatch.setattr(lazy, "_taken_out", lambda plan: _taken_out(found))
    with pytest.warns(PickledWarning, match="LazyFrame of this version of polars"):
        shared: Any = onecopy.share({"lazy": lazy_frame, "n": numbers()})
    assert shared["lazy"].explain() == lazy_frame.explain()
    assert_equal(shared["lazy"].collect(), lazy_frame.collect())
