"""The arguments of map that are looked at, and the notes of them."""

from __future__ import annotations

from typing import Any

import pytest

from onecopy._doctor.inside import eager, kinds, ring


class Pool:
    """Something with a ``map`` that makes a list."""

    _queue_count = 0

    def map(self, fn: Any, *iterables: Any, **kwargs: Any) -> list[Any]:
        """Call ``fn``."""
        found = [fn(*each) for each in zip(*iterables, strict=True)]
        self._queue_count += len(found)
        return found


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    monkeypatch.setattr(ring, "note", lambda *words: rows.append(words))
    return rows


@pytest.mark.parametrize(
    ("iterables", "options", "items"),
    [
        (([1, 2],), {}, 0),
        ((range(3),), {}, 0),
        ((iter(range(3)),), {}, 3),
        (([1, 2], (n for n in range(2))), {}, 2),
        ((iter(range(3)),), {"buffersize": 4}, 0),
        ((iter(range(3)),), {"buffersize": None}, 3),
    ],
)
def test_what_has_no_length_is_noted(
    monkeypatch: pytest.MonkeyPatch, iterables: Any, options: dict[str, Any], items: int
) -> None:
    rows = noted(monkeypatch)

    class Ours(Pool):
        """A class of its own, for each hook."""

    eager.watch_executor(Ours, kinds.EXECUTOR)
    found = Ours().map(lambda *values: values, *iterables, **options)
    assert len(found) >= 2
    assert [row[3] for row in rows if row[0] == kinds.EAGER] == ([items] if items else [])


def test_the_error_of_an_iterator_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = noted(monkeypatch)

    class Ours(Pool):
        """A class of its own."""

    def fails() -> Any:
        yield 1
        raise KeyError("theirs")

    eager.watch_executor(Ours, kinds.EXECUTOR)
    with pytest.raises(KeyError, match="theirs") as caught:
        Ours().map(str, fails())
    files = [str(each.path) for each in caught.traceback]
    assert not any(file.endswith("guard.py") for file in files)
    assert rows == []
