"""The programs: each is called with its cure applied, or without.

Where a fault is about who waits for whom, tasks sleep: what else the machine does is then
no part of the fault.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

import onecopy as oc
from tests.arrays import Array

Make = Callable[..., oc.Pool]
Body = Callable[[Make, bool], object]

MB = 1_000_000


@dataclass(frozen=True)
class Program:
    """See the module.

    Attributes:
        name: its function's.
        fault: the kind of advice that has to come first; "" when nothing is wrong.
        judged: what the cure saves: ``wall``, ``cpu``, ``memory``; "" when that is no figure.
        body: called with what makes a pool, and whether the cure is applied.
        needs: modules without which it cannot be run.
        environment: variables of its process, while it is faulty.
    """

    name: str
    fault: str
    judged: str
    body: Body
    needs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


PROGRAMS: dict[str, Program] = {}


def program(
    fault: str, judged: str = "wall", needs: tuple[str, ...] = (), **environment: str
) -> Callable[[Body], Body]:
    """Makes a program of a function."""

    def enter(body: Body) -> Body:
        name: str = body.__name__
        PROGRAMS[name] = Program(name, fault, judged, body, needs, tuple(environment.items()))
        return body

    return enter


# What tasks do.


def spin(seconds: float) -> float:
    """Computes for so long, by the CPU's clock."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return seconds


def spin_item(item: int) -> int:
    spin(0.02)
    return item


def total(data: Array) -> float:
    return float(data.sum())


def tiny(item: int) -> int:
    return item


# Imports.


@program("importing", "cpu", ("pandas",))
def import_to_unpack(make: Make, cured: bool) -> None:
    import pandas as pd

    df = oc.share(pd.DataFrame({"x": range(100_000)}))
    with make(2, preload=["pandas"] if cured else []) as pool:
        pool.map(lambda i: int(df["x"].iloc[i]), range(8), chunksize=1)


@program("importing", "cpu", ("pandas",))
def import_inside(make: Make, cured: bool) -> None:
    def task(item: int) -> int:
        import pandas as pd

        spin(0.01)
        return len(pd.Series([item]))

    with make(2, preload=["pandas"] if cured else []) as pool:
        pool.map(task, range(20), chunksize=1)


# What is copied.


@program("frames", needs=("pandas",))
def groups(make: Make, cured: bool) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": rng.integers(0, 8, 8_000_000), "x": np.arange(8e6)})
    df = oc.share(frame)
    # Groups copy the frame once, and sorting does: neither is in the time of the pool.
    parts = [part for _, part in df.groupby("k")]
    ordered = frame.sort_values("k", ignore_index=True)
    with make(2, preload=["pandas"]) as pool:
        pool.map(len, [[0]] * 2)
        if cured:
            df = oc.share(ordered)
            bounds = np.searchsorted(df["k"].to_numpy(), np.arange(9)).tolist()
            parts = [df.iloc[i:j] for i, j in itertools.pairwise(bounds)]
        for _ in range(8):
            pool.map(lambda part: float(part["x"].sum()), parts, chunksize=1)


@program("slices")
def slices(make: Make, cured: bool) -> None:
    x = np.ones(20 * MB)
    with make(2) as pool:
        pool.map(tiny, range(4))
        if cured:
            x = oc.share(x)
        for _ in range(12):
            pool.map(total, np.array_split(x, 40))


@program("same")
def same_array(make: Make, cured: bool) -> None:
    x = np.ones(4 * MB)
    with make(2) as pool:
        pool.map(tiny, range(4))
        if cured:
            x = oc.share(x)
        wait([pool.submit(lambda data, i: float(data[i]), x, i) for i in range(40)])


@program("same")
def same_array_in_short_tasks(make: Make, cured: bool) -> None:
    x = np.ones(2 * MB)
    with make(2) as pool:
        pool.map(tiny, range(4))
        if cured:
            x = oc.share(x)
        pool.map(len, [x] * 200, chunksize=1)


