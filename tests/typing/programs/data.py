"""The types that ``share`` and the other calls of the data plane give."""

from collections import Counter
from collections.abc import ItemsView
from dataclasses import dataclass
from typing import Any, NamedTuple, assert_type

import numpy as np
from numpy.typing import NDArray

import onecopy as oc


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Record:
    number: int


Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def certain(array: Floats, point: Point, record: Record, read: bytearray) -> None:
    assert_type(oc.share(array), Floats)
    assert_type(oc.share(point), Point)
    assert_type(oc.share(record), Record)
    assert_type(oc.share(range(3)), range)
    assert_type(oc.share(b"bytes"), memoryview)
    assert_type(oc.share(read), memoryview)
    assert_type(oc.share("text"), oc.SharedText | str)
    assert_type(oc.share([1, 2]), oc.SharedList[int])
    assert_type(oc.share((1, 2)), oc.SharedList[int])
    assert_type(oc.share({"a": 1.5}), oc.SharedDict[str, float])
    assert_type(oc.share(Counter("abc")), oc.SharedDict[str, int])
    assert_type(oc.share({1, 2}), oc.SharedSet[int])
    assert_type(oc.share(frozenset([1, 2])), oc.SharedSet[int])


def of_arrays(arrays: list[Floats], named: dict[str, Floats], pair: tuple[Floats, Floats]) -> None:
    assert_type(oc.share(arrays), list[Floats])
    assert_type(oc.share(named), dict[str, Floats])
    assert_type(oc.share(pair), tuple[Floats, Floats])
    oc.share(arrays).append(arrays[0])


def likely(words: list[str], people: list[dict[str, str | int]], by: dict[str, Record]) -> None:
    shared = oc.share(people)
    assert_type(shared, oc.SharedList[dict[str, str | int]] | Any)
    shared.column("born")
    shared.append({})  # error: union-attr | reportAttributeAccessIssue
    for word in oc.share(words):
        assert_type(word, str | Any)
    oc.share(by)["a"] = Record(1)  # error: index | reportIndexIssue
    assert_type(oc.share({"a", "b"}), oc.SharedSet[str] | Any)


def unknown(value: Any, values: list[Any], named: dict[str, Any]) -> None:
    assert_type(oc.share(value), Any)
    assert_type(oc.share(values), Any)
    assert_type(oc.share(named), Any)


def structures(counts: oc.Counter, log: oc.AppendLog, numbers: oc.SharedList[int]) -> None:
    assert_type(counts.value, int)
    assert_type(counts.items(), ItemsView[str, int])
    assert_type(numbers[0], int)
    assert_type(numbers[1:], oc.SharedList[int])
    assert_type(numbers.tolist(), list[int])
    log.append(1)
    numbers.append(1)  # error: attr-defined | reportAttributeAccessIssue
    numbers[0] = 1  # error: index | reportIndexIssue
    {numbers}  # error: - | reportUnhashable


def arrays(array: Floats) -> None:
    assert_type(oc.private(array), Floats)
    assert_type(oc.freeze(array), Floats)
    assert_type(oc.zeros((2, 3), "f4"), NDArray[Any])
    assert_type(oc.zeros(3), NDArray[np.float64])
    assert_type(oc.zeros(3, np.int8), NDArray[np.int8])
    assert_type(oc.empty(3), NDArray[np.float64])
    assert_type(oc.empty((2, 3), array.dtype), NDArray[np.float64])
    assert_type(oc.empty(3, [("x", "f8"), ("y", "i4")]), NDArray[Any])
    assert_type(oc.full(3, 7, np.uint16), NDArray[np.uint16])
    assert_type(oc.full((2, 3), 0.5), NDArray[Any])
    assert_type(oc.is_shared(array), bool)
    assert_type(oc.segments()[0].nbytes, int)
    assert_type(oc.memory().processes[0].pss, int)
    oc.private([1])  # error: type-var | reportArgumentType
    oc.empty("two")  # error: call-overload | reportArgumentType
    oc.load(3)  # error: arg-type | reportArgumentType
    oc.load("x.csv", bad_rows="drop")  # error: arg-type | reportArgumentType
    oc.scan("x.csv", bad_rows="collect")  # error: arg-type | reportArgumentType
