"""B12. alex-petrenko/faster-fifo: small dicts from 1 producer to 1 consumer, and to 20.

200,000 dicts to one consumer, 1,000,000 to twenty (a twentieth of that in a small run). The
original compares queues. A pool is a queue whose messages are answered, so here a message is an
item of ``map``, and the owner is the producer; ``multiprocessing.Queue`` between processes stands
beside them as in the original, in which each process sends or receives by itself. Put right: the
time ends when the last message has arrived, not when it has been put. dask and Ray, which take a
millisecond for each, send a hundredth of the messages: all figures are per message.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Size, plain
from . import peers
from .peers import Mapper

QUEUE = "multiprocessing.Queue"
# Consumers: messages.
COUNTS = {1: 200_000, 20: 1_000_000}
SLOW = (peers.DASK, peers.RAY)


def message(number: int) -> dict[str, Any]:
    return {"a": number, "b": "text", "c": 3.5}


def consume(given: dict[str, Any]) -> int:
    """The task."""
    return int(given["a"])


def _drain(queue: Any, count: int, done: Any) -> None:
    """A consumer's process."""
    for _ in range(count):
        consume(queue.get())
    done.put(None)


@contextmanager
def _queue(consumers: int, count: int) -> Iterator[Sample]:
    context = multiprocessing.get_context("fork")

    def sample() -> float:
        queue, done = context.Queue(), context.Queue()
        share = count // consumers
        receivers = [
            context.Process(target=_drain, args=(queue, share, done)) for _ in range(consumers)
        ]
        for one in receivers:
            one.start()
        start = time.perf_counter()
        for number in range(share * consumers):
            queue.put(message(number))
        for _ in receivers:
            done.get()
        taken = time.perf_counter() - start
        for one in receivers:
            one.join()
        return taken / (share * consumers)

    yield sample


def _sample(mapper: Mapper, given: list[dict[str, Any]]) -> float:
    start = time.perf_counter()
    results = mapper.map(consume, given)
    taken = time.perf_counter() - start
    assert results[-1] == len(given) - 1
    return taken / len(given)


def _name(name: str, consumers: int) -> str:
    return f"{name}, 1 to {consumers}"


def _pool_sample(name: str, consumers: int, total: int) -> float:
    """By a pool that is made for it, and has answered before."""
    with peers.OPEN[name](consumers, None) as mapper:
        _sample(mapper, [message(at) for at in range(10 * consumers)])
        return _sample(mapper, [message(at) for at in range(total)])


def _of(consumers: int, total: int) -> list[Contender]:
    """Each peer, opened for each sample: some can be open only once."""
    return [
        Contender(
            _name(name, consumers),
            lambda n=name: plain(
                lambda: _pool_sample(n, consumers, total // 100 if n in SLOW else total)
            ),
            warm=0,
        )
        for name in peers.OPEN
        if peers.installed(name)
    ]


def contenders(size: Size) -> list[Contender]:
    found = []
    for consumers, total in COUNTS.items():
        count = total if size.full else total // 20
        queue = Contender(_name(QUEUE, consumers), lambda n=consumers, c=count: _queue(n, c))
        found += [queue, *_of(consumers, count)]
    return found


def bars(_: Size) -> list[Bar]:
    (bar,) = peers.ahead("a small dict as a message")
    return [
        replace(
            bar,
            text=f"a small dict as a message, 1 to {consumers}, of the best of theirs",
            ours=(_name(pools.ONECOPY, consumers),),
            theirs=tuple(_name(name, consumers) for name in (*bar.theirs, QUEUE)),
        )
        for consumers in COUNTS
    ]


FIGURE = Figure(
    "messages",
    "B12, faster-fifo: small dicts from one producer; seconds for each, answered",
    contenders,
    bars,
    rounds=3,
)
