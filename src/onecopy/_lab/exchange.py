"""One payload to another process and back, in six ways, from one byte to 100 MB.

A pipe and a queue pickle the payload, write it in pieces and read it in pieces: each byte is copied
four times or more. A manager's queue does so twice, since it lives in a third process. Shared
memory is copied into and out of, and a pipe carries the length.

And why a join may never return: ``Queue.put`` returns at once, since a thread of the process writes
to the pipe. The process does not end before that thread has written everything, and a pipe takes 64
KB. So joining it before the queue is drained is a deadlock: each waits for the other.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from statistics import median
from time import perf_counter
from typing import Any

from .._report.words import human_bytes, seconds
from ._frame.face import Claim, Curve, Data, Needs, Plot, Size, Table
from ._frame.narrate import say

QUESTION = "How long does a payload take to a process and back?"
ADVICE = (
    "Read first and join afterwards, or let a pool do both. Share what is large, and send "
    "slices of it."
)
SIZES = {
    "small": [1, 1_000, 100_000, 1_000_000],
    "full": [10**power for power in range(9)],
}
# Seconds per size and way, and the timeout of the join that hangs.
PACE = {"small": 0.02, "full": 1.0}
LIMIT = {"small": 2.0, "full": 3.0}

RoundTrip = Callable[[bytes], Any]
# Spawned, so that none inherits the threads and pipes of the way before it.
_context = multiprocessing.get_context("spawn")


def needs(size: Size) -> Needs:
    """Return the needs: a payload is in three processes at most, pickled and unpickled."""
    return Needs(memory=300_000_000 + 12 * max(SIZES[size]), seconds=8 if size == "small" else 90)


# The lesson. Each way starts its other process and gives a function: payload out, payload back.


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Another process, which ends by itself when it has been told to."""
    process = _context.Process(target=target, args=arguments)
    process.start()
    try:
        yield
    finally:
        process.join()


def _echo(receive: Callable[[], Any], send: Callable[[Any], None]) -> None:
    """Return every payload that comes, until None does; the other process."""
    for payload in iter(receive, None):
        send(payload)


@contextmanager
def pipe(largest: int) -> Iterator[RoundTrip]:
    """Use a connection: pickled, and written to a socket."""
    here, there = _context.Pipe()

    def round_trip(payload: bytes) -> Any:
        here.send(payload)
        return here.recv()

    with here, there, _process(_echo, there.recv, there.send):
        yield round_trip
        here.send(None)


def _put_and_get(there: Any, back: Any, payload: bytes) -> Any:
    there.put(payload)
    return back.get()


@contextmanager
def queue(largest: int) -> Iterator[RoundTrip]:
    """Two queues: a thread on each side pickles and writes to a pipe, behind a lock."""
    there, back = _context.Queue(), _context.Queue()
    with _process(_echo, there.get, back.put):
        yield partial(_put_and_get, there, back)
        there.put(None)
    for each in (there, back):
        each.close()
        each.join_thread()


@contextmanager
def simple_queue(largest: int) -> Iterator[RoundTrip]:
    """Two queues without the threads: a pipe and a lock."""
    there, back = _context.SimpleQueue(), _context.SimpleQueue()
    with _process(_echo, there.get, back.put):
        yield partial(_put_and_get, there, back)
        there.put(None)
    there.close()
    back.close()


@contextmanager
def manager_queue(largest: int) -> Iterator[RoundTrip]:
    """Use two queues in a third process, through which everything goes."""
    with _context.Manager() as manager:
        there, back = manager.Queue(), manager.Queue()
        with _process(_echo, there.get, back.put):
            yield partial(_put_and_get, there, back)
            there.put(None)


@contextmanager
def shared_memory(largest: int) -> Iterator[RoundTrip]:
    """Copied into a named segment by one and out of it by the other; a pipe says how much."""
    memory = SharedMemory(create=True, size=largest)
    buffer: Any = memory.buf
    here, there = _context.Pipe()

    def round_trip(payload: bytes) -> bytes:
        buffer[: len(payload)] = payload
        here.send(len(payload))
        return bytes(buffer[: here.recv()])

    try:
        with here, there, _process(_echo_memory, memory.name, there):
            yield round_trip
            here.send(None)
    finally:
        memory.close()
        memory.unlink()


def _echo_memory(name: str, there: Any) -> None:
    memory = SharedMemory(name)
    buffer: Any = memory.buf
    for size in iter(there.recv, None):
        payload = bytes(buffer[:size])
        buffer[:size] = payload
        there.send(size)
    memory.close()


