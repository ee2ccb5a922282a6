"""A dict and a set in shared memory: ``SharedDict`` and ``SharedSet``."""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Set,
    ValuesView,
)
from itertools import islice
from typing import Any, TypeVar, overload

from .columns import Column
from .index import Index
from .sequences import SharedList

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class SharedDict(Mapping[K, V]):
    """A mapping encoded in one segment, with its hash table.

    ``onecopy.share`` makes one from a dict. A lookup computes one hash, decodes the keys of one
    bucket (one on average) and the value; no process builds a dict of it. Iteration follows the
    order of the dict. Each access decodes a new object, equal to the original and of the same type.

    Keys may be anything that can be hashed and pickled. Numbers, text, bytes, None, and tuples and
    frozensets of these are found through the table. Keys of other classes are kept in a dict of
    these keys that each process builds when it first looks one up; a key of such a class does not
    find an equal one of the former.

    Read-only. ``shared[key]`` of a missing key is 0 if it was made from a ``Counter``, and what the
    ``default_factory`` returns if it was made from a ``defaultdict``; it is not added. Thread- and
    fork-safe.
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_get_key", "_get_value", "_index", "_keys", "_missing", "_values")

    def __init__(self, index: Any, keys: Any, values: Any, missing: Any = None) -> None:
        # Created by ``share`` alone: not part of the public types.
        self._index: Index = index
        self._keys: Column = keys
        self._values: Column = values
        self._missing: Callable[[], V] | None = missing
        self._get_key = keys.getter()
        self._get_value = values.getter()

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedDict, (self._index, self._keys, self._values, self._missing)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: K) -> V:
        place = self._index.find(key, self._get_key)
        if place < 0:
            if self._missing is None:
                raise KeyError(key)
            return self._missing()
        return self._get_value(place)  # type: ignore[no-any-return]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """Return the value, or ``default`` if there is no such key, as of a dict."""
        place = self._index.find(key, self._get_key)
        return default if place < 0 else self._get_value(place)

    def __contains__(self, key: object) -> bool:
        return self._index.find(key, self._get_key) >= 0

    def __iter__(self) -> Iterator[K]:
        return iter(SharedList[K](self._keys))

    def __reversed__(self) -> Iterator[K]:
        return reversed(SharedList[K](self._keys))

    def keys(self) -> KeysView[K]:
        """Return the keys, as of a dict."""
        return KeysView(self)

    def values(self) -> ValuesView[V]:
        """Return the values, as of a dict, decoded one after another."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Return pairs of key and value, as of a dict, decoded one after another."""
        return _Items(self)

    def column(self) -> SharedList[V]:
        """Return the values as a sequence, in the order of the keys: numbers are one array."""
        return SharedList(self._values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{key!r}: {value!r}" for key, value in islice(self.items(), 3))
        more = f", ... {len(self)} in all" if len(self) > 3 else ""
        return f"SharedDict({{{shown}{more}}})"


class _Values(ValuesView[V]):
    _mapping: SharedDict[Any, V]

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping.column())


class _Items(ItemsView[K, V]):
    _mapping: SharedDict[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return zip(self._mapping, self._mapping.column(), strict=True)


class SharedSet(Set[K]):
    """A set encoded in one segment, with its hash table.

    ``onecopy.share`` makes one from a set or frozenset. The rules for keys of ``SharedDict`` apply
    to its elements. The operators (``&``, ``|``, ``-``, ``^``) return plain sets. Read-only,
    thread- and fork-safe.
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_get", "_index", "_keys")

    def __init__(self, index: Any, keys: Any) -> None:
        # Created by ``share`` alone: not part of the public types.
        self._index: Index = index
        self._keys: Column = keys
        self._get = keys.getter()

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedSet, (self._index, self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, value: object) -> bool:
        return self._index.find(value, self._get) >= 0

    def __iter__(self) -> Iterator[K]:
        return iter(SharedList[K](self._keys))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        return set(it)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 3)))
        more = f", ... {len(self)} in all" if len(self) > 3 else ""
        return f"SharedSet({{{shown}{more}}})"
