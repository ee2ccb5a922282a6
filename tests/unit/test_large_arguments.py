"""The kind of large arguments is found without a look at every value in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onecopy._engine.large_arguments import _values


class Looked(list[int]):
    """A list that counts how many of its values are looked at."""

    seen = 0

    def __iter__(self) -> Iterator[int]:
        for value in super().__iter__():
            self.seen += 1
            yield value


def test_long_lists_are_not_walked_through() -> None:
    table = Looked(range(100_000))
    assert _values([(table, 1), (table, 2)]) == []
    assert table.seen < 100


def test_arrays_beside_long_lists_are_found() -> None:
    array = np.ones(3)
    for item in ((Looked(range(1000)), array), {"a": {"b": array}}, [[array], Looked(range(10))]):
        [found] = _values([item])
        assert found is array
