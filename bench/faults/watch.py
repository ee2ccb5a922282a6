"""Running a cell under a watchdog, and counting what it leaves behind.

The program gets a session and a temporary directory of its own. A process counts as left
when it is in that session and not a zombie; a name in ``/dev/shm`` when it was not there
before, so nothing else may make segments meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..process import ROOT, members
from .cell import PATIENCE, without_paths
from .facts import Facts, rebuilt
from .peers import WORKERS, Peer
from .rows import Fault, Kind

SHM = Path("/dev/shm")
# More than all the waiting that a cell does by itself.
WATCHDOG = 60.0
# What a program leaves may take so long to go.
GRACE = 1.0


def run(peer: Peer, fault: Fault, turn: int) -> Facts:
    """One cell, once."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        return _Watch(peer, fault, turn, Path(name)).run()


class _Watch:
    def __init__(self, peer: Peer, fault: Fault, turn: int, directory: Path) -> None:
        self.fault, self.directory = fault, directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        (directory / "told").mkdir()
        self.before = set(_names(SHM))
        arguments = [peer.name, fault.name, str(directory), str(turn)]
        with (directory / "noise").open("w") as noise:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.faults.cell", *arguments],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
                start_new_session=True,
            )

    def run(self) -> Facts:
        try:
            ended = (
                self.signalled()
                if self.fault.kind in (Kind.INTERRUPT, Kind.OWNER)
                else self.by_itself()
            )
            facts = self.seen()
            facts.ended = ended
            if ended is not None:
                facts.code = self.process.returncode
                self.count_remains(facts)
        finally:
            self.clear()
        return facts

    def seen(self) -> Facts:
        """The program's output so far."""
        try:
            return rebuilt(json.loads((self.directory / "facts.json").read_text()))
        except FileNotFoundError:
            return Facts()

    def by_itself(self) -> float | None:
        """Waits for its end; gives the seconds since its last word."""
        _until(lambda: self.over() or self.seen().done, WATCHDOG)
        begin = time.monotonic()
        return time.monotonic() - begin if _until(self.over, PATIENCE) else None

    def signalled(self) -> float | None:
        """Ends it by a signal once it is busy; gives the seconds from that to its end."""
        _until(lambda: self.over() or self.busy(), WATCHDOG)
        begin = time.monotonic()
        if self.fault.kind is Kind.OWNER:
            os.kill(self.process.pid, signal.SIGKILL)
        else:
            # In the middle of its tasks, of half a second each.
            time.sleep(0.75)
            begin = time.monotonic()
            os.killpg(self.process.pid, signal.SIGINT)
        return time.monotonic() - begin if _until(self.over, 2 * PATIENCE) else None

    def busy(self) -> bool:
        if self.fault.task is not None:
            return len(os.listdir(self.directory / "told")) == WORKERS
        return self.seen().placed

    def over(self) -> bool:
        """True once it has ended. It is reaped at once: to some peers a zombie owner is alive."""
        return self.process.poll() is not None

    def alive(self) -> list[int]:
        return [pid for pid in members(self.process.pid) if not _zombie(pid)]

    def count_remains(self, facts: Facts) -> None:
        begin = time.monotonic()
        _until(lambda: not self.alive(), GRACE)
        facts.processes = len(self.alive())
        facts.shm = sorted(set(_names(SHM)) - self.before)
        facts.files = _names(self.temporary)
        gone = _until(lambda: not self.alive(), PATIENCE)
        facts.lasted = time.monotonic() - begin if gone else None
        facts.noise = without_paths((self.directory / "noise").read_text())

    def clear(self) -> None:
        """Nothing of this cell is there when the next one starts."""
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        _until(lambda: not self.alive(), PATIENCE)
        for name in set(_names(SHM)) - self.before:
            (SHM / name).unlink(missing_ok=True)


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.is_dir() else []


def _zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    # The name before the state may hold brackets and spaces itself.
    return stat.rpartition(")")[2].split()[0] in "ZX"


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
