"""``make doctor-truth ARGS=--overhead``: what being watched costs, against its bars.

Each figure comes from pairs: the program by itself, then the same under the doctor, in turn. Other
programs only ever make a run longer, so the shortest of each kind are compared, and times by the clock
need a machine that was quiet in some of the rounds: the least that others used is printed too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onecopy._doctor import launch

from . import truth

_EMPTY = (str(truth.HERE / "programs" / "tiny_items.py"),)
_SHORT = """
import os, time
from multiprocessing import Pool
def work(_):
    return sum(range(50_000))
with Pool(os.cpu_count()) as pool:
    for _ in pool.imap(work, range(3000)): pass
"""
_FORKS = """
import os, time
best = 1.0
for _ in range(200):
    begin = time.perf_counter()
    child = os.fork()
    if not child: os._exit(0)
    os.waitpid(child, 0)
    best = min(best, time.perf_counter() - begin)
print(best)
"""
_STARTS = """
import subprocess, sys, time
best = 1.0
for _ in range(20):
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"])
    best = min(best, time.perf_counter() - begin)
print(best)
"""
_SECOND = "import time; time.sleep(1.0)"


@dataclass(frozen=True)
class Pair:
    """One program by itself and under the doctor.

    Attributes:
        plain, watched: seconds by the clock of the program alone.
        plain_cpu, watched_cpu: CPU seconds of the program's processes.
        command, command_cpu: seconds of the whole command, doctor included.
        doctor_cpu: CPU seconds of looking, while the program ran.
        foreign: the share of the CPUs that other programs used meanwhile.
    """

    plain: float
    plain_cpu: float
    watched: float
    watched_cpu: float
    command: float
    command_cpu: float
    doctor_cpu: float
    foreign: float


# As it is installed: code that is compiled is kept.
_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(*words: str) -> float:
    begin = time.perf_counter()
    null = subprocess.DEVNULL
    subprocess.run(words, stdout=null, stderr=null, check=True, env=_ENVIRONMENT)
    return time.perf_counter() - begin


def pair(*words: str) -> Pair:
    """Run a program twice."""
    begun, others = time.perf_counter(), truth.busy()
    before = _children_cpu()
    plain = _run(sys.executable, *words)
    plain_cpu = _children_cpu() - before
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "found.json")
        before = _children_cpu()
        command = _run(sys.executable, "-m", "onecopy", "doctor", "--json", report, *words)
        command_cpu = _children_cpu() - before
        found = json.loads(Path(report).read_text())
    passed = time.perf_counter() - begun
    return Pair(
        plain,
        plain_cpu,
        found["wall"],
        found["program_cpu"],
        command,
        command_cpu,
        found["doctor_cpu"],
        (truth.busy() - others) / passed / found["cpus"],
    )


def _hooked(words: list[str], rounds: int) -> tuple[float, float]:
    """Seconds of a program that prints what it measured of itself: plain, and with the hooks."""
    plain, hooked = [], []
    with launch.session() as folder:
        env = launch.environment(folder)
        for _ in range(rounds):
            done = subprocess.run(words, capture_output=True, check=True)
            plain.append(float(done.stdout))
            done = subprocess.run(words, capture_output=True, check=True, env=env)
            hooked.append(float(done.stdout))
    return min(plain), min(hooked)


def measure(rounds: int) -> int:
    """Print each figure beside its bar; return 1 if one is over its bar."""
    over = 0

    def said(what: str, value: float, bar: float, shown: Callable[[float], str]) -> None:
        nonlocal over
        over += value > bar
        mark = "over" if value > bar else "ok"
        print(f"{what:58} {shown(value):>9}  bar {shown(bar):>8}  {mark}", flush=True)

    def ratio(value: float) -> str:
        return f"{value:.3f}"

    def milliseconds(value: float) -> str:
        return f"{1000 * value:.1f} ms"

    def part(value: float) -> str:
        return f"{value:.1%}"

    for title, words, wall_bar, cpu_bar in (
        ("100,000 empty tasks one by one", _EMPTY, 1.15, 1.15),
        ("3,000 tasks of 1 ms, CPUs full", ("-c", _SHORT), 1.05, 1.03),
    ):
        rows = [pair(*words) for _ in range(rounds)]
        quiet = min(each.foreign for each in rows)
        print(f"{title}; others used {quiet:.0%} of the CPUs at least")
        wall = min(each.watched for each in rows) / min(each.plain for each in rows)
        said("  wall", wall, wall_bar, ratio)
        cpu = min(each.watched_cpu for each in rows) / min(each.plain_cpu for each in rows)
        said("  CPU of its processes", cpu, cpu_bar, ratio)
        own = min(each.doctor_cpu / each.watched for each in rows)
        said("  the doctor's own CPU, of one", own, 0.05, part)
    for title, code, bar in (
        ("a fresh interpreter", _STARTS, 0.005),
        ("a fork", _FORKS, 0.001),
    ):
        plain, hooked = _hooked([sys.executable, "-c", code], rounds)
        said(title, hooked - plain, bar, milliseconds)
    for title, code in (("a program of nothing", "pass"), ("a program of a second", _SECOND)):
        pairs = [pair("-c", code) for _ in range(rounds)]
        outside = min(each.command for each in pairs) - min(each.plain for each in pairs)
        said(f"outside {title}", outside, 0.2, milliseconds)
        spent = min(each.command_cpu for each in pairs) - min(each.plain_cpu for each in pairs)
        said("  CPU of it", spent, 0.2, milliseconds)
    return int(over > 0)