# The cure. Its imports are here: each spawned process imports this module.


def same(payload: Any) -> Any:
    """Return the argument; the task."""
    return payload


@contextmanager
def onecopy(largest: int) -> Iterator[RoundTrip]:
    """Use a pool: large payloads go through recycled shared memory, small ones by socket."""
    with _pool() as pool:
        yield lambda payload: pool.apply(same, (payload,))


@contextmanager
def onecopy_array(largest: int) -> Iterator[RoundTrip]:
    """Use the same with an array, which the receiver uses in place."""
    import numpy as np

    with _pool() as pool:
        yield lambda payload: pool.apply(same, (np.frombuffer(payload, np.uint8),))


@contextmanager
def onecopy_shared(largest: int) -> Iterator[RoundTrip]:
    """Use the same with an array that was shared before: it is passed by reference."""
    import numpy as np

    import onecopy as oc

    shared: dict[int, Any] = {}

    def round_trip(payload: bytes) -> Any:
        if len(payload) not in shared:
            shared[len(payload)] = oc.share(np.frombuffer(payload, np.uint8))
        return pool.apply(same, (shared[len(payload)],))

    with _pool() as pool:
        yield round_trip


def _pool() -> Any:
    import onecopy as oc

    return oc.Pool(1, method="spawn")


VARIANTS: dict[str, Callable[[int], Any]] = {
    "Pipe": pipe,
    "Queue": queue,
    "SimpleQueue": simple_queue,
    "Manager().Queue": manager_queue,
    "SharedMemory": shared_memory,
    "onecopy, bytes": onecopy,
    "onecopy, array": onecopy_array,
    "onecopy, shared array": onecopy_shared,
}


def measure(way: str, sizes: list[int], pace: float) -> list[dict[str, Any]]:
    """Return one way's median round trip for each size, over about ``pace`` seconds each."""
    found: list[dict[str, Any]] = []
    with VARIANTS[way](max(sizes)) as round_trip:
        for size in sizes:
            payload = os.urandom(size)
            equal = bytes(round_trip(payload)) == payload  # and it warms up
            times: list[float] = []
            began = perf_counter()
            while not times or (perf_counter() - began < pace and len(times) < 1000):
                before = perf_counter()
                back = round_trip(payload)
                times.append(perf_counter() - before)
                equal = equal and len(back) == size
                del back
            found.append({"way": way, "size": size, "seconds": median(times), "equal": equal})
    say(f"{way}: {human_bytes(size)} and back in {median(times) * 1e3:,.3f} ms")
    return found


# The second lesson: joining before the queue is empty.


def pipe_size() -> int:
    """Return how many bytes a pipe takes before its writer must wait; usually 64 KB, pipe(7)."""
    ends = os.pipe()
    try:
        return fcntl.fcntl(ends[1], getattr(fcntl, "F_GETPIPE_SZ", 1032))
    finally:
        for end in ends:
            os.close(end)


def _put(size: int, queue: Any, has_put: Any) -> None:
    queue.put(b"x" * size)
    has_put.set()


def join_first(size: int, limit: float) -> dict[str, Any]:
    """Measure how long a join waits for a child that puts one payload into a queue and ends.

    Args:
        size: of the payload, in bytes.
        limit: how long the join before the first ``get`` may take, in seconds.
    """
    results, has_put = _context.Queue(), _context.Event()
    process = _context.Process(target=_put, args=(size, results, has_put))
    process.start()
    has_put.wait()  # so that the start of the interpreter is not part of the limit
    began = perf_counter()
    process.join(limit)
    hung, waited = process.is_alive(), perf_counter() - began
    received = len(results.get())
    process.join()
    results.close()
    return {
        "way": "Queue",
        "size": size,
        "hung": hung,
        "waited": waited,
        "received": received,
        "exit_code": process.exitcode,
    }


def join_first_onecopy(size: int) -> dict[str, Any]:
    """Repeat that with a pool: closed and joined before its result is fetched."""
    pool = _pool()
    future = pool.submit(bytes, size)
    began = perf_counter()
    pool.close()
    pool.join()
    waited = perf_counter() - began
    return {
        "way": "onecopy",
        "size": size,
        "hung": False,
        "waited": waited,
        "received": len(future.result()),
        "exit_code": 0,
    }


