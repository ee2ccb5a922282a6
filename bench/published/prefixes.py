"""Documents of random words, and workers that count their prefixes: for two benchmarks.

A worker keeps its counts in a global; at the end each gives the prefixes that it has seen more than
three times, and the owner joins these sets. As both authors note, that is not the true answer over
all documents: it stands for work with a state. Put right here: every peer keeps the state in its
workers (the originals pass it back and forth, or keep it in a manager's process, for those that they
do not argue for), and the number of documents counted is checked.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from functools import cache

import numpy as np

from .peers import Mapper

Document = list[bytes]


class State:
    """A worker's."""

    documents = 0
    counts: dict[bytes, int] = defaultdict(int)  # noqa: RUF012  # one for the process, on purpose


@cache
def documents(count: int, words: int, more: int = 0) -> list[Document]:
    """Made once. The first, third, ... have ``more`` words more, the others as many less."""
    random = np.random.default_rng(42)
    lengths = [words + (more if at % 2 == 0 else -more) for at in range(count)]
    return [[random.bytes(20) for _ in range(length)] for length in lengths]


def add(document: Document) -> int:
    """The task."""
    counts = State.counts
    for word in document:
        for end in range(1, len(word)):
            counts[word[:end]] += 1
    State.documents += 1
    return os.getpid()


def take(_: int) -> tuple[int, set[bytes]]:
    """The last task: what this worker has counted since it was asked before."""
    time.sleep(0.001)  # a turn for the others
    found = State.documents, {prefix for prefix, count in State.counts.items() if count > 3}
    State.documents = 0
    State.counts.clear()
    return found


def popular(mapper: Mapper, given: list[Document], workers: int) -> set[bytes]:
    """All of it: every document, then from each worker what it has."""
    mapper.singly(add, given)
    missing, found = len(given), set[bytes]()
    while missing:
        for number, prefixes in mapper.singly(take, range(2 * workers)):
            missing -= number
            found |= prefixes
    assert len(found) >= 256
    return found
