"""Runs one experiment in a fresh interpreter, and ends everything that it started.

A start method, a logging set-up, an environment or a fork of one experiment must not affect the
next, so each is ``python -m onecopy._lab NAME`` in its own session. Its output arrives line by line
while it runs, its result as JSON in a file.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from ..._system.cpus import cpu_count
from ..._system.memory import available
from ...errors import OnecopyError, human_bytes, signal_name
from .face import Data, Size
from .finding import experiment

# Seconds that processes of an experiment may take to end when told to.
_PATIENCE = 5.0


class CannotRun(OnecopyError):
    """The experiment could not be run: the machine has too little, or it failed."""


@dataclass(frozen=True)
class Run:
    """An experiment that was run.

    Attributes:
        name, size: which.
        seconds: how long it took, with its interpreter.
        data: the measurements.
        said: the lines that its processes printed.
        machine: where and when; ``load``: the mean number of processes that ran, or wanted to, in
            the minute before.
    """

    name: str
    size: Size
    seconds: float
    data: Data
    said: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)


def check(name: str, size: Size) -> None:
    """Refuse a run that the machine has no room for, before anything is started.

    Raises:
        CannotRun: there is too little memory or disk; says by how much.
        NoSuchExperiment: there is none of this name.
    """
    needs = experiment(name).needs(size)
    folder = tempfile.gettempdir()
    for what, need, left in (
        ("memory", needs.memory, available()),
        (f"disk in {folder}", needs.disk, shutil.disk_usage(folder).free),
    ):
        if need > left:
            advice = "free some" if size == "small" else "free some, or run it with --size small"
            raise CannotRun(
                f"{name} --size {size} needs {human_bytes(need)} of {what}, and "
                f"{human_bytes(left)} is free; {advice}"
            )


def run(name: str, size: Size, heard: Callable[[str], None] = lambda line: None) -> Run:
    """Run an experiment; block until it and all its processes have ended.

    Args:
        name: see ``finding.names``.
        size: ``small`` takes seconds, ``full`` up to minutes.
        heard: called with each line that its processes print.

    Raises:
        CannotRun: there is too little memory or disk, or it failed; its own traceback has
            gone to standard error.
        NoSuchExperiment: there is none of this name.
    """
    check(name, size)
    load = os.getloadavg()[0]
    began = perf_counter()
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="onecopy-lab-") as folder:
        out = Path(folder, "result.json")
        with _child([name, "--size", size, "--out", str(out)]) as child:
            assert child.stdout is not None
            for line in child.stdout:
                said.append(line.rstrip("\n"))
                heard(said[-1])
            status = child.wait()
        if status or not out.exists():
            how = f"exit status {status}" if status >= 0 else signal_name(-status)
            raise CannotRun(f"{name} failed: its interpreter ended with {how}")
        data: Data = json.loads(out.read_text())
    return Run(name, size, perf_counter() - began, data, said, {**machine(), "load": f"{load:.2f}"})


@contextmanager
def _child(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield an interpreter in its own process group; no process of it runs code afterwards.

    Its output ends when all processes that it started have closed it, so reading it to its end
    waits for that. Processes that outlive the interpreter are ended; the kernel frees their memory
    and closes their files, and only then calls them ended.
    """
    child = subprocess.Popen(
        # -P: otherwise the current directory would be before the standard library.
        [sys.executable, "-P", "-m", __package__.rpartition(".")[0], *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    left = threading.Event()
    guard = threading.Thread(target=_guard, args=(child, left), name="onecopy-lab")
    guard.start()
    with child:
        try:
            yield child
        except BaseException:
            _signal(child, signal.SIGTERM, signal.SIGCONT)
            raise
        finally:
            left.set()
            guard.join()


def _guard(child: subprocess.Popen[str], left: threading.Event) -> None:
    """End the processes that the interpreter left behind, and itself when told to."""
    while True:
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            if left.is_set():
                _signal(child, signal.SIGKILL)
            continue
        break
    # SIGTERM and not SIGKILL at first: multiprocessing's resource tracker, which ignores it, then
    # removes the shared memory that the others leave behind. A stopped process gets it when it
    # continues.
    _signal(child, signal.SIGTERM, signal.SIGCONT)
    if not left.wait(_PATIENCE):
        _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen[str], *numbers: int) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def machine() -> dict[str, str]:
    """Return the place and time that are printed over every table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "cores": str(cpu_count()),
        "memory": human_bytes(memory),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def to_json(runs: list[Run]) -> dict[str, Any]:
    """Return runs with their claims, as ``--json`` writes them."""
    found = []
    for each in runs:
        claims = [asdict(claim) for claim in experiment(each.name).claims(each.data)]
        found.append({**asdict(each), "claims": claims})
    return {"experiments": found}
