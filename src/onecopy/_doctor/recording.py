"""A run as it was recorded: what an analysis needs, in memory and in a file.

The file is a zip archive of plain text, JSON and arrays, read without pickle: a file from
another person can do nothing but be looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..errors import BadFile
from .rings import Ring

if TYPE_CHECKING:
    import zipfile

SUFFIX = ".doctor"
_VERSION = 2


@dataclass(frozen=True)
class Facts:
    """Facts that the launcher knows; times in nanoseconds of CLOCK_MONOTONIC, CPU in seconds.

    Attributes:
        command: the program and its arguments.
        python: the command line was made from a script, a module or code.
        status: its end, as ``subprocess`` has it; below zero a signal.
        interrupted: when Ctrl-C first came; 0: never.
        began, ended: when.
        clock: seconds since 1970 at the beginning.
        pid: the program's first process.
        cpus: those that it may use; machine_cpus: that there are.
        machine_cpu: what all processes of the machine used meanwhile.
        program_cpu: what the program did, as far as it has been waited for.
        doctor_cpu: what watching took.
        oom_kills: of the whole machine meanwhile.
        shared_memory_left: names in /dev/shm that were not there before.
        alive: processes of the program that outlive it.
        folder: the working directory.
    """

    command: tuple[str, ...]
    python: bool
    status: int
    interrupted: int
    began: int
    ended: int
    clock: float
    pid: int
    cpus: int
    machine_cpus: int
    machine_cpu: float
    program_cpu: float
    doctor_cpu: float
    oom_kills: int
    shared_memory_left: tuple[str, ...]
    alive: tuple[int, ...]
    folder: str

    @property
    def wall(self) -> float:
        """Seconds."""
        return (self.ended - self.began) / 1e9

    @property
    def foreign(self) -> float:
        """The share of the machine's CPUs that neither the program nor the doctor used."""
        rest = self.machine_cpu - self.program_cpu - self.doctor_cpu
        return max(0.0, rest) / max(1e-9, self.machine_cpus * self.wall)


class Look(NamedTuple):
    """One process at one time: bytes, seconds of CPU and of waiting for a CPU, threads that
    used some since the last look, page faults without and with reading from a disk."""

    time: int
    pid: int
    rss: int
    cpu: float
    delay: float
    threads: int
    running: int
    faults: int
    major: int


class Roll(NamedTuple):
    """A reading of a process's memory, in bytes, and how many faults it had had by then."""

    time: int
    pid: int
    rss: int
    pss: int
    dirty: int
    anonymous: int
    shared: int
    swap: int
    faults: int


class Stuck(NamedTuple):
    """A thread that waited when nothing had run for seconds: the kernel's name of its system call,
    and of reads and writes the inode of the pipe, of waits the child."""

    pid: int
    tid: int
    call: str
    channel: int


class Room(NamedTuple):
    """/dev/shm in bytes: its size, what was free at the beginning, and at the least. 0: there is none."""

    size: int
    free: int
    least: int


NO_ROOM = Room(0, 0, 0)


@dataclass
class Readings:
    """The readings of the sampler.

    Attributes:
        looks, rolls: see there.
        threads: CPU seconds of each thread, by process.
        libraries: what of interest each process has mapped.
        commands: command lines.
        parents: who started whom.
        stuck: see there; idle: for how many seconds nothing had run then.
        shared_memory: see ``Room``.
        ends: pipe inodes that each process holds for reading (0) and writing (1), when stuck.
    """

    looks: list[Look] = field(default_factory=list)
    rolls: list[Roll] = field(default_factory=list)
    threads: dict[int, dict[int, float]] = field(default_factory=dict)
    libraries: dict[int, list[str]] = field(default_factory=dict)
    commands: dict[int, str] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    stuck: list[Stuck] = field(default_factory=list)
    idle: float = 0.0
    shared_memory: Room = NO_ROOM


@dataclass(frozen=True)
class Recording:
    """All of it."""

    facts: Facts
    rings: list[Ring]
    readings: Readings
    own: tuple[bytes, ...] = ()
    """Files in which pools of onecopy's own saved their runs."""


def save(recording: Recording, file: IO[bytes]) -> None:
    """Write ``recording``."""
    import json  # these three only when a file is written or read: they count in every run
    import zipfile

    plain = {"version": _VERSION, "facts": asdict(recording.facts)}
    plain["readings"] = asdict(recording.readings)
    plain["rings"] = [
        {"pid": ring.pid, "lost": ring.lost, "thinned": ring.thinned} for ring in recording.rings
    ]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("doctor.json", json.dumps(plain))
        for number, ring in enumerate(recording.rings):
            archive.writestr(f"{number}.names", ring.names)
            archive.writestr(f"{number}.head", ring.head)
            archive.writestr(f"{number}.records", bytes(ring.records))
        for number, file_of_ours in enumerate(recording.own):
            archive.writestr(f"{number}.onecopy", file_of_ours)


def load(path: str | Path) -> Recording:
    """Read what ``save`` has written.

    Raises:
        BadFile: it is no such file, or a damaged one.
        OSError: it cannot be read.
    """
    import json
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            plain = json.loads(archive.read("doctor.json"))
            if plain["version"] != _VERSION:
                raise BadFile(f"{str(path)!r} is of version {plain['version']}, not {_VERSION}")
            rings = [_ring(archive, at, each) for at, each in enumerate(plain["rings"])]
            names = [name for name in archive.namelist() if name.endswith(".onecopy")]
            own = tuple(archive.read(name) for name in names)
            return Recording(_facts(plain["facts"]), rings, _readings(plain["readings"]), own)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, zlib.error) as error:
        raise BadFile(f"{str(path)!r} is no recording of onecopy doctor: {error}") from error


def _ring(archive: zipfile.ZipFile, number: int, plain: dict[str, Any]) -> Ring:
    names = archive.read(f"{number}.names").decode("utf-8", "replace")
    records = bytearray(archive.read(f"{number}.records"))
    head = archive.read(f"{number}.head")
    return Ring(plain["pid"], head, records, names, plain["lost"], plain["thinned"])


def _facts(plain: dict[str, Any]) -> Facts:
    values: dict[str, Any] = {each.name: plain[each.name] for each in fields(Facts)}
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return Facts(**values)


def _readings(plain: dict[str, Any]) -> Readings:
    def by_number(table: dict[str, Any]) -> dict[int, Any]:
        return {int(key): value for key, value in table.items()}

    threads = by_number(plain["threads"])
    return Readings(
        looks=[Look(*row) for row in plain["looks"]],
        rolls=[Roll(*row) for row in plain["rolls"]],
        threads={pid: by_number(each) for pid, each in threads.items()},
        libraries=by_number(plain["libraries"]),
        commands=by_number(plain["commands"]),
        parents=by_number(plain["parents"]),
        stuck=[Stuck(*row) for row in plain["stuck"]],
        idle=float(plain["idle"]),
        shared_memory=Room(*plain.get("shared_memory", (0, 0, 0))),
    )
