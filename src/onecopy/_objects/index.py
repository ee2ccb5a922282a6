"""A hash table in flat arrays: from a key to its place, in any process, without a dict.

The hash of a key may not depend on PYTHONHASHSEED, which differs between processes, and equal
keys need equal hashes, as ``1``, ``1.0`` and ``True`` are one key of a dict. Numbers have such
a hash already; text and bytes get their CRC-32; tuples and frozensets are put together of these.
Every other class may define equality as it likes: such keys are looked up in a dict of just
these keys that each process makes at its first need.

The places are sorted by bucket, and an array says where each bucket begins ("chained hashing
with sorted chains"; it is the layout of a CSR matrix). There are as many buckets as keys, so
a bucket has one key on average, and the table takes 8 bytes per key.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any
from zlib import crc32

import numpy as np

from .building import Values
from .columns import Array

# 2**64 divided by the golden ratio: Knuth, The Art of Computer Programming, 6.4.
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class _NoStableHash(Exception):
    """A key whose class has its own idea of equality."""


def stable_hash(key: Any) -> int:
    """32 bits that are the same in every process, and for equal keys.

    Raises ``_NoStableHash`` for keys of which that cannot be known.
    """
    kind = type(key)
    if kind is str or isinstance(key, str):
        return crc32(str.encode(key, "utf-8", "surrogatepass"))
    if kind is int or isinstance(key, Number):
        return ((hash(key) * _GOLDEN) & _MASK) >> 32
    if isinstance(key, bytes):
        return crc32(key, 1)
    if key is None:
        return 0
    if isinstance(key, tuple):
        mixed = len(key)
        for part in key:
            mixed = ((mixed ^ stable_hash(part)) * _GOLDEN) & _MASK
        return mixed >> 32
    if isinstance(key, frozenset):
        mixed = sum(stable_hash(part) * _GOLDEN for part in key)
        return (mixed & _MASK) >> 32
    raise _NoStableHash


def _hashes(keys: Values) -> tuple[Array, list[int]]:
    """Of each key, and the places of the odd ones."""
    kinds = set(map(type, keys))
    if kinds and kinds <= {int, float, bool}:
        numbers = np.fromiter(map(hash, keys), "i8", len(keys)).view("u8")
        return ((numbers * np.uint64(_GOLDEN)) >> np.uint64(32)).astype("u4"), []
    odd: list[int] = []
    hashes = np.zeros(len(keys), "u4")
    for place, key in enumerate(keys):
        try:
            hashes[place] = stable_hash(key)
        except _NoStableHash:
            odd.append(place)
    return hashes, odd


class Index:
    """Where each key stands. Never changes once made; thread- and fork-safe.

    Args:
        starts: by bucket, where it begins in ``places``; one more at the end.
        places: of all keys, by bucket.
        odd: of the keys that are in no bucket.
    """

    __slots__ = ("_buckets", "_of_odd", "_places", "_starts", "arrays")

    def __init__(self, starts: Array, places: Array, odd: Array) -> None:
        self.arrays = (starts, places, odd)
        self._starts = memoryview(starts)
        self._places = memoryview(places)
        self._buckets = len(starts) - 1
        self._of_odd: dict[Any, int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Index, self.arrays

    def find(self, key: Any, get: Callable[[int], Any]) -> int:
        """The place of ``key`` among the keys that ``get`` gives; -1 when it is not there.

        Raises TypeError for a key that cannot be hashed.
        """
        try:
            bucket = (stable_hash(key) * self._buckets) >> 32
        except _NoStableHash:
            return self._find_odd(key, get)
        starts = self._starts
        for place in self._places[starts[bucket] : starts[bucket + 1]]:
            if get(place) == key:
                return place
        return -1

    def _find_odd(self, key: Any, get: Callable[[int], Any]) -> int:
        hash(key)  # a dict's own error for what cannot be hashed
        if self._of_odd is None:
            # Two threads may both make it; one of the two equal dicts stays.
            self._of_odd = {get(place): place for place in self.arrays[2].tolist()}
        return self._of_odd.get(key, -1)


def build(keys: Values) -> Index:
    """The table of keys that are all different."""
    hashes, odd = _hashes(keys)
    count = len(keys)
    code = "u4" if count < 1 << 32 else "u8"
    buckets = max(1, count)
    # A bucket by multiplication instead of division: Lemire, "Fast random integer generation
    # in an interval", 2019.
    bucket = ((hashes.astype("u8") * np.uint64(buckets)) >> np.uint64(32)).astype(code)
    places = np.argsort(bucket, kind="stable").astype(code)
    if odd:
        chained = np.ones(count, "?")
        chained[odd] = False
        places, bucket = places[chained[places]], bucket[chained]
    starts = np.zeros(buckets + 1, code)
    np.cumsum(np.bincount(bucket, minlength=buckets), out=starts[1:])
    return Index(starts, places, np.array(odd, code))
