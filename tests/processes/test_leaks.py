"""The leak watch catches processes: living ones, zombies, orphans.

The kinds of leak that need no child are in `tests/unit/test_leaks.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import pytest

from tests import leaks
from tests.leaks import Kind, Snapshot, explain, find, settle
from tests.this_run import this_run
from tests.watched import sitecustomize

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs pidfd: elsewhere the end is asked for in turns"
)

needs_shm = pytest.mark.skipif(not leaks._SHM.is_dir(), reason="needs /dev/shm")

UNTIL_END_OF_INPUT = "import sys; sys.stdin.read()"

# Leaves a child behind that lives until the end of its input, and says its pid.
LEAVES_AN_ORPHAN = """
import os, sys
pid = os.fork()
if pid == 0:
    os.close(1)
    os.read(0, 1)
    os._exit(0)
print(pid, flush=True)
"""


def processes(before: Snapshot) -> list[leaks.Leak]:
    return [leak for leak in find(before) if leak.kind is Kind.PROCESS]


def test_child() -> None:
    before = Snapshot()
    command = [sys.executable, "-c", UNTIL_END_OF_INPUT]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        (found,) = settle(before, patience=0, allowed={Kind.DESCRIPTOR})
        assert found.kind is Kind.PROCESS
        assert f"{child.pid} " in explain([found])
    assert settle(before) == []


@needs_pidfd
def test_child_that_ends_is_waited_for_and_not_reaped() -> None:
    before = Snapshot()
    child = subprocess.Popen([sys.executable, "-c", UNTIL_END_OF_INPUT], stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.close()
    # Whether it is still running now or not: what is left in the end is a
    # zombie, because it has not been waited for.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = settle(before, patience=0.05)
    assert [leak.what for leak in found] == [
        f"{child.pid}, a zombie: it ended and was not waited for"
    ]
    assert child.wait() == 0
    assert settle(before) == []


def test_killed_leftovers_are_gone() -> None:
    before = Snapshot()
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_END_OF_INPUT], stdin=subprocess.PIPE
    ) as child:
        leaks.kill(processes(before))
        assert child.wait() == -9
    assert settle(before) == []


def test_orphan() -> None:
    before = Snapshot()
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", LEAVES_AN_ORPHAN],
            stdin=read,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert [leak.what.split()[0] for leak in processes(before)] == [done.stdout.strip()]
    finally:
        os.close(read)
        os.close(write)
    assert settle(before) == []


def test_orphan_that_was_forked_alone() -> None:
    """Its environment is the test process's own first one, which does not name the run."""
    before = Snapshot()
    read, write = os.pipe()
    said, say = os.pipe()
    if (middle := os.fork()) == 0:
        if (orphan := os.fork()) == 0:
            os.close(write)
            os.read(read, 1)
        else:
            os.write(say, str(orphan).encode())
        os._exit(0)
    try:
        os.waitpid(middle, 0)
        pid = os.read(said, 20).decode()
        assert [leak.what.split()[0] for leak in processes(before)] == [pid]
    finally:
        for descriptor in (read, write, said, say):
            os.close(descriptor)
    assert settle(before) == []


def test_orphan_of_another_run() -> None:
    before = Snapshot()
    read, write = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-c", LEAVES_AN_ORPHAN],
            stdin=read,
            stdout=subprocess.PIPE,
            env={**os.environ, sitecustomize.VARIABLE: "another"},
            check=True,
        )
        assert processes(before) == []
    finally:
        os.close(read)
        os.close(write)


MAKES_A_SEGMENT = """
from multiprocessing import resource_tracker, shared_memory
segment = shared_memory.SharedMemory(create=True, size=1)
resource_tracker.unregister(segment._name, "shared_memory")  # or it goes with this program
print(segment.name)
"""

MAKES_A_SEMAPHORE = """
import os, sys
from {module} import SemLock
from multiprocessing import context
made = {make}
print("sem" + made._semlock.name.replace("/", "."), flush=True)
os._exit(0)
"""

WITH_JOBLIB = "__import__('joblib') and SemLock(1, 1, 1, ctx=context.SpawnContext())"


@needs_shm
class TestSharedMemory:
    """Entries that the standard library and loky make in /dev/shm are known for this run's, in the test
    process and in each process that descends from it."""

    @pytest.fixture(autouse=True)
    def gone_afterwards(self) -> Iterator[None]:
        before = Snapshot()
        yield
        # Semaphores go by themselves, with the objects that stand for them.
        for name in Snapshot().shm - before.shm:
            if name.startswith("psm_"):
                (leaks._SHM / name).unlink()

    def left(self, before: Snapshot) -> list[str]:
        return [leak.what for leak in find(before) if leak.kind is Kind.SHM]

    @pytest.mark.leaks("the resource tracker of the standard library")
    def test_of_the_test_process(self) -> None:
        before = Snapshot()
        segment = SharedMemory(create=True, size=1)
        assert self.left(before) == [segment.name]
        segment.close()
        segment.unlink()
        assert self.left(before) == []

    @pytest.mark.leaks("the resource tracker of the standard library")
    def test_semaphore_of_the_test_process(self) -> None:
        before = Snapshot()
        lock = multiprocessing.get_context("spawn").Lock()
        (name,) = self.left(before)
        assert name.startswith("sem.")  # joblib changes the rest, once it is imported
        del lock
        assert settle(before, allowed={Kind.PROCESS, Kind.DESCRIPTOR}) == []

    @pytest.mark.leaks("the resource tracker and the server of the standard library")
    def test_of_a_child(self, process_method: str) -> None:
        before = Snapshot()
        with multiprocessing.get_context(process_method).Pool(1) as pool:
            name = pool.apply(make_a_segment)
            pool.close()
            pool.join()
        assert name in self.left(before)

    def test_of_a_program(self) -> None:
        before = Snapshot()
        name = said_by(MAKES_A_SEGMENT)
        assert self.left(before) == [name]

    @pytest.mark.parametrize(
        ("module", "make"),
        [
            ("multiprocessing.synchronize", "SemLock(1, 1, 1, ctx=context.SpawnContext())"),
            ("joblib.externals.loky.backend.synchronize", "SemLock(1, 1, 1)"),
            ("multiprocessing.synchronize", WITH_JOBLIB),
        ],
    )
    def test_semaphore_of_a_program(self, module: str, make: str) -> None:
        # Its resource tracker outlives the program a little and cleans up: the name has to do.
        assert this_run().made(said_by(MAKES_A_SEMAPHORE.format(module=module, make=make)))


def said_by(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def make_a_segment() -> str:
    segment = SharedMemory(create=True, size=1)
    resource_tracker.unregister(f"/{segment.name}", "shared_memory")
    segment.close()
    return segment.name


@pytest.mark.leaks("the resource tracker of the standard library lives as long as the interpreter")
def test_marker_lets_the_resource_tracker_stay() -> None:
    resource_tracker.ensure_running()
