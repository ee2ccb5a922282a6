"""Random arrays, and what has to be true of one that has travelled.

`arrays()` draws dtype x layout x subclass x slice; `facts()` says all of an array
that must survive, in values that any process can pickle; `assert_same` compares.
`address_of` and `descriptor_of` say where a shared one stands.
Used by the codec's tests, which know no process, and by those with real workers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from onecopy._memory.segment import registry

Array = npt.NDArray[Any]

RECORD = np.dtype([("name", "S3"), ("val", "<f8"), ("at", "<M8[ms]"), ("pos", ">i2", (2,))])
DTYPES = [
    "?", "i1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<f16", "<c8", ">c16",
    "S5", "<U3", ">U2", "V7", "<M8[ns]", ">M8[D]", "<m8[s]", RECORD,
]  # fmt: skip


class Tagged(np.ndarray[Any, Any]):
    """A subclass that keeps something beside the elements, as people write them."""

    tag: str

    def __array_finalize__(self, parent: object) -> None:
        self.tag = getattr(parent, "tag", "untagged")


class Facts(NamedTuple):
    """All of an array that has to survive a journey."""

    type: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writable: bool
    data: bytes
    beside: Any


def facts(array: Any) -> Facts:
    """The facts about `array` in this process."""
    beside: Any = getattr(array, "tag", None)
    if isinstance(array, np.ma.MaskedArray):
        beside = np.ma.getmaskarray(array).tobytes(), repr(array.fill_value)
    return Facts(
        f"{type(array).__module__}.{type(array).__qualname__}",
        array.dtype,
        array.shape,
        array.strides,
        array.flags.writeable,
        np.asarray(array).tobytes(),
        beside,
    )


def arrived(array: Any) -> Facts:
    """The facts about a plain `array` where it has arrived: it can be written to, and is in C order
    unless it is contiguous, as after pickling."""
    plain = np.asarray(array)
    made = plain.copy("A" if plain.flags.forc else "C")
    return facts(array)._replace(writable=True, strides=made.strides)


def is_dense(array: Array) -> bool:
    """True if its memory is a contiguous array's, its axes permuted and maybe reversed."""
    step = array.itemsize
    for stride, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if stride != step:
                return False
            step *= length
    return True


def assert_same(got: Facts, sent: Facts, *, strides: bool) -> None:
    """`got` is what `sent` was.

    Args:
        got: after the journey.
        sent: before it.
        strides: are they promised here?
    """
    if not strides or math.prod(sent.shape) <= 1:
        got = got._replace(strides=sent.strides)
    # NumPy itself is free with the stride of an axis that has one element.
    seen = zip(sent.shape, got.strides, sent.strides, strict=True)
    got = got._replace(strides=tuple(a if length > 1 else b for length, a, b in seen))
    if not math.prod(sent.shape):  # there is nothing to write
        got = got._replace(writable=sent.writable)
    assert got == sent
    assert got.dtype.str == sent.dtype.str


def _elements(dtype: np.dtype[Any], count: int, seed: int) -> Array:
    """`count` elements of `dtype` in which no two neighbours are alike, as far as it goes."""
    random = np.random.default_rng(seed)
    if dtype.names is not None:
        made = np.zeros(count, dtype)
        for name in dtype.names:
            field = dtype[name]
            base, inner = field.subdtype or (field, ())
            part = _elements(base, count * math.prod(inner), seed + 1)
            made[name] = part.reshape((count, *inner))
        return made
    if dtype.kind in "SU":
        return random.integers(0, 999, count).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, count).astype(dtype)
    if dtype.kind in "fc":
        return random.normal(size=count).astype(dtype)
    return np.frombuffer(random.bytes(count * dtype.itemsize), dtype).copy()


@st.composite
def arrays(draw: st.DrawFn, *, large: bool | None = None) -> Any:
    """An array of any dtype, layout, subclass and slice that the codec promises to carry.

    Args:
        draw: hypothesis's.
        large: more bytes than go in-band, or not; either when None.
    """
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 6), max_size=3))
    long = draw(st.booleans()) if large is None else large
    sliced = draw(st.booleans())
    if shape and long:
        # Whatever is cut off below, most of these stay above the cut-off of 64 KiB.
        shape[0] = (shape[0] or 1) * (1 << 18) // (max(1, math.prod(shape)) * dtype.itemsize) + 1
    array = _elements(dtype, math.prod(shape), draw(st.integers(0, 99))).reshape(shape)
    array = draw(st.sampled_from([array, np.asfortranarray(array)]))
    if shape and sliced:
        array = array[tuple(draw(_slices(length)) for length in shape)]
    if draw(st.booleans()):
        array = array.transpose(draw(st.permutations(range(array.ndim))))
    if dtype.names is not None and draw(st.booleans()):
        array = array[draw(st.sampled_from(dtype.names))]
    array = draw(_subclass(array))
    if draw(st.integers(0, 3)) == 0:
        array.flags.writeable = False
    return array


def _slices(length: int) -> st.SearchStrategy[slice]:
    edges = st.none() | st.integers(-length, length)
    steps = st.sampled_from([None, 1, 2, 3, -1, -2])
    return st.builds(slice, edges, edges, steps)


@st.composite
def _subclass(draw: st.DrawFn, array: Array) -> Any:
    choices = ["ndarray", "ndarray", "tagged", "masked", "unmasked"]
    if array.dtype.names is not None:
        choices += ["recarray", "recarray"]
    if array.ndim == 2:
        choices.append("matrix")
    choice = draw(st.sampled_from(choices))
    if choice == "recarray":
        return array.view(np.recarray)
    if choice == "matrix":
        return array.view(np.matrix)
    if choice == "tagged":
        tagged = array.view(Tagged)
        tagged.tag = draw(st.text(max_size=3))
        return tagged
    if choice in ("masked", "unmasked"):
        mask: Any = np.ma.nomask
        if choice == "masked":
            mask = np.ma.make_mask_none(array.shape, array.dtype)
            mask[...] = draw(st.booleans())
        return np.ma.MaskedArray(array, mask)
    return array


def address_of(array: Array) -> int:
    """Of its first element in this process."""
    return int(array.__array_interface__["data"][0])


def descriptor_of(array: Array) -> int:
    """The descriptor of the segment that holds it; it stays the segment's."""
    found = registry.find(address_of(array))
    assert found is not None
    return found[0].descriptor()
