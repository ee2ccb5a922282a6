"""`share`, the writable kinds, `freeze`, `private`, and what they say of themselves."""

from __future__ import annotations

import dataclasses
import fcntl
import gc
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

import onecopy
from onecopy._codec import pickling
from onecopy._memory.segment import Segment, registry
from onecopy.errors import NotEnoughMemory, NotPicklable, NotShared
from tests.arrays import Array
from tests.links import Ends

LARGE = 1 << 18


def segment_of(array: Array) -> Segment:
    found = registry.find(array.__array_interface__["data"][0])
    assert found is not None
    return found[0]


def numbers() -> Array:
    return np.arange(LARGE // 4)


# Objects of other libraries that pickle by protocol 5.
FRAMES: dict[str, Callable[[], Any]] = {
    "numbers": lambda: pd.DataFrame(
        {"a": numbers(), "b": numbers() * 0.5, "c": numbers() % 2 == 0}
    ),
    "datetimes": lambda: pd.DataFrame({"t": pd.date_range("2020", periods=LARGE, freq="s")}),
    "zones": lambda: pd.DataFrame({"t": pd.date_range("2020", periods=99, freq="h", tz="UTC")}),
    "strings": lambda: pd.DataFrame({"s": numbers().astype(str)}),
    "categories": lambda: pd.DataFrame({"c": pd.Categorical(numbers() % 7)}),
    "nullable": lambda: pd.DataFrame({"n": pd.array([1, None, 3], dtype="Int64")}),
    "objects": lambda: pd.DataFrame({"o": pd.Series([[1], {"a": 2}], dtype=object)}),
    "index": lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y")])
    ),
    "series": lambda: pd.Series(numbers(), name="n"),
    "csr": lambda: scipy.sparse.random(900, 900, 0.2, format="csr", rng=1),
    "coo": lambda: scipy.sparse.random(50, 50, 0.1, format="coo", rng=2),
    "csc array": lambda: scipy.sparse.csc_array(np.eye(300)),
    "table": lambda: pa.table({"a": numbers(), "s": pa.array(numbers().astype(str))}),
}


def assert_equal(got: Any, sent: Any) -> None:
    assert type(got) is type(sent)
    if isinstance(sent, pd.DataFrame):
        pd.testing.assert_frame_equal(got, sent)
    elif isinstance(sent, pd.Series):
        pd.testing.assert_series_equal(got, sent)
    elif scipy.sparse.issparse(sent):
        assert got.shape == sent.shape
        assert got.dtype == sent.dtype
        assert (got != sent).nnz == 0
    else:
        assert got.equals(sent)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.filterwarnings("ignore::onecopy.errors.PickledWarning")
def test_frames_travel_and_are_shared(name: str) -> None:
    ends = Ends()
    sent = FRAMES[name]()
    assert_equal(ends.send(sent), sent)
    assert_equal(ends.send_back(sent), sent)
    shared = onecopy.share(sent)
    assert_equal(shared, sent)
    before = ends.owner.bytes_copied
    there = ends.send(shared)
    assert_equal(there, sent)
    # What holds Python objects goes by value, and the rest of it stays where it is.
    if name not in ("objects", "index"):
        assert onecopy.is_shared(shared)
        assert onecopy.share(shared) is shared
        assert ends.owner.bytes_copied == before
        assert len(ends.body) < 10_000


def test_plain_frame_arrives_writable() -> None:
    ends = Ends()
    there = ends.send(pd.DataFrame({"a": np.arange(LARGE), "b": np.arange(LARGE) * 2.0}))
    there.loc[3, "a"] = -1
    assert there["a"].iloc[3] == -1


def test_shared_is_equal_read_only_and_elsewhere(backing: str) -> None:
    array = np.arange(LARGE)
    shared = onecopy.share(array)
    assert (shared == array).all()
    assert not np.shares_memory(shared, array)
    assert onecopy.is_shared(shared)
    assert not onecopy.is_shared(array)
    with pytest.raises(ValueError, match="read-only"):
        shared[0] = 1
    (info,) = onecopy.segments()
    assert (info.kind, info.backing, info.path) == ("shared", backing, None)
    assert info.nbytes == array.nbytes
    array[0] = -1
    assert shared[0] == 0


def test_what_is_shared_is_returned_as_it_is() -> None:
    shared = onecopy.share(np.arange(LARGE))
    for obj in (shared, shared[3:], shared[::-2], [shared, {"x": shared.T}], onecopy.zeros(3)):
        assert onecopy.share(obj) is obj


@dataclasses.dataclass
class Sample:
    name: str
    data: Array
    more: list[Any]


def test_anything_that_holds_arrays_is_shared_as_a_whole() -> None:
    sample = Sample("x", np.arange(LARGE), [np.ones(5), {"deep": np.arange(10)[::3]}])
    shared = onecopy.share(sample)
    assert type(shared) is Sample
    assert shared.name == "x"
    assert len(onecopy.segments()) == 1
    for array, was in (
        (shared.data, sample.data),
        (shared.more[0], sample.more[0]),
        (shared.more[1]["deep"], sample.more[1]["deep"]),
    ):
        assert (array == was).all()
        assert not array.flags.writeable
        assert onecopy.is_shared(array)


