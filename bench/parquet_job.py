"""One way of getting a Parquet file into shared memory, as a process of its own.

``python -m bench.parquet_job WAY FILE``: prints seconds, bytes of the data, and the most memory
that the process held above what it had when its libraries were there: its heap (``RssAnon``,
proc(5)), and what its anonymous files take, mapped or not (their blocks). Looked at every 5 ms.
"""

from __future__ import annotations

import os
import sys
import threading
import time

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


WAYS = {"load": load, "share": share}


def main(way: str, path: str) -> None:
    ended, most, before = threading.Event(), 0, held()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.005):
            most = max(most, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    table = WAYS[way](path)
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    print(seconds, table.nbytes, max(most, held()) - before)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
