"""Every Python on the machine: its default start method, and other facts.

Every interpreter is run (``_ASK`` works with Python 3.4 and later), so that statements about
versions are observed and not remembered. They are searched on PATH and in pyenv's directory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .face import Table

_NAME = re.compile(r"(python|pypy)3(\.\d+)?t?")
# An interpreter that does not answer within this many seconds is left out.
_PATIENCE = 30.0

_ASK = r"""
import json, os, sys, warnings
import concurrent.futures, inspect, multiprocessing, threading
import multiprocessing.pool

def parameters(function):
    return list(inspect.signature(function).parameters)

def warns():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        child = os.fork()
        if child == 0:
            os._exit(0)
    os.waitpid(child, 0)
    done.set()
    thread.join()
    return bool(said)

def shared_memory():
    try:
        from multiprocessing.shared_memory import SharedMemory
    except ImportError:
        return "none"
    return "track=False" if "track" in parameters(SharedMemory) else "tracked"

executor = concurrent.futures.ProcessPoolExecutor
try:
    gil = sys._is_gil_enabled()
except AttributeError:
    gil = True
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "path": os.path.realpath(sys.executable),
    "default": multiprocessing.get_start_method(),
    "methods": multiprocessing.get_all_start_methods(),
    "warns": warns(),
    "max_tasks_per_child": "max_tasks_per_child" in parameters(executor.__init__),
    "kill_workers": hasattr(executor, "kill_workers"),
    "buffersize": "buffersize" in parameters(executor.map),
    "shared_memory": shared_memory(),
    "gil": gil,
}))
"""


def candidates() -> Iterator[str]:
    """Yield commands that may be a Python 3, each file once."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    seen = set()
    for folder in folders:
        # pyenv's shims are not interpreters: they choose one of those below by the directory.
        if folder.name == "shims" or not folder.is_dir():
            continue
        for file in sorted(folder.iterdir()):
            real = os.path.realpath(file)
            if _NAME.fullmatch(file.name) and real not in seen and os.access(file, os.X_OK):
                seen.add(real)
                yield str(file)


def found() -> list[dict[str, Any]]:
    """Return each interpreter's answers, the oldest first; blocks for about 0.2 s for each."""
    answers: dict[str, dict[str, Any]] = {}
    for command in candidates():
        try:
            done = subprocess.run(
                # -I: without the user's environment, which belongs to this interpreter.
                [command, "-I", "-c", _ASK],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue  # too old for the script, or broken
        answer = json.loads(done.stdout)
        answers.setdefault(answer["path"], answer)
    return sorted(answers.values(), key=lambda each: [int(n) for n in each["version"].split(".")])


def table(answers: list[dict[str, Any]]) -> Table:
    """Return a row for each interpreter."""
    return Table(
        head=(
            "Python",
            "default",
            "fork warns",
            "max_tasks",
            "kill",
            "buffersize",
            "SharedMemory",
            "GIL",
        ),
        rows=[
            (
                each["version"],
                each["default"],
                _yes(each["warns"]),
                _yes(each["max_tasks_per_child"]),
                _yes(each["kill_workers"]),
                _yes(each["buffersize"]),
                each["shared_memory"],
                _yes(each["gil"]),
            )
            for each in answers
        ],
        left=(0, 1, 6),
        title="What each Python on this machine does",
        note="Default: the method that multiprocessing uses when it is told none. Fork warns: "
        "os.fork does, in a process with threads. ProcessPoolExecutor: has it max_tasks_per_child, "
        "kill_workers, map(buffersize=)? SharedMemory: by default the resource tracker of a process "
        "that has merely attached a segment unlinks it at the end; track=False prevents it.",
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