def test_what_holds_no_buffer_is_not_shared() -> None:
    for obj in (1, "x", None, b"bytes", bytearray(3), [], {"a": 1}, np.arange(3), object()):
        assert not onecopy.is_shared(obj)
    assert onecopy.share(5) == 5
    assert onecopy.share(["x"]) == ["x"]
    assert onecopy.segments() == []


def test_partly_shared_is_not_shared() -> None:
    shared = onecopy.share(np.arange(LARGE))
    assert onecopy.is_shared([shared, 5])
    assert not onecopy.is_shared([shared, np.arange(3)])


def test_unpicklable_part_is_named() -> None:
    with pytest.raises(NotPicklable, match=r"object\['g'\] \(a generator\)"):
        onecopy.share({"a": np.arange(3), "g": (i for i in "")})
    assert onecopy.segments() == []


def test_memmap_is_shared_as_it_stands(tmp_path: Path) -> None:
    np.arange(1000.0).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", mode="r")
    assert onecopy.share(mapped) is mapped
    ends = Ends()
    there = ends.send(mapped[80:160])
    assert type(there) is np.memmap
    assert there.filename == mapped.filename
    assert there.view("f8").tolist() == list(range(10, 20))
    assert not there.flags.writeable
    assert ends.owner.bytes_copied == 0
    assert len(ends.body) < 1000
    (segment,) = [s for s in onecopy.segments() if s.kind == "file"]
    assert segment.path == str(tmp_path / "x")


@pytest.mark.parametrize("mode", ["r+", "c", "replaced", "gone"])
def test_memmap_that_may_differ_from_its_file_is_copied(tmp_path: Path, mode: Any) -> None:
    path = tmp_path / "x"
    np.arange(1000.0).tofile(path)
    mapped = np.memmap(path, "f8", mode="r" if mode in ("replaced", "gone") else mode)
    if mode == "replaced":
        np.zeros(1000).tofile(tmp_path / "y")
        (tmp_path / "y").replace(path)
    elif mode == "gone":
        path.unlink()
    else:
        mapped[3] = -1
    ends = Ends()
    there = ends.send(mapped)
    assert (there == mapped).all()
    there[0] = 77
    assert mapped[0] == 0
    assert ends.moved() > 8000


def test_memmap_that_has_gone_is_forgotten(tmp_path: Path) -> None:
    """Its segment has no view in this process: the mapping's end stands for the last one's."""
    heard: list[int] = []

    class Listener:
        def segment_gone(self, segment_id: int) -> None:
            heard.append(segment_id)

        def segment_frozen(self, segment_id: int) -> None:
            raise AssertionError

    listener = Listener()
    registry.listeners.add(listener)
    np.arange(1000.0).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", mode="r")
    ends = Ends()
    there = ends.send(mapped)
    (number,) = ends.owner._known
    assert heard == []
    del mapped, there
    gc.collect()
    assert number in heard
    assert ends.owner.retire(number)


# The writable kinds.


@pytest.mark.parametrize("shape", [3, (2, 3), (), (1,), np.int64(4), (np.int32(2), 5)])
def test_zeros_of_every_shape(backing: str, shape: Any) -> None:
    array = onecopy.zeros(shape, "i4")
    assert array.shape == np.zeros(shape).shape
    assert array.dtype == np.int32
    assert not array.any()
    assert array.flags.writeable
    array[...] = 5
    assert array.sum() == 5 * array.size
    assert [s.kind for s in onecopy.segments()] == ["open"]
    assert onecopy.is_shared(array)


def test_empty_is_of_floats_unless_told() -> None:
    assert onecopy.empty(2).dtype == onecopy.zeros(2).dtype == float
    records = onecopy.empty(2, [("a", "i2"), ("b", "S3")])
    records["b"] = b"xyz"
    assert records.tolist() == [(0, b"xyz")] * 2


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [(7, None, "int64"), (7, "f4", "float32"), (True, None, "bool"), ("ab", None, "<U2")],
)
def test_full(value: Any, dtype: Any, expected: str) -> None:
    array = onecopy.full((2, 2), value, dtype)
    assert array.dtype == np.dtype(expected)
    assert (array == value).all()


def test_without_elements_nothing_stands() -> None:
    array = onecopy.zeros((0, 3))
    assert array.shape == (0, 3)
    assert onecopy.segments() == []
    frozen = onecopy.freeze(array)
    assert not frozen.flags.writeable
    shared = onecopy.share(np.zeros((3, 0)))
    assert onecopy.private(shared).flags.writeable
    assert onecopy.private(shared).shape == (3, 0)


def test_python_objects_are_refused() -> None:
    for dtype in (object, [("a", "O")], np.dtypes.StringDType()):
        with pytest.raises(TypeError, match="Python objects"):
            onecopy.empty(3, dtype)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="negative dimensions"):
        onecopy.empty((2, -1))
    with pytest.raises(NotEnoughMemory):
        onecopy.empty(1 << 45)
    assert onecopy.segments() == []


# Freezing.


