"""Decoding by threads: order, errors, and the check of values."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from onecopy._files.load.ahead import ahead
from onecopy._files.load.tables import valid


def test_items_come_in_order_and_errors_in_their_place() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for at in range(5):
            made.append(at)
            yield at
        raise ValueError("the sixth")

    got: list[int] = []
    with pytest.raises(ValueError, match="the sixth"):
        got.extend(ahead(items()))
    assert got == made == [0, 1, 2, 3, 4]


def test_no_more_is_made_than_was_agreed() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for at in range(100):
            made.append(at)
            yield at

    came = ahead(items(), count=3)
    assert next(came) == 0
    came.close()  # type: ignore[attr-defined]  # it is a generator
    assert made == [0, 1, 2]
    assert not [each for each in threading.enumerate() if "onecopy-ahead" in each.name]


def _strings(data: bytes, offsets: list[int], kind: pa.DataType) -> pa.RecordBatch:
    wide = kind in (pa.large_string(), pa.large_binary())
    buffers = [
        None,
        pa.array(offsets, pa.int64() if wide else pa.int32()).buffers()[1],
        pa.py_buffer(data),
    ]
    column = pa.Array.from_buffers(kind, len(offsets) - 1, buffers)
    return pa.record_batch([column], names=["a"])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_values_of_text_are_utf8(kind: pa.DataType) -> None:
    for data, offsets in ((b"abc", [0, 1, 3]), ("äb".encode(), [0, 2, 3]), (b"", [0, 0])):
        valid(_strings(data, offsets, kind))
    broken = [
        (b"ab\xff", [0, 1, 3]),
        ("ä".encode(), [0, 1, 2]),  # each half is none
        (b"abc", [0, 2, 4]),
        (b"abc", [0, 3, 2]),
    ]
    for data, offsets in broken:
        with pytest.raises(pa.ArrowInvalid):
            valid(_strings(data, offsets, kind))


def test_values_within_others_are_utf8() -> None:
    column = _strings(b"ab\xff", [0, 1, 3], pa.string()).column(0)
    nested = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), column)
    with pytest.raises(pa.ArrowInvalid):
        valid(pa.record_batch([nested], names=["a"]))