def run(size: Size) -> Data:
    """Run every way with every size; then the join, with payloads that fit into a pipe or not."""
    pipe = pipe_size()
    payloads = (pipe // 2, 2 * pipe) if size == "small" else (1, pipe // 2, 2 * pipe, 10**8)
    trips = [each for way in VARIANTS for each in measure(way, SIZES[size], PACE[size])]
    joins = [join_first(payload, LIMIT[size]) for payload in payloads]
    joins.append(join_first_onecopy(payloads[-1]))
    return {"pipe": pipe, "limit": LIMIT[size], "trips": trips, "joins": joins}


def table(data: Data) -> list[Table]:
    """Round trips as time and as MB/s, and the joins."""
    sizes = sorted({each["size"] for each in data["trips"]})
    shown = [size for size in sizes if size in (1, 1_000, 100_000, sizes[-1])]
    trips = {(each["way"], each["size"]): each["seconds"] for each in data["trips"]}
    head = ("way", *(human_bytes(size) for size in shown))
    ours = [at for at, way in enumerate(VARIANTS) if way.startswith("onecopy")]
    times = [(way, *(seconds(trips[way, size]) for size in shown)) for way in VARIANTS]
    rates = [(way, *(rate(size, trips[way, size]) for size in shown)) for way in VARIANTS]
    joins = [
        (
            each["way"],
            human_bytes(each["size"]),
            f"not within {data['limit']:g} s" if each["hung"] else "yes",
            human_bytes(each["received"]),
        )
        for each in data["joins"]
    ]
    return [
        Table(head, times, "A payload to another process and back: median", strong=ours),
        Table(
            head,
            rates,
            "The same as MB/s, counting the payload once for each direction",
            note="shared array: it was shared before, so only its address is sent.",
            strong=ours,
        ),
        Table(
            ("way", "payload", "join returns", "received then"),
            joins,
            f"Joined before its result is fetched; a pipe takes {data['pipe']:,} bytes",
            strong=(len(joins) - 1,),
        ),
    ]


def rate(size: int, taken: float) -> str:
    """MB/s of both directions together."""
    value = 2 * size / taken / 1e6
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def picture(data: Data) -> Plot:
    """Flat as long as the round trip itself is what takes the time, then straight up."""
    curves = []
    for way in VARIANTS:
        trips = [each for each in data["trips"] if each["way"] == way]
        points = [(float(each["size"]), each["seconds"] * 1e3) for each in trips]
        curves.append(Curve(way, points))
    return Plot(curves, "payload, bytes", "ms", log_x=True, log_y=True, title="Round trips")


def claims(data: Data) -> list[Claim]:
    """That the join hangs is certain; which way is faster is not."""
    hung = [each["size"] for each in data["joins"] if each["hung"]]
    *joins, ours = data["joins"]
    largest = max(each["size"] for each in data["trips"])
    trips = {each["way"]: each["seconds"] for each in data["trips"] if each["size"] == largest}
    fastest = min(VARIANTS, key=lambda way: trips[way])
    well = sum(each["exit_code"] == 0 and each["received"] == each["size"] for each in joins)
    return [
        Claim(
            f"The pipe holds {data['pipe']:,} bytes. Joined before their queue was emptied, processes "
            f"hung with {', '.join(human_bytes(size) for size in hung)} in it.",
            all(each["hung"] == (each["size"] > data["pipe"]) for each in joins),
            certain=True,
            expected="those that are larger than the pipe",
        ),
        Claim(
            f"Once its queue is read, a process ends well, with all it had to say: {well} of "
            f"{len(joins)}.",
            well == len(joins),
            certain=True,
            expected="all",
        ),
        Claim(
            f"A pool of onecopy, joined first and read afterwards, gives "
            f"{human_bytes(ours['received'])}.",
            ours["received"] == ours["size"],
            certain=True,
            expected=f"all {human_bytes(ours['size'])}",
        ),
        Claim(
            f"{sum(each['equal'] for each in data['trips'])} of {len(data['trips'])} payloads came back "
            "as they were sent.",
            all(each["equal"] for each in data["trips"]),
            certain=True,
            expected="all",
        ),
        Claim(
            f"A manager's queue takes {trips['Manager().Queue'] / trips['Pipe']:.1f} times as long "
            f"as a pipe with {human_bytes(largest)}.",
            trips["Manager().Queue"] > 1.5 * trips["Pipe"],
            certain=False,
            expected="more than 1.5 times",
        ),
        Claim(
            f"With {human_bytes(largest)} the fastest is {fastest}: "
            f"{trips['Pipe'] / trips[fastest]:,.0f} times as fast as a pipe.",
            fastest.startswith("onecopy"),
            certain=False,
            expected="a way of onecopy",
        ),
    ]
