"""Readings of /proc for a process tree, within a budget of CPU time; nothing of it runs inside.

Cheap figures (stat, statm, schedstat) are read 2 to 50 times a second, half a percent of a CPU.
``smaps_rollup`` walks all pages, 10 to 20 ms a gigabyte: it is read where page faults or growth say
that memory has changed hands. The budget is CPU time of this thread: on a busy machine the clock
would count what others use.

When nothing has run for seconds, it is asked what each thread waits for (``/proc/PID/syscall``):
which is all that can be known of a program that hangs.
"""

from __future__ import annotations

import os
import time

from .._system import procfs
from .recording import Look, Readings, Roll, Room, Stuck

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_SHARE = 0.005
_SHORTEST, _LONGEST = 0.02, 0.5
# Two readings of each child may take more than what is only a curve: nothing else tells of
# copied pages.
_EVIDENCE, _CURVE = (0.04, 0.12), (0.01, 0.02)
_CHANGED = 8e6
_LIBRARIES = ("openblas", "libmkl", "libgomp", "libomp", "libtbb", "polars", "libtorch", "grpc")
_IDLE = 2.0
# Numbers of system calls on x86-64 and arm64, as far as they are told apart: poll is also
# select and epoll, old and new, among which C libraries change.
_CALLS = {
    "x86_64": {
        **{0: "read", 1: "write", 61: "wait", 247: "wait", 202: "futex"},
        **dict.fromkeys((7, 23, 232, 270, 271, 281, 441), "poll"),
    },
    "aarch64": {
        **{63: "read", 64: "write", 260: "wait", 95: "wait", 98: "futex"},
        **dict.fromkeys((22, 72, 73, 441), "poll"),
    },
}.get(os.uname().machine, {})


def _read(path: str) -> bytes:
    # os.read: a file object makes seven system calls more, and there are dozens of files each time.
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""  # it has ended, or may not be looked at
    parts = []
    try:
        while part := os.read(file, 1 << 16):
            parts.append(part)
    except OSError:
        return b""  # it has ended meanwhile
    finally:
        os.close(file)
    return b"".join(parts)


def busy() -> float:
    """CPU seconds that the whole machine has spent on anything."""
    words = [int(word) for word in _read("/proc/stat").split(b"\n", 1)[0].split()[1:9]]
    return (sum(words) - words[3] - words[4]) / _TICK if len(words) > 4 else 0.0


def shared_memory_names() -> set[str]:
    """The names in /dev/shm."""
    try:
        return set(os.listdir("/dev/shm"))
    except OSError:
        return set()  # not Linux, or a container without it


def _room() -> Room:
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return Room(0, 0, 0)
    free = found.f_bavail * found.f_frsize
    return Room(found.f_blocks * found.f_frsize, free, free)