@program("same frame", needs=("pandas",))
def same_frame(make: Make, cured: bool) -> None:
    import pandas as pd

    df = pd.DataFrame({"k": np.arange(MB), "x": np.ones(MB)})
    with make(2, preload=["pandas"]) as pool:
        pool.map(tiny, range(4))
        if cured:
            df = oc.share(df)
        pool.map(len, [df] * 200, chunksize=1)


@program("same frame", needs=("pandas",))
def same_frame_in_pairs(make: Make, cured: bool) -> None:
    import pandas as pd

    df = pd.DataFrame({"k": np.arange(MB), "x": np.ones(MB)})
    with make(2, preload=["pandas"]) as pool:
        pool.map(tiny, range(4))
        if cured:
            df = oc.share(df)
        wait([pool.submit(lambda k, frame: k + len(frame), k, df) for k in range(100)])


@program("pieces", needs=("pandas",))
def pieces_of_a_frame(make: Make, cured: bool) -> None:
    import pandas as pd

    df = pd.DataFrame({"k": np.arange(4 * MB), "x": np.ones(4 * MB)})
    with make(2, preload=["pandas"]) as pool:
        pool.map(tiny, range(4))
        if cured:
            df = oc.share(df)
        parts = [df.iloc[at : at + MB // 2] for at in range(0, 4 * MB, MB // 20)]
        pool.map(lambda part: len(part), parts, chunksize=1)


@program("same")
def one_bad_call(make: Make, cured: bool) -> None:
    x, good = np.ones(4 * MB), oc.share(np.ones(4 * MB))
    with make(2) as pool:
        pool.map(time.sleep, [0.02] * 4)
        pool.map(total, np.array_split(good, 100))
        if cured:
            x = oc.share(x)
        wait([pool.submit(lambda data, i: float(data[i]), x, i) for i in range(40)])
        pool.map(time.sleep, [0.02] * 4)


@program("unpacking", needs=("pandas",))
def main_imports_for_results(make: Make, cured: bool) -> None:
    def table(item: int) -> Any:
        import pandas as pd

        return pd.DataFrame({"x": [item]})

    if cured:
        import pandas  # noqa: F401
    with make(2, preload=["pandas"]) as pool:
        pool.map(table, range(8), chunksize=1)


# How work is dealt out.


@program("small")
def tiny_tasks(make: Make, cured: bool) -> None:
    with make(2) as pool:
        pool.map(tiny, range(4))
        if cured:
            pool.map(tiny, range(30_000))
        else:
            wait([pool.submit(tiny, i) for i in range(30_000)])


@program("small")
def chunks_of_one(make: Make, cured: bool) -> None:
    with make(2) as pool:
        pool.map(tiny, range(4))
        pool.map(tiny, range(30_000), chunksize=None if cured else 1)


@program("chunks")
def large_chunks(make: Make, cured: bool) -> None:
    with make(2) as pool:
        pool.map(time.sleep, [0.02] * 40, chunksize=None if cured else 32)


@program("straggler")
def straggler(make: Make, cured: bool) -> None:
    items = [0.02] * 40 + [0.8]
    with make(2) as pool:
        pool.map(time.sleep, items[::-1] if cured else items, chunksize=1)


@program("few")
def few_tasks(make: Make, cured: bool) -> None:
    with make(4) as pool:
        pool.map(time.sleep, [0.05] * 40 if cured else [0.4] * 5, chunksize=1)


@program("one-by-one")
def apply_in_a_loop(make: Make, cured: bool) -> None:
    with make(2) as pool:
        if cured:
            pool.map(time.sleep, [0.02] * 40, chunksize=1)
        else:
            for _ in range(40):
                pool.apply(time.sleep, (0.02,))


@program("one-by-one")
def lock_among_threads(make: Make, cured: bool) -> None:
    lock = threading.Lock()
    with make(2) as pool, ThreadPoolExecutor(4) as threads:

        def ask(seconds: float) -> None:
            with contextlib.nullcontext() if cured else lock:
                pool.apply(time.sleep, (seconds,))

        list(threads.map(ask, [0.02] * 40))


# What the main process does meanwhile.


@program("iterable")
def slow_generator(make: Make, cured: bool) -> None:
    def items() -> Iterator[int]:
        for item in range(60):
            if not cured:
                time.sleep(0.05)
            yield item

    def task(item: int) -> int:
        if cured:
            time.sleep(0.05)
        spin(0.002)
        return item

    with make(2) as pool:
        pool.map(tiny, range(4))
        list(pool.imap(task, items(), chunksize=1))


@program("callbacks")
def slow_callback(make: Make, cured: bool) -> None:
    def after(_: object) -> None:
        time.sleep(0.03)

    def task(item: int) -> int:
        spin(0.002)
        if cured:
            after(item)
        return item

    with make(2) as pool:
        pool.map(tiny, range(4))
        tasks = [
            pool.apply_async(task, (item,), callback=None if cured else after) for item in range(40)
        ]
        for each in tasks:
            each.wait()


@program("callbacks")
def slow_reduce(make: Make, cured: bool) -> None:
    def combine(one: float, other: float) -> float:
        if not cured:
            time.sleep(0.02)
        return one + other

    def block(data: Array) -> float:
        spin(0.002)
        if cured:
            time.sleep(0.02)
        return float(data.sum())

    x = oc.share(np.ones(40_000))
    with make(2) as pool:
        pool.map(tiny, range(4))
        pool.map_blocks(block, x, block=1000, reduce=combine)


@program("handlers")
def slow_handler(make: Make, cured: bool) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not cured:
                time.sleep(0.04)

    def task(item: int) -> int:
        spin(0.005)
        logging.getLogger("truth").warning("item %d", item)
        return item

    logger = logging.getLogger("truth")
    logger.addHandler(Slow())
    logger.propagate = False
    with make(2) as pool:
        pool.map(tiny, range(4))
        pool.map(task, range(40), chunksize=1)


# Functions that wait.


@program("pausing")
def sleeps(make: Make, cured: bool) -> None:
    with make(8 if cured else 2) as pool:
        pool.map(time.sleep, [0.1] * 24, chunksize=1)


@program("pausing")
def network(make: Make, cured: bool) -> None:
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = server.getsockname()

    def answer(client: socket.socket) -> None:
        with client:
            client.recv(16)
            time.sleep(0.1)
            client.sendall(b"answer")

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()

    def fetch(item: int) -> bytes:
        with socket.create_connection(address) as client:
            client.sendall(b"%d" % item)
            return client.recv(16)

    with make(8 if cured else 2) as pool:
        pool.map(fetch, range(24), chunksize=1)
    server.shutdown(socket.SHUT_RDWR)
    server.close()


# More workers may or may not be of use to a disk, and it is unknown by how much.
@program("pausing", "")
def disk(make: Make, cured: bool) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:

        def store(item: int) -> int:
            with open(f"{folder}/{item}", "wb") as file:
                for _ in range(60):
                    file.write(bytes(100_000))
                    file.flush()
                    os.fsync(file.fileno())
            return item

        with make(8 if cured else 2) as pool:
            pool.map(store, range(24), chunksize=1)


# Too much of something.


@program("workers", "memory")
def too_many_workers(make: Make, cured: bool) -> None:
    cpus = len(os.sched_getaffinity(0))
    with make(cpus if cured else 4 * cpus) as pool:
        pool.map(spin_item, range(100), chunksize=1)


@program("threads", "", OMP_NUM_THREADS="8", OPENBLAS_NUM_THREADS="8", MKL_NUM_THREADS="8")
def native_threads(make: Make, cured: bool) -> None:
    x = oc.share(np.ones((1200, 1200)))
    with make(2) as pool:
        pool.map(lambda _: float((x @ x).sum()), range(12), chunksize=1)


@program("growth", "memory")
def memory_pressure(make: Make, cured: bool) -> None:
    kept: list[Array] = []

    def task(item: int) -> int:
        data = np.full(3 * MB, float(item))
        spin(0.03)
        if not cured:
            kept.append(data)
        return item

    with make(2) as pool:
        pool.map(task, range(40), chunksize=1)


@program("replaced")
def replaced_workers(make: Make, cured: bool) -> None:
    with make(2, maxtasksperchild=None if cured else 1) as pool:
        pool.map(spin_item, range(30), chunksize=1)


@program("pools", "")
def pool_per_call(make: Make, cured: bool) -> None:
    del cured
    for _ in range(4):
        with make(2) as pool:
            pool.map(spin_item, range(8), chunksize=1)


# What goes wrong.


@program("failed", "")
def failures(make: Make, cured: bool) -> None:
    def task(item: int) -> int:
        if item % 10 == 3 and not cured:
            raise ValueError(f"bad {item}")
        time.sleep(0.005)
        return item

    with make(2) as pool, contextlib.suppress(ValueError):
        pool.map(task, range(100), chunksize=1)


@program("lost", "")
def killed(make: Make, cured: bool) -> None:
    def task(item: int) -> int:
        if item == 7 and not cured:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.005)
        return item

    with make(2) as pool:
        wait([pool.submit(task, item) for item in range(40)])


# Nothing at all.


@program("", "")
def large_results(make: Make, cured: bool) -> None:
    """A large array is copied once, by its worker. To write it in place costs as much: 0.02 to 0.04 s
    of 0.2 s was gained by that, for pages that all share are filled in both ways."""
    del cured

    def make_one(item: int) -> Array:
        return np.full(5 * MB, float(item))

    with make(2) as pool:
        pool.map(tiny, range(4))
        pool.map(make_one, range(12), chunksize=1)


@program("", "")
def good_map(make: Make, cured: bool) -> None:
    with make(2) as pool:
        pool.map(spin_item, range(30))


@program("", "")
def good_slices(make: Make, cured: bool) -> None:
    x = oc.share(np.random.default_rng(0).random(4 * MB))
    with make(2) as pool:
        parts = [x[i : i + MB // 4] for i in range(0, 4 * MB, MB // 4)]
        for future in [pool.submit(lambda part: float(np.sort(part)[0]), each) for each in parts]:
            future.result()


@program("", "")
def good_imap(make: Make, cured: bool) -> None:
    with make(2) as pool:
        for _ in pool.imap_unordered(spin_item, range(60)):
            pass


@program("", "")
def good_blocks(make: Make, cured: bool) -> None:
    def block(data: Array) -> float:
        spin(0.02)
        return float(data.sum())

    x = oc.share(np.ones(600_000))
    with make(2) as pool:
        pool.map_blocks(block, x, block=10_000, reduce="sum")


@program("", "")
def good_calls(make: Make, cured: bool) -> None:
    with make(2) as pool:
        for _ in range(5):
            pool.map(spin_item, range(12))


@program("", "")
def good_threads(make: Make, cured: bool) -> None:
    x = np.random.default_rng(0).random((24, MB // 2))
    with make(2, method="thread") as pool:
        pool.map(np.sort, x, chunksize=1)


@program("", "")
def good_short(make: Make, cured: bool) -> None:
    with make(2) as pool:
        pool.map(tiny, range(100))


@program("", "")
def good_programs(make: Make, cured: bool) -> None:
    source = "import time\nwhile time.process_time() < 0.05: pass"

    def start(item: int) -> int:
        return subprocess.run([sys.executable, "-S", "-c", source], check=True).returncode + item

    with make(2) as pool:
        pool.map(start, range(12), chunksize=1)
