"""One way of loading a Parquet or a CSV file, as a process of its own.

``python -m bench.load_job WAY FILE``: prints seconds, bytes of the data, and the most memory
that the process held above what it had when its libraries were there: its heap (``RssAnon``,
proc(5)), and what its anonymous files take, mapped or not (their blocks). Looked at every 5 ms.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

import onecopy as oc


def held() -> int:
    """Bytes of heap and of anonymous files that this process has."""
    total = 0
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                total = int(line.split()[1]) * 1024
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                total += os.stat(path).st_blocks * 512
        except FileNotFoundError:
            continue  # closed meanwhile
    return total


def load(path: str) -> object:
    """Ours: into a segment piece by piece."""
    return oc.load(path)


def share(path: str) -> object:
    """All of it into Arrow's heap, then a copy of that into shared memory."""
    return oc.share(pq.read_table(path))


def arrow(path: str) -> object:
    """By pyarrow, into its heap."""
    return pc.read_csv(path) if path.endswith(".csv") else pq.read_table(path)


def pandas(path: str) -> object:
    """By pandas, into its heap."""
    import pandas as pd

    return pd.read_csv(path) if path.endswith(".csv") else pd.read_parquet(path)


def polars(path: str) -> object:
    """By polars, into its heap."""
    import polars as pl

    return pl.read_csv(path) if path.endswith(".csv") else pl.read_parquet(path)


WAYS = {"load": load, "share": share, "arrow": arrow, "pandas": pandas, "polars": polars}


def main(way: str, path: str) -> None:
    ended, most = threading.Event(), 0

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.005):
            most = max(most, held())

    WAYS[way](_small(path))  # its libraries come, and stay
    before = held()
    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    table = WAYS[way](path)
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    print(seconds, _size(table), max(most, held()) - before)


def _small(path: str) -> str:
    """A file of the same format with a row or two, beside it."""
    small = f"{os.path.splitext(path)[0]}.small{os.path.splitext(path)[1]}"
    if not os.path.exists(small):
        table = pa.table({"a": [1, 2], "b": ["x", "y"]})
        (pc.write_csv if path.endswith(".csv") else pq.write_table)(table, small)
    return small


def _size(table: Any) -> int:
    """Bytes of a table or a frame, each of which says it in its own way."""
    for name in ("nbytes", "estimated_size"):
        found = getattr(table, name, None)
        if found is not None:
            return int(found() if callable(found) else found)
    return int(table.memory_usage(index=True).sum())


if __name__ == "__main__":
    main(*sys.argv[1:])
