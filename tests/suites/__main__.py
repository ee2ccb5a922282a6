"""``python -m tests.suites``: runs the suites and says, per suite, how many failed.

The tests of a suite run one after the other in a child process. When one takes longer than
its time, the child is made to print the traceback of every thread and ended; when it
ends the child, by a crash say, the same holds: that test has failed, and another child
goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic
from typing import IO, Any

from .exclusions import reason
from .outcome import Outcome
from .parts import METHODS, SUITES, tests
from .substitutes import install

_ROOT = Path(__file__).resolve().parents[2]


def run(suite: str, method: str, ids: list[str], limit: float) -> Outcome:
    """Runs the tests named, in as many children as it takes."""
    outcome = Outcome()
    waiting = []
    for test in ids:
        why = reason(suite, test)
        if why is None:
            waiting.append(test)
        else:
            outcome.excluded[test] = why
    while waiting:
        before = len(waiting)
        _one_child(suite, method, waiting, outcome, limit)
        if len(waiting) == before:  # it ended before its first test
            break
    return outcome


def _one_child(suite: str, method: str, waiting: list[str], outcome: Outcome, limit: float) -> None:
    """Runs what is waiting until all is done or the child ends; takes off what has ended."""
    with tempfile.TemporaryFile("w+") as said:
        read, write = os.pipe()
        command = [sys.executable, "-m", "tests.suites.child", suite, method, str(write)]
        child = subprocess.Popen(
            command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            pass_fds=[write],
            start_new_session=True,
        )
        os.close(write)
        assert child.stdin is not None
        child.stdin.write("\n".join(waiting).encode())
        child.stdin.close()
        running, broken = "", ""
        try:
            for event in _events(read, limit):
                running, broken = _note(event, waiting, outcome, running, broken)
        except TimeoutError:
            # It prints where each thread stands, by faulthandler.
            os.kill(child.pid, signal.SIGABRT)
            broken += f"took longer than {limit:.0f} s\n"
        finally:
            status = child.wait()
            os.close(read)
            _end_session(child.pid)
        if running:
            why = f"{broken}its process ended with {status}:\n{_end_of(said)}"
            outcome.failed[running] = why
            waiting.remove(running)
        elif waiting:
            # Their class or module was not set up, or the process ended between tests.
            for test in waiting:
                outcome.failed[test] = f"was not run: {broken or _end_of(said)}"
            waiting.clear()


def _note(
    event: dict[str, str], waiting: list[str], outcome: Outcome, running: str, broken: str
) -> tuple[str, str]:
    """Takes in what the child says: the test that is running then, and what broke."""
    test, state, why = event["test"], event["event"], event["why"]
    if state == "started":
        return test, ""
    if state == "broken":
        return running, f"{broken}{test}: {why}\n"
    waiting.remove(test)
    if state == "passed":
        outcome.passed.append(test)
    elif state == "skipped":
        outcome.skipped[test] = why
    else:
        outcome.failed[test] = why
    return "", broken


def _events(descriptor: int, limit: float) -> Iterator[dict[str, str]]:
    """The child's next line; raises TimeoutError if there is none for so long."""
    os.set_blocking(descriptor, False)
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(limit):
                raise TimeoutError
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                return
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _end_session(pid: int) -> None:
    """Ends what a child has left behind; its session is of its own."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _end_of(said: IO[str]) -> str:
    said.seek(0)
    return said.read()[-8000:]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.suites")
    parser.add_argument("suite", nargs="*", help="executor, pool, joblib; all of them if none")
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("-k", dest="match", default="", help="a part of a test's name")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each test")
    parser.add_argument("-v", action="store_true", help="name what was left out, too")
    given = parser.parse_args()
    unknown = set(given.suite) - {*SUITES, "joblib"}
    if unknown:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}")
    failed = False
    for suite in given.suite or (*SUITES, "joblib"):
        for name, outcome, seconds in _outcomes(suite, given):
            failed |= bool(outcome.failed)
            _print(name, outcome, seconds, given.v)
    return int(failed)


def _outcomes(suite: str, given: argparse.Namespace) -> Iterator[tuple[str, Outcome, float]]:
    """Of each run of a suite: its name, how it went, and how many seconds it took."""
    if suite == "joblib":
        from . import joblib_suite

        began = monotonic()
        outcome = joblib_suite.run(given.match, given.limit)
        if outcome is None:
            print("joblib's suite: joblib or pytest is not installed, left out", flush=True)
        else:
            yield "joblib", outcome, monotonic() - began
        return
    install()  # what tests there are depends on the classes that they name
    for method in given.method or METHODS:
        began = monotonic()
        ids = [test.id() for test in tests(suite, method)]
        ids = [test for test in ids if fnmatchcase(test, f"*{given.match}*")]
        if not ids:
            print(f"{suite} by {method}: this Python ships no such tests, left out", flush=True)
            continue
        outcome = run(suite, method, ids, given.limit)
        yield f"{suite} by {method}", outcome, monotonic() - began


def _print(name: str, outcome: Outcome, seconds: float, verbose: bool) -> None:
    for test, why in outcome.failed.items():
        print(f"FAILED {test}\n{why}\n")
    if verbose:
        kinds: Any = (("left out", outcome.excluded), ("skipped", outcome.skipped))
        for kind, found in kinds:
            for test, why in found.items():
                print(f"{kind}: {test}: {why}")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(f"python{version}, {name}: {outcome}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
