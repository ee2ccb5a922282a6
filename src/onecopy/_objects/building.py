"""Encodes Python values into columns, which are flat arrays.

``encode`` looks at the types of all values first and then fills the one column that holds them
exactly. It iterates over them several times instead of once. Of a field it makes a list, one field
at a time: 8 bytes for each value, and no second copy of a value.
"""

from __future__ import annotations

import dataclasses
import marshal
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import accumulate, chain, islice
from operator import itemgetter
from typing import Any

import numpy as np

from .._codec.codec import Encoded, layout
from .._codec.codec import encode as pickled
from .._codec.store import ALIGN
from .columns import (
    Array,
    Buffered,
    Bytes,
    Categories,
    Column,
    Constant,
    Instances,
    Lists,
    Numbers,
    Objects,
    Records,
    Scalars,
    Text,
    Tuples,
    Union,
)

# Beyond these limits a value is pickled as a whole.
_MOST_FIELDS, _MOST_KINDS, _DEEPEST = 64, 8, 3
# Categories: at most as many different str as one byte distinguishes, on average used this often.
_MOST_LABELS, _USES = 256, 8
# Values are looked at in C, that many at a time.
_BLOCK = 4096
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement

Values = Collection[Any]


class Shared(Exception):
    """Raised for a value that is shared already and should be sent by reference."""


class Derived:
    """Values that are computed from other values on each iteration."""

    def __init__(self, make: Callable[[], Iterable[Any]], count: int) -> None:
        self._make = make
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

    def __len__(self) -> int:
        return self._count

    def __contains__(self, value: object) -> bool:
        return any(value is other for other in self)


def encode(values: Values, depth: int = 0) -> Column:
    """Encode values in a column; each is decoded as an equal value of the same type.

    Raises NotPicklable, and ``Shared`` for values that hold shared arrays.
    """
    kinds = _kinds(values)
    if len(kinds) == 1:
        return _of_one(kinds[0], values, depth)
    if 1 < len(kinds) <= _MOST_KINDS and depth < _DEEPEST:
        return _union(kinds, values, depth)
    return _objects(values)


def _kinds(values: Values) -> list[Any]:
    """Return the different kinds of values, in the order of their first appearance: a class; with
    the keys, for dicts; with the length, for tuples. Stops when there are too many."""
    found: dict[Any, None] = dict.fromkeys(_types(values))
    if dict not in found and tuple not in found:
        return list(found)
    if len(found) == 1 and dict in found and max(map(len, values)) <= _MOST_FIELDS:
        return _kinds_of_dicts(values)
    found = {}
    for value in values:
        found[_kind(value)] = None
        if len(found) > _MOST_KINDS:
            break
    return list(found)


def _types(values: Values) -> list[type]:
    """Return the different types of values, in the order of their first appearance."""
    found = set(map(type, values))  # most have one, and a set is filled in half the time
    return list(found if len(found) < 2 else dict.fromkeys(map(type, values)))


def _kinds_of_dicts(values: Values) -> list[Any]:
    """Return ``_kinds`` of dicts with few keys: most have the same keys, and are compared in C."""
    keys: dict[tuple[Any, ...], None] = {}
    every = iter(values)
    while block := dict.fromkeys(map(tuple, islice(every, _BLOCK))):
        keys |= block
        if len(keys) > _BLOCK:
            return list(keys)  # too many to tell apart
    return list(dict.fromkeys((dict, *names) if _names(names) else (dict,) for names in keys))


