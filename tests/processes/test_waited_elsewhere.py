"""Programs that wait for all their children, and so take the ends of a pool's processes from it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from onecopy._cluster.carriers.running import AgentProcess
from tests.scripts import assert_clean, run

BODY = """
import os, signal, sys, threading, time
import psutil
import onecopy as oc

def double(x):
    return 2 * x

def die(x):
    os.kill(os.getpid(), signal.SIGKILL)

def children():
    return [child.pid for child in psutil.Process().children()]

def wait_for_all():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            if over:
                return
            time.sleep(0.001)

how, method = sys.argv[1:]
over = False
if how == "waits":
    waiting = threading.Thread(target=wait_for_all, daemon=True)
    waiting.start()
else:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

where = {"cluster": oc.loopback(2)} if method == "cluster" else {"workers": 2, "method": method}
with oc.Pool(**where) as pool:
    assert pool.map(double, range(100)) == [2 * at for at in range(100)]
    try:
        pool.apply(die, (0,))
    except oc.WorkerDied:
        pass
    else:
        raise AssertionError
    assert pool.map(double, range(100)) == [2 * at for at in range(100)]
    if method == "cluster":
        os.kill(children()[0], signal.SIGKILL)
        assert pool.map(double, range(100)) == [2 * at for at in range(100)]

pool = oc.Pool(**where)
result = pool.map_async(time.sleep, [60] * 4)
pool.terminate()
pool.join()
over = True
if how == "waits":
    waiting.join()
assert not children(), children()
"""


@pytest.mark.parametrize("how", ["waits", "ignores"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn", "cluster"])
def test_a_pool_beside_it(tmp_path: Path, how: str, method: str) -> None:
    assert_clean(run(tmp_path, BODY, how, method))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


def test_a_pid_is_used_only_while_it_is_the_agents(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = AgentProcess(child.pid)
    ends = threading.Thread(target=agent.end)
    kill, waitpid = os.kill, os.waitpid
    steps: list[str] = []

    def killed(pid: int, number: int) -> None:
        steps.append("killed")
        kill(pid, number)

    def waited(pid: int, options: int) -> tuple[int, int]:
        found = waitpid(pid, options)
        steps.append("waited for")
        # It comes while the pid may be another's already, and has to wait until it is forgotten.
        ends.start()
        ends.join(0.2)
        return found

    monkeypatch.setattr(os, "kill", killed)
    monkeypatch.setattr(os, "waitpid", waited)
    agent.end()
    assert agent.wait() == "was killed by SIGKILL"
    ends.join()
    assert agent.pid == 0
    assert steps == ["killed", "waited for"]


def test_an_agent_that_the_program_has_waited_for(child: subprocess.Popen[bytes]) -> None:
    agent = AgentProcess(child.pid)
    child.kill()
    child.wait()
    agent.end()
    assert agent.wait() == "ended for an unknown reason"
    agent.end()
