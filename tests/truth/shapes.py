"""More programs, in other shapes: objects that are no arrays, coroutines, groups, callbacks."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait

import numpy as np

import onecopy as oc
from tests.arrays import Array
from tests.truth.programs import PROGRAMS, Make, program, spin, spin_item, tiny

__all__ = ["PROGRAMS"]  # those of programs, too


def entry(table: Sequence[int], at: int) -> int:
    return table[at]


@program("objects")
def same_list(make: Make, cured: bool) -> None:
    table: Sequence[int] = list(range(500_000))
    with make(2) as pool:
        pool.map(tiny, range(4))
        if cured:
            table = oc.share(table)
        wait([pool.submit(entry, table, at) for at in range(60)])


# The gain depends on the CPUs that are free for the main process, which unpacks meanwhile: with 2 CPUs
# 0.1 to 0.3 s were saved of 0.15 to 0.25 that were expected.
@program("objects back", "")
def lists_of_numbers_as_results(make: Make, cured: bool) -> None:
    def squares(item: int) -> object:
        numbers = np.arange(300_000) * item
        listed = numbers.tolist()  # the function itself takes as long with the cure
        return numbers if cured else listed

    with make(2) as pool:
        pool.map(tiny, range(4))
        pool.map(squares, range(24), chunksize=1)


@program("straggler")
def straggler_in_the_last_chunk(make: Make, cured: bool) -> None:
    items = [0.01] * 60 + [1.0]
    with make(2) as pool:
        if cured:
            pool.map(time.sleep, sorted(items, reverse=True), chunksize=1)
        else:
            pool.map(time.sleep, items, chunksize=10)


@program("pausing")
def waits_in_coroutines(make: Make, cured: bool) -> None:
    with make(8 if cured else 2) as pool:

        async def main() -> None:
            await asyncio.gather(*(pool.run(time.sleep, 0.1) for _ in range(24)))

        asyncio.run(main())


@program("iterable")
def slow_generator_of_map(make: Make, cured: bool) -> None:
    def items() -> Iterator[int]:
        for item in range(40):
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
        pool.map(task, items(), chunksize=1)


@program("gil")
def python_code_in_threads(make: Make, cured: bool) -> None:
    with make(2, method="forkserver" if cured else "thread") as pool:
        pool.map(spin_item, range(60), chunksize=1)


@program("", "")
def good_coroutines(make: Make, cured: bool) -> None:
    with make(2) as pool:

        async def main() -> None:
            await asyncio.gather(*(pool.run(spin_item, item) for item in range(40)))

        asyncio.run(main())


@program("", "", ("pandas",))
def good_groups(make: Make, cured: bool) -> None:
    import pandas as pd

    def work(group: pd.DataFrame) -> float:
        spin(0.02)
        return float(group["x"].sum())

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": rng.integers(0, 40, 400_000), "x": rng.random(400_000)})
    with make(2, preload=["pandas"]) as pool:
        pool.map_groups(work, oc.share(frame, order_by="k"), by="k")


@program("", "")
def good_callbacks(make: Make, cured: bool) -> None:
    kept: list[int] = []
    with make(2) as pool:
        tasks = [pool.apply_async(spin_item, (item,), callback=kept.append) for item in range(40)]
        for each in tasks:
            each.wait()


@program("", "")
def good_partial(make: Make, cured: bool) -> None:
    """The data that a function holds is sent once, however large."""

    def work(data: Array, at: int) -> float:
        spin(0.02)
        return float(data[at])

    with make(2) as pool:
        pool.map(functools.partial(work, np.ones(1_000_000)), range(40))
