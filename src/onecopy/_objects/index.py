"""A hash table in flat arrays, from a key to its place: works in any process, without a dict.

The hash of a key must not depend on PYTHONHASHSEED, which differs between processes, and equal keys
need equal hashes: ``1``, ``1.0`` and ``True`` are one key of a dict. Numbers have such a hash
already; text and bytes get their CRC-32; the hashes of tuples and frozensets are composed of these.
Any other class may define equality as it likes: its keys are looked up in a dict of just these keys
that each process creates when first needed.

The places are sorted by bucket, and an array says where each bucket begins ("chained hashing with
sorted chains"; it is the layout of a CSR matrix). There are as many buckets as keys, so a bucket
has one key on average, and the table takes 8 bytes per key.
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
    """A key whose class may define equality in its own way."""


def stable_hash(key: Any) -> int:
    """Return 32 bits that are the same in every process, and for equal keys.

    Raises ``_NoStableHash`` for keys for which this cannot be guaranteed.
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
    """Return the hash of each key, and the places of keys without one."""
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
    """A table from keys to their places. Never changes; thread- and fork-safe.

    Args:
        starts: for each bucket, where it begins in ``places``; plus the end.
        places: of all keys, by bucket.
        odd: the places of keys that are in no bucket.
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
        """Return the place of ``key`` among the keys that ``get`` returns; -1 if it is not there.

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
        hash(key)  # the error that a dict raises for an unhashable key
        if self._of_odd is None:
            # Two threads may both create it; one of the two equal dicts stays.
            self._of_odd = {get(place): place for place in self.arrays[2].tolist()}
        return self._of_odd.get(key, -1)


def build(keys: Values) -> Index:
    """Build the table of keys that are all different."""
    hashes, odd = _hashes(keys)
    count = len(keys)
    code = "u4" if count < 1 << 32 else "u8"
    buckets = max(1, count)
    # The bucket by multiplication instead of division: Lemire, "Fast random integer generation in
    # an interval", 2019.
    bucket = ((hashes.astype("u8") * np.uint64(buckets)) >> np.uint64(32)).astype(code)
    places = np.argsort(bucket, kind="stable").astype(code)
    if odd:
        chained = np.ones(count, "?")
        chained[odd] = False
        places, bucket = places[chained[places]], bucket[chained]
    starts = np.zeros(buckets + 1, code)
    np.cumsum(np.bincount(bucket, minlength=buckets), out=starts[1:])
    return Index(starts, places, np.array(odd, code))