def _kind(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return (dict, *value) if len(value) <= _MOST_FIELDS and _names(value) else (dict,)
    return (tuple, len(value)) if kind is tuple else kind


def _names(keys: Iterable[Any]) -> bool:
    return all(type(key) is str for key in keys)


def _of_one(kind: Any, values: Values, depth: int) -> Column:
    """Encode values that are all of this kind."""
    made: Column | None = None
    if type(kind) is tuple:
        if depth < _DEEPEST and len(kind) > 1:
            if kind[0] is dict:
                made = Records(kind[1:], _items(kind[1:], values, depth), len(values))
            elif kind[1] <= _MOST_FIELDS:
                made = Tuples(None, _items(range(kind[1]), values, depth), len(values))
    elif kind in _ENCODERS:
        made = _ENCODERS[kind](values, depth)
    elif issubclass(kind, np.generic):
        made = _scalars(kind, values)
    elif depth < _DEEPEST and (names := _fields_of(kind, values)):
        if issubclass(kind, tuple):
            made = Tuples(kind, _items(range(len(names)), values, depth), len(values))
        else:
            made = _instances(kind, names, values, depth)
    return _objects(values) if made is None else made


def _numbers(dtype: str) -> Callable[[Values, int], Column]:
    def fill(values: Values, depth: int) -> Column:
        return Numbers(np.fromiter(values, dtype, len(values)))

    return fill


def _ints(values: Values, depth: int) -> Column | None:
    try:
        array = np.fromiter(values, "i8", len(values))
    except OverflowError:
        return None
    return Numbers(narrowed(array))


def narrowed(array: Array) -> Array:
    """Return the same integers in the smallest type that holds them."""
    if not array.size:
        return array.astype("i1")
    low, high = int(array.min()), int(array.max())
    for code in "bBhHiIqQ":
        limits = np.iinfo(code)
        if limits.min <= low and high <= limits.max:
            return array.astype(code)
    return array


def _offsets(lengths: Iterable[int], count: int) -> Array:
    """Return where each piece begins, and where the last one ends."""
    ends = np.fromiter(chain((0,), accumulate(lengths)), "i8", count + 1)
    return ends.astype("u4") if ends[-1] < 1 << 32 else ends


def _text(values: Values, depth: int) -> Column:
    few: set[str] = set()
    for value in values:
        few.add(value)
        if len(few) > _MOST_LABELS or len(few) * _USES > len(values):
            break
    else:
        labels = sorted(few)
        if sum(map(len, labels)) <= 1 << 14:
            number = {label: at for at, label in enumerate(labels)}
            return Categories(
                np.fromiter(map(number.__getitem__, values), "u1", len(values)), labels
            )
    ascii = _joined_ascii(values)
    return Text(*(ascii or _joined(Derived(lambda: map(_utf8, values), len(values)))))


def _joined_ascii(values: Values) -> tuple[Array, Array] | None:
    """Return ``_joined`` of ASCII text, whose characters are bytes; None for other text."""
    offsets = _offsets(map(len, values), len(values))
    whole: Array = np.empty(int(offsets[-1]), "u1")
    view, at, every = memoryview(whole), 0, iter(values)
    while block := list(islice(every, _BLOCK)):
        text = "".join(block)
        if not text.isascii():
            return None
        view[at : (at := at + len(text))] = text.encode("ascii")
    return whole, offsets


def _utf8(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _bytes(values: Values, depth: int) -> Column:
    return Bytes(*_joined(values))


def _joined(pieces: Values) -> tuple[Array, Array]:
    """Return the pieces concatenated, and where each begins."""
    offsets = _offsets(map(len, pieces), len(pieces))
    whole: Array = np.empty(int(offsets[-1]), "u1")
    view, at = memoryview(whole), 0
    for piece in pieces:
        view[at : (at := at + len(piece))] = piece
    return whole, offsets


def _none(values: Values, depth: int) -> Column:
    return Constant(None, len(values))


def _lists(values: Values, depth: int) -> Column | None:
    """Encode lists of numbers or text, or of such lists. Others are faster to unpickle."""
    offsets = _offsets(map(len, values), len(values))
    inner = Derived(lambda: chain.from_iterable(values), int(offsets[-1]))
    kinds = _types(inner)
    if len(kinds) > 1 or not {bool, int, float, str, list}.issuperset(kinds) or depth > _DEEPEST:
        return None
    column = _of_one(kinds[0], inner, depth + 1) if kinds else Numbers(np.empty(0))
    return None if isinstance(column, Objects) else Lists(column, offsets)


_ENCODERS: dict[type, Callable[[Values, int], Column | None]] = {
    bool: _numbers("?"),
    int: _ints,
    float: _numbers("f8"),
    complex: _numbers("c16"),
    str: _text,
    bytes: _bytes,
    type(None): _none,
    list: _lists,
}


def _scalars(kind: type, values: Values) -> Column | None:
    """Encode values of one NumPy type; those with a unit, a length or fields are left to pickle."""
    dtype = np.dtype(kind)
    if dtype.kind not in "biufc" or dtype.type is not kind:
        return None
    return Scalars(np.fromiter(values, dtype, len(values)))


def _items(keys: Iterable[Any], values: Values, depth: int) -> list[Column]:
    """Return a column for each of the keys, or positions."""
    return [_field(itemgetter(key), values, depth) for key in keys]


def _field(get: Callable[[Any], Any], values: Values, depth: int) -> Column:
    # A list: to find a field's values takes as long as all that is done with them then.
    return encode(list(map(get, values)), depth + 1)


def _instances(kind: type, names: list[str], values: Values, depth: int) -> Column:
    # Not attrgetter: a class may have a property of that name.
    states = Derived(lambda: map(vars, values), len(values))
    return Instances(kind, names, _items(names, states, depth), len(values))


def _fields_of(kind: type, values: Values) -> list[str]:
    """Return the fields of a class whose objects consist of these alone: a named tuple, or a
    dataclass that leaves pickling to ``object``. None for other classes."""
    names: list[str] = []
    if issubclass(kind, tuple):
        plain = kind.__reduce_ex__ is tuple.__reduce_ex__ and hasattr(kind, "_make")
        if plain and not hasattr(next(iter(values)), "__dict__"):
            names = list(getattr(kind, "_fields", ()))
    elif _is_plain(kind):
        declared: Any = kind
        names = [field.name for field in dataclasses.fields(declared)]
        if any(list(vars(value)) != names for value in values):
            return []
    return names if len(names) <= _MOST_FIELDS else []


def _is_plain(kind: type) -> bool:
    """Return True for a dataclass whose objects have all of their state in ``__dict__``."""
    *own, _ = kind.__mro__
    hooks = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
    return (
        dataclasses.is_dataclass(kind)
        and all(getattr(kind, hook, None) is getattr(object, hook, None) for hook in hooks)
        and all(cls.__flags__ & _HEAP_TYPE and "__slots__" not in vars(cls) for cls in own)
    )


def _union(kinds: list[Any], values: Values, depth: int) -> Column:
    number = {kind: at for at, kind in enumerate(kinds)}
    by_class = not any(type(kind) is tuple for kind in kinds)
    kind_of: Callable[[Any], Any] = type if by_class else _kind
    which = np.fromiter((number[kind_of(value)] for value in values), "u1", len(values))
    where = np.empty(len(values), "u4" if len(values) < 1 << 32 else "u8")
    columns = []
    for at, kind in enumerate(kinds):
        chosen = which == at
        count = int(chosen.sum())
        where[chosen] = np.arange(count)
        only = partial(_only, values, kind_of, kind)
        columns.append(_of_one(kind, Derived(only, count), depth + 1))
    return Union(which, where, columns)


def _only(values: Values, kind_of: Callable[[Any], Any], kind: Any) -> Iterator[Any]:
    return (value for value in values if kind_of(value) == kind)


def _objects(values: Values) -> Column:
    """Encode each value by pickling it, with the bytes of its arrays beside the streams."""
    streams: list[bytes] = []
    placed: dict[int, list[Any]] = {}
    buffers: list[bytes] = []
    end = 0
    for value in values:
        encoded = pickled(value, sealing=True)
        if encoded.plan is not None:
            placed[len(streams)], end = _placed(encoded, buffers, end)
        streams.append(encoded.stream())
    if not buffers:
        return Objects(*_joined(streams))
    pieces = [marshal.dumps((stream, placed.get(at, []))) for at, stream in enumerate(streams)]
    data: Array = np.empty(end, "u1")
    view, at = memoryview(data), 0
    for piece in buffers:
        view[at : at + len(piece)] = piece
        at += -(-len(piece) // ALIGN) * ALIGN
    return Buffered(*_joined(pieces), data)


def _placed(encoded: Encoded, buffers: list[bytes], end: int) -> tuple[list[Any], int]:
    """Append the bytes of a message's arrays; return where each is, and the new end."""
    assert encoded.plan is not None
    if any(entry.segment is not None for entry in encoded.plan.entries):
        raise Shared
    size, offsets = layout(encoded.plan)
    whole = bytearray(size)
    for offset, run in zip(offsets, encoded.plan.runs, strict=True):
        whole[offset : offset + run.size] = run.to_bytes()
    buffers.append(bytes(whole))
    entries = [(end + offsets[e.run] + e.offset, e.length, e.strides) for e in encoded.plan.entries]
    return entries, end + -(-size // ALIGN) * ALIGN
