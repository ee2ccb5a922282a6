"""The ends of programs: by themselves, by Ctrl-C, by SIGKILL; and what is left of them.

Each test runs a program of its own, as a user would, without a ``__main__`` guard.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults import named_files
from tests.scripts import assert_clean, run

pytestmark = pytest.mark.memory

PRELUDE = """
import os, signal, sys, time
import numpy as np
import onecopy as oc

METHOD = sys.argv[1]

def double(x):
    return 2 * x

def hang_in_python(begun, at):
    begun[at] = os.getpid()
    while True:
        time.sleep(1000)

def hang_in_c(begun, at):
    # A regular expression that never releases the GIL.
    import re
    begun[at] = os.getpid()
    re.match(r"(a+)+$", "a" * 100 + "b")
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Programs that a test has started; none is left when it ends."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(
    program: list[subprocess.Popen[str]], tmp_path: Path, body: str, method: str
) -> subprocess.Popen[str]:
    script = tmp_path / "program.py"
    script.write_text(PRELUDE + textwrap.dedent(body))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", str(script), method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    program.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


WAYS_TO_END = {
    "closed": "pool.close(); pool.join()",
    "never closed": "",
    "closed, not joined": "pool.close()",
    "with work pending": "futures = [pool.submit(time.sleep, 600) for _ in range(10)]",
    "with an unfinished imap": "stream = pool.imap(double, iter(int, 1)); next(stream)",
    "forgotten in a cycle": "cycle = [pool]; cycle.append(cycle); del pool, cycle",
    "with results and data alive": """
        data = oc.share(np.arange(1e6)); mine = oc.private(data); out = oc.zeros(1000)
        result = pool.apply(np.negative, (data,)); view = pool.apply(lambda d: d[5:9], (data,))
        sys.kept = [pool, data, mine, out, result, view]
    """,
    "terminated": "pool.terminate()",
    "by an exception": "sys.stderr.close(); raise SystemExit(0)",
}


@pytest.mark.parametrize("way", WAYS_TO_END, ids=str)
def test_the_program_ends_quietly(
    program: list[subprocess.Popen[str]], tmp_path: Path, method: str, way: str
) -> None:
    if method == "thread" and way == "with work pending":
        pytest.skip("a thread cannot be ended in a task")
    body = textwrap.dedent("""
        pool = oc.Pool(2, method=METHOD)
        print(pool.map(double, range(4)), *pool.pids(), flush=True)
    """) + textwrap.dedent(WAYS_TO_END[way])
    process = start(program, tmp_path, body, method)
    code, out, err = finish(process)
    if way == "with work pending":  # which is said, in one line
        assert err.startswith("onecopy: ")
        assert err.count("\n") == 1
        err = ""
    assert (code, err) == (0, "")
    assert out.startswith("[0, 2, 4, 6]")
    for pid in map(int, out.split("]")[1].split()):
        assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("hang", ["hang_in_python", "hang_in_c"])
def test_when_the_owner_is_killed_so_are_the_workers(
    program: list[subprocess.Popen[str]], tmp_path: Path, process_method: str, hang: str
) -> None:
    body = f"""
        begun = oc.zeros(2, "i8")
        pool = oc.Pool(2, method=METHOD)
        futures = [pool.submit({hang}, begun, at) for at in range(2)]
        while not begun.all():
            time.sleep(0.001)
        print("begun", flush=True)
        time.sleep(600)
    """
    process = start(program, tmp_path, body, process_method)
    assert first_line(process) == "begun\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    assert not any(named_files(each) for each in (process.pid, *(each.pid for each in family)))
    process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