def test_frozen_is_read_only_through_every_view(backing: str) -> None:
    array = onecopy.full((4, 4), 2.0)
    row = array[1]
    frozen = onecopy.freeze(array)
    assert (frozen == 2).all()
    assert frozen.strides == array.strides
    for view in (array, frozen):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        frozen.flags.writeable = True
    assert row[0] == 2  # an older view stays valid; a write to it would be fatal
    assert [(s.kind, s.backing) for s in onecopy.segments()] == [("shared", backing)]
    with pytest.raises(PermissionError):
        mmap.mmap(segment_of(frozen).descriptor(), mmap.PAGESIZE)
    if backing == "memfd":
        seals = fcntl.fcntl(segment_of(frozen).descriptor(), fcntl.F_GET_SEALS)
        assert seals & fcntl.F_SEAL_WRITE
        assert seals & fcntl.F_SEAL_SEAL
    assert onecopy.freeze(frozen) is frozen


def test_freezing_a_view_seals_the_whole() -> None:
    array = onecopy.zeros((4, 4))
    part = onecopy.freeze(array[:, 1])
    assert part.strides == array[:, 1].strides
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_frozen_keeps_its_class() -> None:
    array = onecopy.zeros(4, [("a", "f8")]).view(np.recarray)
    assert type(onecopy.freeze(array)) is np.recarray


@pytest.mark.parametrize("wrong", [np.zeros(3), [1, 2], 5])
def test_freezing_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises((NotShared, TypeError), match="freeze takes an array"):
        onecopy.freeze(wrong)


def test_only_its_maker_freezes() -> None:
    ends = Ends()
    array = onecopy.zeros(3)
    there = ends.send(array)
    with pytest.raises(NotShared, match="not in a worker"):
        onecopy.freeze(there)
    there[0] = 1
    assert array[0] == 1


# Private views.


@pytest.mark.parametrize("made", ["shared", "open", "file"])
def test_private_view_is_writable_and_leaves_the_shared_alone(
    tmp_path: Path, backing: str, made: str
) -> None:
    data = np.arange(20_000.0).reshape(100, 200)
    if made == "shared":
        whole = onecopy.share(data)
    elif made == "open":
        whole = onecopy.full(data.shape, 0.0)
        whole[...] = data
    else:
        np.save(tmp_path / "x.npy", data)
        whole = onecopy.load(tmp_path / "x.npy")
    for view in (whole, whole[50:], whole[:, 7], whole[::-3, ::2], whole[99, 199:]):
        mine = onecopy.private(view)
        assert mine.strides == view.strides
        assert (mine == view).all()
        mine[...] = -1
        assert (mine == -1).all()
        assert not onecopy.is_shared(mine)
    assert (whole == data).all()


def test_private_view_outlives_the_shared_one() -> None:
    mine = onecopy.private(onecopy.share(np.arange(LARGE)))
    gc.collect()
    mine[1] = 5
    assert mine[:3].tolist() == [0, 5, 2]
    assert onecopy.segments() == []


def test_private_keeps_the_class() -> None:
    shared = onecopy.share(np.zeros(4, [("a", "f8")]).view(np.recarray))
    assert type(onecopy.private(shared)) is np.recarray


def test_private_of_a_plain_array_is_refused() -> None:
    with pytest.raises(NotShared, match="private takes an array in shared memory"):
        onecopy.private(np.zeros(3))


def test_segments_are_listed_while_they_stand() -> None:
    assert onecopy.segments() == []
    shared, writable = onecopy.share(np.arange(LARGE)), onecopy.zeros(5)
    assert sorted(s.kind for s in onecopy.segments()) == ["open", "shared"]
    assert len({s.id for s in onecopy.segments()}) == 2
    del writable
    gc.collect()
    assert [s.kind for s in onecopy.segments()] == ["shared"]
    view = shared[5:7]
    del shared
    gc.collect()
    assert len(onecopy.segments()) == 1
    del view
    gc.collect()
    assert onecopy.segments() == []


class Plain:
    """Not a dataclass, and without a buffer."""

    def __init__(self, number: int) -> None:
        self.number = number


THREE = {str(i): pd.DataFrame({"a": np.arange(5000)}) for i in range(3)}


@pytest.mark.parametrize(
    ("obj", "most"),
    [
        (np.arange(5000), 1),
        (THREE["0"], 1),
        (THREE, 1),
        ([np.arange(5000)] * 3, 1),
        ({"x": {"y": np.arange(5000)}, "z": {"w": np.arange(9)}}, 1),
        ([{"a": i, "b": str(i)} for i in range(1000)], 1),
        # Each object once, one of them to see what they are made of, and the structure.
        ([Plain(i) for i in range(200)], 202),
        ([Plain(i) for i in range(1000)], 1001),
    ],
    ids=["array", "frame", "frames", "list", "nested", "records", "few objects", "many objects"],
)
def test_an_object_is_encoded_once(obj: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0

    def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal counted
        counted += 1
        return dumps(*args, **kwargs)

    dumps = pickling.dumps
    monkeypatch.setattr("onecopy._codec.codec.dumps", count)
    onecopy.share(obj)
    assert counted <= most
