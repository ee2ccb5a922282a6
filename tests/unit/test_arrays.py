"""Any array through a message and back, and through `share`; no process is involved.

Property tests over dtype x layout x subclass x slice. The same through real workers
is in `tests/processes/test_data_roundtrip.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import onecopy
from onecopy._codec.codec import CUTOFF
from tests.arrays import Array, arrays, arrived, assert_same, facts, is_dense
from tests.links import Ends

# Beside the elements a message carries names, types and strides.
OVERHEAD = 4096


def test_any_plain_array_arrives_as_it_was() -> None:
    ends = Ends()

    @settings(max_examples=200)
    @given(arrays())
    def check(array: Any) -> None:
        before = ends.moved() - len(ends.body)
        there = ends.send(array)
        assert_same(facts(there), arrived(array), strides=True)
        here = ends.send_back(there)
        assert_same(facts(here), arrived(array), strides=True)
        # A mask is an array of its own; gaps may be sent, but no more than the elements.
        elements = 2 * array.nbytes + 2 * np.ma.getmaskarray(array).nbytes
        assert ends.moved() - before <= 2 * (elements + OVERHEAD)

    check()


def test_plain_array_arrives_private_to_the_receiver() -> None:
    ends = Ends()

    @settings(max_examples=100)
    @given(arrays())
    def check(array: Any) -> None:
        before = facts(array)
        there = ends.send(array)
        assert not onecopy.is_shared(there) or there.size == 0
        if there.flags.writeable and there.size:
            np.asarray(there).view(np.ndarray)[...] = np.zeros((), there.dtype)
        assert facts(array) == before

    check()


def test_any_shared_array_arrives_as_it_is_and_moves_no_bytes() -> None:
    ends = Ends()

    @settings(max_examples=200)
    @given(arrays())
    def check(array: Any) -> None:
        shared = onecopy.share(array)
        expected = facts(array)._replace(writable=False)
        assert_same(facts(shared), expected, strides=is_dense(array))
        copied = ends.owner.bytes_copied
        there = ends.send(shared)
        assert_same(facts(there), facts(shared), strides=True)
        assert ends.owner.bytes_copied == copied
        assert len(ends.body) < OVERHEAD
        assert_read_only(there)
        here = ends.send_back(there)
        assert_same(facts(here), facts(shared), strides=True)
        assert ends.worker.bytes_copied == 0
        assert len(ends.body) < OVERHEAD

    check()


def test_any_view_of_a_shared_array_keeps_its_strides() -> None:
    ends = Ends()
    whole = onecopy.share(np.arange(60_000.0).reshape(30, 40, 50))
    fortran = onecopy.share(np.asfortranarray(whole))

    for array in (whole, fortran):
        for view in (
            array[3],
            array[:, 1],
            array[..., ::-7],
            array[5:2:-1, ::3],
            array.T,
            array.transpose(1, 2, 0),
            array[None, :, 0],
            array.reshape(-1, order="A")[::1000],
            np.broadcast_to(array[0, 0, :, None], (50, 9)),
            np.lib.stride_tricks.sliding_window_view(array.ravel("A"), 5),
            array.view("i8"),
            array[0, 0, 0],
            array[0, 0, 0, ...],
        ):
            there = ends.send(view)
            if isinstance(view, np.ndarray):
                assert facts(there) == facts(view)
                assert len(ends.body) < 1000
            else:
                assert there == view
    assert ends.owner.bytes_copied == 0


def assert_read_only(array: Array) -> None:
    if array.size:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            np.asarray(array).flags.writeable = True
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.flags.writeable = True


@pytest.mark.parametrize("size", [10, CUTOFF, 10 * CUTOFF])
def test_sparse_view_arrives_without_its_gaps(size: int) -> None:
    ends = Ends()
    records = np.zeros(size, [("pad", "V92"), ("val", "f8")])
    records["val"] = np.arange(size)
    there = ends.send(records["val"])
    assert there.strides == (8,)
    assert (there == records["val"]).all()
    assert ends.moved() < 8 * size + OVERHEAD


def test_a_view_that_is_not_contiguous_arrives_in_c_order() -> None:
    """So code that needs contiguous memory works, as where pickle has brought the array."""
    ends = Ends()
    cube = np.arange(8000.0).reshape(20, 20, 20)
    for array in (cube.transpose(2, 0, 1)[::3, ::2, ::-2], cube[::2], cube[::-1], cube[..., 3]):
        there = ends.send(array)
        assert (there == array).all()
        assert there.flags.c_contiguous
        assert memoryview(there).cast("B").nbytes == array.nbytes


def test_broadcast_array_is_not_expanded() -> None:
    ends = Ends()
    row = np.arange(20_000.0)
    there = ends.send(np.broadcast_to(row, (500, 20_000)))
    assert there.strides == (0, 8)
    assert ends.moved() < row.nbytes + OVERHEAD
    assert not there.flags.writeable


@pytest.mark.parametrize("back", [False, True])
def test_large_plain_array_leaves_the_body_small(back: bool) -> None:
    ends = Ends()
    array = np.zeros(CUTOFF, "i8")
    (ends.send_back if back else ends.send)(array)
    assert len(ends.body) < 1000
    assert (ends.worker if back else ends.owner).bytes_copied == array.nbytes


def test_object_arrays_are_pickled() -> None:
    ends = Ends()
    array = np.array([{"a": 1}, [2], None], object)
    there = ends.send(array)
    assert there.dtype == object
    assert list(there) == list(array)
    with pytest.warns(onecopy.PickledWarning, match="ndarray of dtype object"):
        shared = onecopy.share(array)
    assert list(shared) == list(array)
    assert not onecopy.is_shared(shared)


def test_strings_of_variable_length_are_pickled() -> None:
    ends = Ends()
    array = np.array(["a", "b" * 1000, "", "ä"], np.dtypes.StringDType())
    there = ends.send(array)
    assert there.dtype == array.dtype
    assert there.tolist() == array.tolist()
    with pytest.warns(onecopy.PickledWarning, match="StringDType"):
        shared = onecopy.share(array)
    assert shared.tolist() == array.tolist()


def test_records_with_objects_are_pickled() -> None:
    ends = Ends()
    array = np.array([(1, {"a"}), (2, None)], [("n", "i4"), ("o", "O")])
    there = ends.send(array)
    assert there.dtype == array.dtype
    assert there.tolist() == array.tolist()


def test_constants_of_masked_arrays_keep_their_identity() -> None:
    ends = Ends()
    assert ends.send(np.ma.masked) is np.ma.masked
    unmasked = ends.send(np.ma.MaskedArray([1, 2]))
    assert unmasked.mask is np.ma.nomask


def test_hard_masks_and_fill_values_survive() -> None:
    ends = Ends()
    array = np.ma.MaskedArray(
        np.arange(5), mask=[False, True, False, False, True], fill_value=-7, hard_mask=True
    )
    for there in (ends.send(array), onecopy.share(array), ends.send(onecopy.share(array))):
        assert there.fill_value == -7
        assert there.hardmask
        assert there.filled().tolist() == [0, -7, 2, 3, -7]


def test_metadata_of_a_dtype_survives() -> None:
    ends = Ends()
    dtype = np.dtype("f8", metadata={"unit": "K"})
    there = ends.send(np.zeros(3, dtype))
    assert there.dtype.metadata == {"unit": "K"}


class Slotted(np.ndarray[Any, Any]):
    """A subclass with a pickling of its own."""

    unit: str

    def __reduce__(self) -> Any:
        return _slotted, (np.asarray(self), self.unit)


def _slotted(array: Array, unit: str) -> Slotted:
    made = array.view(Slotted)
    made.unit = unit
    return made


def test_a_pickling_of_its_own_is_honoured() -> None:
    ends = Ends()
    array = _slotted(np.arange(CUTOFF), "K")
    there = ends.send(array)
    assert type(there) is Slotted
    assert there.unit == "K"
    assert (there == array).all()
    assert len(ends.body) < 1000  # the elements went through the codec all the same