class Sampler:
    """A sampler of the process tree of ``pid``.

    Args:
        pid: its root.
        memory: read PSS too.
    """

    def __init__(self, pid: int, memory: bool = True) -> None:
        self.pid, self._memory = pid, memory
        self._found = Readings(shared_memory=_room())
        self._began = time.perf_counter_ns()
        self._ticks = 0
        self._pids: list[int] = [pid]
        self._last: dict[int, Look] = {}
        self._rolled = 0.0
        self._price: dict[int, float] = {}
        self._before: dict[int, Roll] = {}
        self._times: dict[int, int] = {}
        self._ran = self._began  # when something was last seen to have run
        self._asked = 0
        self.interrupted = False
        """Set with the first Ctrl-C: what runs then is the program's end, and what it waited for
        before is kept."""

    @property
    def idle(self) -> float:
        """Seconds for which nothing of the program has run, when it was last looked."""
        return (
            (max(look.time for look in self._last.values()) - self._ran) / 1e9
            if self._last
            else 0.0
        )

    def readings(self) -> Readings:
        """All of them."""
        return self._found

    def look(self) -> float:
        """Read once; return after how many seconds to come again."""
        now, spent = time.perf_counter_ns(), time.thread_time()
        if self._ticks % 3 == 0:
            self._pids = [self.pid, *procfs.descendants(self.pid)]
        self._ticks += 1
        room = self._found.shared_memory
        self._found.shared_memory = room._replace(least=min(room.least, _room().free))
        active = [self._process(pid, now) for pid in self._pids]
        if any(active):
            self._ran, self._asked = now, 0
            if not self.interrupted:
                self._found.stuck.clear()
        idle = (now - self._ran) / 1e9
        if idle > _IDLE * (1 + 2 * self._asked) and not self.interrupted:
            self._ask(idle)
            self._asked += 1
        pause = (time.thread_time() - spent) / _SHARE
        if self._memory:
            self._read_memory(now)
        return max(_SHORTEST, min(_LONGEST, max(pause, idle / 20)))

    def _process(self, pid: int, now: int) -> bool:
        """Read a process; return True if it has run since the last time."""
        stat = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        memory = _read(f"/proc/{pid}/statm").split()
        if not stat or not memory:
            return False
        delay, running, cpu = self._of_threads(pid, int(stat[17]), stat[0] == b"R")
        look = Look(
            time=now,
            pid=pid,
            rss=int(memory[1]) * _PAGE,
            cpu=max(cpu, (int(stat[11]) + int(stat[12])) / _TICK),
            delay=delay,
            threads=int(stat[17]),
            running=running,
            faults=int(stat[7]),
            major=int(stat[9]),
        )
        before = self._last.get(pid)
        self._last[pid] = look
        self._found.looks.append(look)
        if pid not in self._found.commands:
            command = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ")
            self._found.commands[pid] = command.decode(errors="replace")[:300]
            self._found.parents[pid] = int(stat[1])
        return before is None or look.cpu > before.cpu or stat[0] == b"R"

    def _of_threads(self, pid: int, threads: int, runs: bool) -> tuple[float, int, float]:
        """Seconds of waiting for a CPU; threads that ran since the last time; CPU seconds."""
        each = self._found.threads.setdefault(pid, {})
        delay = total = 0.0
        running = 0
        names = [str(pid)] if threads == 1 else _listed(f"/proc/{pid}/task")[:100]
        for name in names:
            words = _read(f"/proc/{pid}/task/{name}/schedstat").split()
            if not words:
                continue
            cpu = int(words[0]) / 1e9
            running += each.get(int(name)) != cpu
            each[int(name)] = cpu
            delay += int(words[1]) / 1e9
        total = sum(each.values())
        return delay, running if each else int(runs), total

    def _read_memory(self, now: int) -> None:
        """Read processes whose memory may have changed hands, the most first, within the budget."""
        passed = (now - self._began) / 1e9
        wishes = []
        for look in self._last.values():
            if look.time != now:
                continue
            before = self._before.get(look.pid)
            faults = look.faults - (before.faults if before else 0)
            grown = abs(look.rss - (before.rss if before else 0))
            touched = faults * _PAGE + grown / 4
            share = touched / max(_CHANGED, look.rss)
            old = now - (before.time if before else 0) > 2e9
            if (touched > _CHANGED and share > 0.1) or (old and self._times.get(look.pid, 0) < 30):
                wishes.append((share, look))
        for _, look in sorted(wishes, key=lambda wish: -wish[0]):
            early = look.pid != self.pid and self._times.get(look.pid, 0) < 2
            share, free = _EVIDENCE if early else _CURVE
            price = self._price.get(look.pid, 0.0001)
            if self._rolled + price <= passed * share + free:
                self._roll(look)

    def _roll(self, look: Look) -> None:
        began = time.thread_time()
        fields: dict[bytes, int] = {}
        for line in _read(f"/proc/{look.pid}/smaps_rollup").splitlines()[1:]:
            key, _, value = line.partition(b":")
            fields[key] = int(value.split()[0]) * 1024
        price = time.thread_time() - began
        self._rolled += price
        self._price[look.pid] = max(price, self._price.get(look.pid, 0) / 2)
        self._times[look.pid] = self._times.get(look.pid, 0) + 1
        if not fields:
            return
        roll = Roll(
            time=look.time,
            pid=look.pid,
            rss=fields.get(b"Rss", 0),
            pss=fields.get(b"Pss", 0),
            dirty=fields.get(b"Private_Dirty", 0),
            anonymous=fields.get(b"Anonymous", 0),
            shared=fields.get(b"Pss_Shmem", 0),
            swap=fields.get(b"Swap", 0),
            faults=look.faults,
        )
        self._before[look.pid] = roll
        self._found.rolls.append(roll)
        if look.pid not in self._found.libraries:
            maps = _read(f"/proc/{look.pid}/maps")
            found = [name for name in _LIBRARIES if name.encode() in maps]
            self._found.libraries[look.pid] = found

    def _ask(self, idle: float) -> None:
        """Look up what each thread waits for, when nothing runs."""
        self._found.stuck.clear()
        self._found.idle = idle
        for pid in self._pids:
            for name in _listed(f"/proc/{pid}/task")[:100]:
                words = _read(f"/proc/{pid}/task/{name}/syscall").split()
                if len(words) < 2 or not words[0].isdigit():
                    continue
                call = _CALLS.get(int(words[0]), "")
                channel = 0
                if call in ("read", "write"):
                    channel = _pipe(pid, int(words[1], 16))
                elif call == "wait":
                    channel = int(words[1] if int(words[0]) != 247 else words[2], 16) & 0xFFFFFFFF
                self._found.stuck.append(Stuck(pid, int(name), call, channel))

    def ask_before_interrupting(self) -> None:
        """Look up what threads wait for, if nothing has run for a while, before a signal changes it."""
        if self.idle >= _IDLE / 2 and not self._found.stuck:
            self._ask(self.idle)

    def cpu(self) -> float:
        """CPU seconds of all processes, as last seen."""
        return sum(look.cpu for look in self._last.values())

    def trackers(self) -> bool:
        """Return True if a resource tracker of the program's is still at work. A zombie is gone."""
        mine = [pid for pid, text in self._found.commands.items() if "resource_tracker" in text]
        return any(_state(pid) not in ("", "Z") for pid in mine)

    def alive(self) -> list[int]:
        """Processes of the program's that are still there."""
        seen = [pid for pid in self._last if pid != self.pid]
        return [
            pid
            for pid in seen
            if _state(pid) not in ("", "Z") and "resource_tracker" not in self._found.commands[pid]
        ]


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # it has ended


def _pipe(pid: int, descriptor: int) -> int:
    try:
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return 0
    kind, _, rest = target.partition(":[")
    return int(rest.rstrip("]")) if kind in ("pipe", "socket") and rest else 0


def _state(pid: int) -> str:
    words = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return words[0].decode() if words else ""
