"""A program that is interrupted at any moment, by another process, and goes on each time.

``python -m tests.processes.ctrl_c_program WAY METHOD TIMES``. Prints ``ok`` and how many interrupts
came to nothing: one that is handled in a finalizer of the standard library's is printed and lost.
"""

from __future__ import annotations

import faulthandler
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

import onecopy as oc

# Sends SIGINT to its parent within 8 ms after each byte that it reads: the calls below take that
# long, so a signal hits any step of them.
SENDER = """
import os, random, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
while os.read(0, 1):
    due = time.perf_counter() + random.random() * 0.008
    while time.perf_counter() < due:
        pass
    os.kill(os.getppid(), signal.SIGINT)
    os.write(1, b"x")
"""


def one_more(x: Any) -> Any:
    return x + 1


def ways(pool: oc.Pool, executor: oc.ProcessPoolExecutor, method: Any) -> dict[str, Any]:
    def submit(to: Any) -> None:
        calls = [to.submit(one_more, i) for i in range(100)]
        assert [call.result() for call in calls] == list(range(1, 101))

    def apply() -> None:
        for i in range(50):
            assert pool.apply(one_more, (i,)) == i + 1

    def map_async() -> None:
        calls = [pool.map_async(one_more, range(20)) for _ in range(10)]
        assert all(call.get() == list(range(1, 21)) for call in calls)

    def share() -> None:
        shared = oc.share(np.arange(30_000))
        assert all(made[5] == 6 for made in pool.map(one_more, [shared] * 6))
        for size in range(30_000, 30_010):
            assert oc.share(np.full(size, 2)).sum() == 2 * size

    def create() -> None:
        with oc.Pool(2, method=method) as other:
            assert other.map(one_more, range(10)) == list(range(1, 11))

    wanted = list(range(1, 201))
    return {
        "submit": lambda: submit(pool),
        "apply": apply,
        "map": lambda: check(pool.map(one_more, range(200), chunksize=1) == wanted),
        "map_async": map_async,
        "imap": lambda: check(list(pool.imap(one_more, range(200))) == wanted),
        "unordered": lambda: check(
            sorted(pool.imap_unordered(one_more, range(200), 5)) == wanted
        ),
        "executor.submit": lambda: submit(executor),
        "executor.map": lambda: check(list(executor.map(one_more, range(200))) == wanted),
        "share": share,
        "create": create,
    }  # fmt: skip


def check(right: bool) -> None:
    assert right


def main(way: str, method: Any, times: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell ignores it
    pool, executor = oc.Pool(2, method=method), oc.ProcessPoolExecutor(2, method)
    act: Callable[[], None] = ways(pool, executor, method)[way]
    tried: Any = executor if way.startswith("executor") else pool
    act()  # what is imported at first use: Ctrl-C in an import is the interpreter's own matter
    command = [sys.executable, "-c", SENDER]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        lost = 0
        for _ in range(times):
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                sender.stdin.write(b"x")
                while not select.select([sender.stdout], [], [], 0)[0]:
                    act()
                time.sleep(0.1)  # what comes in a finalizer is put off until this thread rests
                lost += 1  # it was sent, and nothing was raised
            except KeyboardInterrupt:
                pass
            assert sender.stdout.read(1) == b"x"
            assert list(tried.map(one_more, range(40))) == list(range(1, 41))
            assert tried.submit(one_more, 1).result() == 2
        faulthandler.cancel_dump_traceback_later()
        sender.kill()  # a forked worker may have its end of the pipe
    executor.shutdown()
    pool.terminate()
    pool.join()
    wait_for_ends()
    print("ok", lost, flush=True)


def wait_for_ends() -> None:
    """Nothing is left: no process, no thread."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        children = psutil.Process().children(recursive=True)
        threads = [thread.name for thread in threading.enumerate()][1:]
        if not children and not threads:
            return
        time.sleep(0.02)
    raise AssertionError(f"left: {children}, {threads}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