@pytest.mark.parametrize(
    "call",
    [
        "pool.apply(hang_in_python, (begun, 0))",
        "pool.map(lambda at: hang_in_python(begun, at), range(2))",
        "pool.submit(hang_in_python, begun, 0).result()",
    ],
)
def test_ctrl_c_ends_it_all_at_once(
    program: list[subprocess.Popen[str]], tmp_path: Path, process_method: str, call: str
) -> None:
    body = f"""
        begun = oc.zeros(2, "i8")
        import threading
        def tell():
            while not begun.any():
                time.sleep(0.001)
            print("begun", flush=True)
        threading.Thread(target=tell, daemon=True).start()
        try:
            with oc.Pool(2, method=METHOD) as pool:
                {call}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = start(program, tmp_path, body, process_method)
    assert first_line(process) == "begun\n"
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    code, out, err = finish(process)
    assert (code, out, err) == (0, "interrupted\n", "")
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def test_after_ctrl_c_the_pool_is_usable(
    program: list[subprocess.Popen[str]], tmp_path: Path, process_method: str
) -> None:
    body = """
        begun = oc.zeros(2, "i8")
        pool = oc.Pool(2, method=METHOD)
        import threading
        def interrupt():
            while not begun.any():
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            pool.apply(hang_in_python, (begun, 0))
        except KeyboardInterrupt:
            print(pool.map(double, range(3), chunksize=1))
    """
    process = start(program, tmp_path, body, process_method)
    assert finish(process) == (0, "[0, 2, 4]\n", "")


def test_no_guard_and_main_is_not_run_again(
    program: list[subprocess.Popen[str]], tmp_path: Path, method: str
) -> None:
    body = """
        print("main runs")
        K = 10
        class Thing:
            def __init__(self, x):
                self.x = x
        def use(thing):
            return Thing(thing.x * K)
        with oc.Pool(2, method=METHOD) as pool:
            got = pool.map(use, [Thing(1), Thing(2)])
        print([type(t) is Thing and t.x for t in got])
    """
    process = start(program, tmp_path, body, method)
    assert finish(process) == (0, "main runs\n[10, 20]\n", "")


@pytest.mark.parametrize("fresh", ["auto", "forkserver", "spawn"])
def test_fresh_workers_hold_nothing_of_the_caller(
    program: list[subprocess.Popen[str]], tmp_path: Path, fresh: str
) -> None:
    # The worker is told the halves of the secret apart, and looks for them together.
    body = """
        secret = os.urandom(32)
        opened = open(__file__)
        def look(first, second):
            found = 0
            with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
                for line in maps:
                    span, mode, *_ = line.split()
                    low, high = (int(part, 16) for part in span.split("-"))
                    if mode.startswith("rw") and high - low < 1 << 30:
                        memory.seek(low)
                        try:
                            data = memory.read(high - low)
                        except OSError:
                            continue
                        at = data.find(first)
                        while at >= 0:
                            found += data[at + 16 : at + 32] == second
                            at = data.find(first, at + 1)
            files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
            return found, files
        with oc.Pool(1, method=METHOD) as pool:
            found, files = pool.apply(look, (secret[:16], secret[16:]))
        print(found, __file__ in files)
        opened.close()
    """
    process = start(program, tmp_path, body, fresh)
    assert finish(process) == (0, "0 False\n", "")


def test_a_forked_worker_does_hold_it(program: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """The search above finds what is there."""
    body = """
        secret = bytearray(os.urandom(32))
        def look():
            first, second = bytes(secret[:16]), bytes(secret[16:])
            with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
                for line in maps:
                    span, mode, *_ = line.split()
                    low, high = (int(part, 16) for part in span.split("-"))
                    if mode.startswith("rw") and high - low < 1 << 30:
                        memory.seek(low)
                        if first + second in memory.read(high - low):
                            return True
            return False
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.apply(look))
    """
    process = start(program, tmp_path, body, "fork")
    assert finish(process) == (0, "True\n", "")


def test_globals_of_main_are_the_worker_s_own(
    program: list[subprocess.Popen[str]], tmp_path: Path, method: str
) -> None:
    """Tasks see what an initializer sets; what the owner changes is sent."""
    body = """
        G, STATE, CACHE, K = 0, {}, [], 2
        BIG = np.arange(300_000.0)
        def init(a):
            global G
            G = STATE["x"] = a
        def get(x):
            return G + x, STATE["x"]
        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)
        def cache(x):
            CACHE.append(x)
            return len(CACHE)
        def scale(x):
            return K * x * BIG[3]
        with oc.Pool(1, init, (5,), method=METHOD) as pool:
            print(pool.map(get, [1]), pool.apply(get, (2,)), pool.apply(lambda: G), end=" ")
            print(pool.map(factorial, [5]), pool.map(cache, "ab"), pool.map(cache, "c"), end=" ")
            first = pool.map(scale, [1.0])
            K = 10
            BIG[3] = 4
            print(first, pool.map(scale, [1.0]))
    """
    process = start(program, tmp_path, body, method)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    # What was rebound is seen; a large array that was changed in place is as it was first sent.
    last = 40.0 if method == "thread" else 30.0
    values = f"[np.float64(6.0)] [np.float64({last})]"
    expected = f"[(6, 5)] (7, 5) 5 [120] [1, 2] [3] {values}\n"
    assert out == expected


FINALIZED = """
import os, sys
import onecopy as oc

data = {"a": 1}
log = oc.append_log()

class Temporary:
    def __del__(self):
        print("removed", bool(os.getpid()))

def work(x):
    log.append(x)  # its memory is a part of the garbage at the exit
    return data["a"] + x

if __name__ == "__main__":
    temporary = Temporary()
    method, how = sys.argv[1:]
    if how == "executor":
        left = oc.ProcessPoolExecutor(1, mp_context=method)
        future = left.submit(work, 1)
        assert future.result() == 2
        assert list(left.map(work, [1, 2])) == [2, 3]
    else:
        left = oc.Pool(1, method=method)
        assert left.map(work, [1, 2]) == [2, 3]
        if how == "iterator":
            results = left.imap(work, range(100))
            next(results)
        else:
            left.close()
            left.join()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("how", ["pool", "executor", "iterator"])
def test_globals_of_the_program_are_finalized_with_their_modules(
    tmp_path: Path, method: str, how: str
) -> None:
    """The interpreter takes the globals away first, where something refers to the main module."""
    assert_clean(run(tmp_path, FINALIZED, method, how), "removed True")
