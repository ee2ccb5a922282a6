"""Start the program with ``inside`` injected, watch it until it ends, and hand on signals.

The way in is a folder with a ``sitecustomize`` at the front of PYTHONPATH: nothing of the program's
command line, start method or files is changed, and its standard streams are its own. What cannot
be reached so (children with ``-I``, ``-E`` or ``-S``) is reached by ``inside/processes``, when
multiprocessing starts it.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from .._system import cpus, procfs
from . import compiled
from .ahead import Ahead
from .recording import Facts, Recording
from .rings import Rings
from .sampler import Sampler, busy, shared_memory_names

_INSIDE = Path(__file__).with_name("inside")
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# Of a folder in memory at most this is used up by a run; with less than this free it is a disk.
_ROOM = 1 << 30
# So long after the SIGINT of ``--stop-after`` the program is killed.
_PATIENCE = 10.0
# Between two looks at the rings; they take some 40 times as much.
_PASS, _LONGEST = 0.1, 0.5
# Seconds in which nothing has run, after which it is asked why; twice as many the next time, since
# a program that waits for its user again and again has nothing to tell.
_HANGS = 5.0


@dataclass(frozen=True)
class Program:
    """The program to run, and the options.

    Attributes:
        command: the program and its arguments.
        python: True when it is an interpreter's command line that was made here.
        stop_after: seconds after which it is interrupted, as a user would; None: never.
        memory: read PSS, which takes time in large processes.
    """

    command: Sequence[str]
    python: bool
    stop_after: float | None = None
    memory: bool = True


@contextmanager
def session(keep: bool = False) -> Iterator[Path]:
    """A folder of its own for the records, in memory if there is room; gone afterwards."""
    memory = Path("/dev/shm")
    place = None
    if memory.is_dir() and os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        place = str(memory) if found.f_bavail * found.f_frsize > _ROOM else None
    _sweep(Path(place or tempfile.gettempdir()))
    prefix = f"onecopy-doctor-{'kept' if keep else os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        _furnish(folder)
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what a doctor that was killed has left behind."""
    for folder in place.glob("onecopy-doctor-*-*"):
        pid = folder.name.split("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists() and os.access(folder, os.W_OK):
            shutil.rmtree(folder, ignore_errors=True)


def _furnish(folder: Path) -> None:
    inside, inject = folder / "inside", folder / "inject"
    inside.mkdir()
    inject.mkdir()
    for file in _INSIDE.glob("*.py"):
        shutil.copyfile(file, inside / file.name)
    parts = [f"SESSION = {str(folder)!r}\n"]
    parts += [(_INSIDE / name).read_text("utf-8") for name in ("enter.py", "stub.py")]
    (inject / "sitecustomize.py").write_text("".join(parts), "utf-8")
    compiled.write(_INSIDE, folder)


def environment(folder: Path) -> dict[str, str]:
    """The program's: ours, with one folder more on PYTHONPATH."""
    path = [str(folder / "inject"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


@dataclass(frozen=True)
class Meanwhile:
    """The things that are done while the program runs, beside looking.

    Attributes:
        steps: work of the end, done when a CPU is free; see ``ahead``.
        idle: called with what is recorded so far when nothing has run for 5 seconds, the next time
            after 10, and so on.
    """

    steps: Iterable[None] = ()
    idle: Callable[[Recording], None] | None = None


class _Begin:
    """The state of the machine when the program was started."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names, self.machine = shared_memory_names(), busy()
        self.kills = procfs.oom_kills()
        self.used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.own = time.process_time()
        self.began, self.clock = time.perf_counter_ns(), time.time()

    def facts(self, sampler: Sampler, ahead: Ahead, status: int, interrupted: int) -> Facts:
        """Tell the facts up to now; names in /dev/shm excepted."""
        usage, used = resource.getrusage(resource.RUSAGE_CHILDREN), self.used
        return Facts(
            command=tuple(self.program.command),
            python=self.program.python,
            status=status,
            interrupted=interrupted,
            began=self.began,
            ended=time.perf_counter_ns(),
            clock=self.clock,
            pid=sampler.pid,
            cpus=cpus.cpu_count(),
            machine_cpus=os.cpu_count() or 1,
            machine_cpu=busy() - self.machine - ahead.cpu,
            # Processes that were not waited for are known to the sampler alone.
            program_cpu=max(
                usage.ru_utime + usage.ru_stime - used.ru_utime - used.ru_stime, sampler.cpu()
            ),
            doctor_cpu=time.process_time() - self.own - ahead.cpu,
            oom_kills=procfs.oom_kills() - self.kills,
            shared_memory_left=(),
            alive=tuple(sampler.alive()),
            folder=os.getcwd(),
        )


def run(program: Program, folder: Path, meanwhile: Meanwhile | None = None) -> Recording:
    """Run the program to its end.

    Args:
        program: see there.
        folder: the session's.
        meanwhile: see there.

    Raises:
        OSError: it cannot be started.
    """
    meanwhile = meanwhile or Meanwhile()
    begin = _Begin(program)
    with _signals() as signals:
        # Descriptors that we were given are the program's too; our own do not survive exec.
        child = subprocess.Popen(program.command, env=environment(folder), close_fds=False)
        signals.child = child
        sampler = Sampler(child.pid, program.memory)
        signals.sampler = sampler
        rings, ahead = Rings(folder), Ahead(iter(meanwhile.steps))

        def idle() -> None:
            if meanwhile.idle is not None:
                # As if it were interrupted now.
                facts = begin.facts(sampler, ahead, 0, time.perf_counter_ns())
                meanwhile.idle(Recording(facts, rings.so_far(), sampler.readings()))

        stopped = _Watch(child, sampler, rings, ahead, idle).until_end(program.stop_after)
        status = child.wait()
        facts = begin.facts(sampler, ahead, status, signals.first or stopped)
        left = _settled(sampler, begin.names)
    rings.empty(last=True)
    facts = replace(
        facts,
        doctor_cpu=time.process_time() - begin.own - ahead.cpu,
        shared_memory_left=tuple(sorted(left)),
        alive=tuple(sampler.alive()),
    )
    own = tuple(each.read_bytes() for each in sorted(folder.glob("[!.]*.onecopy")))
    return Recording(facts, rings.taken(), sampler.readings(), own)


class _Signals:
    """The signals that came while the program ran."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.sampler: Sampler | None = None
        self.interrupts = 0
        self.first = 0

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C reaches the program by itself, as it would without us; the third ends it."""
        self.interrupts += 1
        self.first = self.first or time.perf_counter_ns()
        if self.sampler is not None:
            self.sampler.interrupted = True
        if self.interrupts >= 3 and self.child is not None:
            self.child.kill()

    def hand_on(self, number: int, frame: FrameType | None) -> None:
        if self.child is not None:
            self.child.send_signal(number)


@contextmanager
def _signals() -> Iterator[_Signals]:
    """Handlers, for what is ignored would be ignored in the program as well. What is ignored already,
    by ``nohup`` or for a job in the background, stays so."""
    found = _Signals()
    handlers = {signal.SIGINT: found.interrupt, **dict.fromkeys(_PASSED_ON, found.hand_on)}
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """Reading, in turns, while the program runs.

    Args:
        child: the program.
        sampler, rings, ahead: what has turns.
        idle: called when nothing has run for some seconds, once each time.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        sampler: Sampler,
        rings: Rings,
        ahead: Ahead,
        idle: Callable[[], None],
    ) -> None:
        self._child, self._sampler, self._rings, self._ahead = child, sampler, rings, ahead
        self._idle = idle
        self._patience, self._told = _HANGS, False

    def until_end(self, stop_after: float | None) -> int:
        """Read until the program has ended, seen at once; return when it was interrupted, or 0."""
        child, sampler = self._child, self._sampler
        handle = os.pidfd_open(child.pid)
        try:
            begin = time.monotonic()
            sample, take, quiet = begin + 0.01, begin + 0.05, _PASS
            stop = begin + stop_after if stop_after is not None else float("inf")
            stopping, stopped = signal.SIGINT, 0
            while True:
                pause = max(0.001, min(sample, take, stop) - time.monotonic())
                if select.select([handle], [], [], pause)[0]:
                    return stopped
                now = time.monotonic()
                if now >= stop:
                    if not stopped:
                        sampler.ask_before_interrupting()
                        stopped = time.perf_counter_ns()
                    sampler.interrupted = True
                    _send_all(child.pid, stopping)
                    stop, stopping = now + _PATIENCE, signal.SIGKILL
                if now >= sample:
                    sample = time.monotonic() + sampler.look()
                if now >= take:
                    quiet = _PASS if self._rings.empty() else min(_LONGEST, 1.5 * quiet)
                    self._rest()
                    take = time.monotonic() + quiet
        finally:
            os.close(handle)

    def _rest(self) -> None:
        """Take the turns of what is done beside looking."""
        self._ahead.look(self._sampler.cpu())
        idle = self._sampler.idle
        if idle < _HANGS:
            self._told = False
        elif idle >= self._patience and not self._told and not self._sampler.interrupted:
            self._told = True
            self._patience *= 2
            self._idle()


def _send_all(pid: int, number: int) -> None:
    """A terminal's Ctrl-C reaches all that belong to its process group; so does this."""
    group = os.getpgid(0)
    for each in (pid, *procfs.descendants(pid)):
        try:
            if os.getpgid(each) == group:
                os.kill(each, number)
        except ProcessLookupError:
            continue  # it ended meanwhile


def _settled(sampler: Sampler, before: set[str]) -> set[str]:
    """The names left in /dev/shm once the resource trackers, which clean up last, are gone."""
    end = time.monotonic() + 3.0
    while time.monotonic() < end and sampler.trackers():
        time.sleep(0.01)
    return {name for name in shared_memory_names() - before if "onecopy-doctor-" not in name}


def end_as(status: int) -> int:
    """The exit status of a program that ended with ``status``; of one that a signal ended, the
    same signal ends this process, so that the process that started it sees the same."""
    if status >= 0:
        return status
    sys.stdout.flush()
    sys.stderr.flush()
    number = -status
    # A core of this interpreter, beside the program's own, would be of no use.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
