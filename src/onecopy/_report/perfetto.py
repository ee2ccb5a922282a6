"""A run as a Perfetto trace: protocol buffers, written by hand.

The few messages that are needed, with the field numbers of perfetto/protos/perfetto/trace
(trace.proto, track_event.proto, track_descriptor.proto); tests read the result with the classes
that the project's own Python package generates from them. Names are interned, so an event takes
about twenty bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import chain
from typing import IO

from . import tracks
from .model import Run

# Wire types (protobuf.dev/programming-guides/encoding).
_VARINT, _FIXED64, _BYTES = 0, 1, 2
# TracePacket.
_PACKET = 1  # in Trace
_TIMESTAMP, _SEQUENCE, _EVENT, _INTERNED, _FLAGS, _DESCRIPTOR = 8, 10, 11, 12, 13, 60
_CLEARED, _NEEDED = 1, 2
# TrackDescriptor; ProcessDescriptor, ThreadDescriptor, CounterDescriptor.
_UUID, _NAME, _PROCESS, _THREAD, _PARENT, _COUNTER = 1, 2, 3, 4, 5, 8
_PID, _PROCESS_NAME, _TID, _THREAD_NAME, _UNIT, _BYTES_UNIT = 1, 6, 2, 5, 3, 3
# TrackEvent and its types; DebugAnnotation; InternedData.
_TYPE, _TRACK, _NAME_ID, _ANNOTATION, _VALUE, _FLOW, _FLOW_END = 9, 11, 10, 4, 30, 47, 48
_BEGIN, _END, _INSTANT, _COUNT = 1, 2, 3, 4
_KEY_ID, _INT, _STRING = 1, 4, 6
_EVENT_NAMES, _KEY_NAMES, _ID, _TEXT = 2, 3, 1, 2

# One sequence: all interned names belong to it.
_ONLY = 1


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | _FIXED64) + struct.pack("<Q", value)


def _data(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def write_perfetto(  # noqa: C901  # one packet after the other
    run: Run, file: IO[bytes], more: Iterable[tracks.Slice] = ()
) -> None:
    """Write ``run``; the packets of each track in the order of their times.

    ``more`` are slices of further threads, thread by thread. Traces written one behind the other
    into one file are one trace.
    """
    writer = _Writer(file)
    writer.packet(_number(_FLAGS, _CLEARED))
    owner = _track(run.owner_pid, run.owner_pid)
    names = tracks.processes(run)
    read = {tracks.process(*ids) for ids in zip(*_ids(run), strict=True)}
    for pid, name in names.items():
        what = _number(_PID, pid) + _data(_PROCESS_NAME, name)
        writer.describe(_uuid("process", pid), name, _data(_PROCESS, what))
        if pid in read:
            counter = _data(_COUNTER, _number(_UNIT, _BYTES_UNIT))
            for kind in ("PSS", "USS"):
                uuid = _uuid(kind, pid)
                writer.describe(uuid, kind, _number(_PARENT, _uuid("process", pid)) + counter)
    writer.thread(run.owner_pid, run.owner_pid, "tasks")
    seen: set[tuple[int, int]] = set()
    marks: list[tuple[int, bytes]] = []
    open_until = 0
    track = 0
    for each in chain(tracks.slices(run), more):
        if (each.pid, each.tid) not in seen:
            seen.add((each.pid, each.tid))
            if open_until:
                writer.end(track, open_until)
                open_until = 0
            writer.thread(each.pid, each.tid, f"tasks of {names.get(each.pid, '')}".strip())
        if not each.inner:
            if open_until:
                writer.end(track, open_until)
            open_until = each.end
        track = _track(each.pid, each.tid)
        extra = b"".join(writer.annotation(key, value) for key, value in each.args.items())
        if each.flow:
            extra += _fixed(_FLOW, 2 * each.flow) + _fixed(_FLOW, 2 * each.flow + 1)
            marks.append((each.submitted, writer.mark("submit", owner, _FLOW, 2 * each.flow)))
            end = writer.mark("result", owner, _FLOW_END, 2 * each.flow + 1)
            marks.append((each.returned, end))
        writer.event(each.begin, _BEGIN, track, writer.name(each.name) + extra)
        if each.inner:
            writer.end(track, each.end)
    if open_until:
        writer.end(track, open_until)
    for time, event in sorted(marks, key=lambda mark: mark[0]):
        writer.packet(_number(_TIMESTAMP, time) + event)
    for count in tracks.counts(run):
        for kind, value in (("PSS", count.pss), ("USS", count.uss)):
            track = _uuid(kind, count.pid)
            writer.event(count.time, _COUNT, track, _number(_VALUE, value))


def _ids(run: Run) -> tuple[list[int], list[int]]:
    return run.memory["host"].tolist(), run.memory["pid"].tolist()


_KINDS = {"process": 1, "PSS": 2, "USS": 3, "thread": 4}


def _uuid(kind: str, number: int) -> int:
    return _KINDS[kind] << 56 | number


def _track(pid: int, tid: int) -> int:
    return _uuid("thread", pid << 24 ^ tid)


class _Writer:
    """A writer of packets, and of names when they are first used."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._names: dict[str, int] = {}
        self._keys: dict[str, int] = {}

    def packet(self, body: bytes) -> None:
        self._file.write(_data(_PACKET, body + _number(_SEQUENCE, _ONLY)))

    def describe(self, uuid: int, name: str, more: bytes) -> None:
        self.packet(_data(_DESCRIPTOR, _number(_UUID, uuid) + _data(_NAME, name) + more))

    def thread(self, pid: int, tid: int, name: str) -> None:
        what = _number(_PID, pid) + _number(_TID, tid) + _data(_THREAD_NAME, name)
        parent = _number(_PARENT, _uuid("process", pid))
        self.describe(_track(pid, tid), name, parent + _data(_THREAD, what))

    def name(self, name: str) -> bytes:
        return _number(_NAME_ID, self._interned(self._names, _EVENT_NAMES, name))

    def _interned(self, known: dict[str, int], field: int, name: str) -> int:
        number = known.get(name)
        if number is None:
            number = known[name] = len(known) + 1
            entry = _data(field, _number(_ID, number) + _data(_TEXT, name))
            self.packet(_data(_INTERNED, entry) + _number(_FLAGS, _NEEDED))
        return number

    def annotation(self, key: str, value: int | str) -> bytes:
        said = _number(_KEY_ID, self._interned(self._keys, _KEY_NAMES, key))
        said += _number(_INT, value) if isinstance(value, int) else _data(_STRING, value)
        return _data(_ANNOTATION, said)

    def mark(self, name: str, track: int, field: int, flow: int) -> bytes:
        """Return an instant of the owner's, without its time."""
        body = _number(_TYPE, _INSTANT) + _number(_TRACK, track) + self.name(name)
        return _data(_EVENT, body + _fixed(field, flow)) + _number(_FLAGS, _NEEDED)

    def event(self, time: int, kind: int, track: int, more: bytes) -> None:
        body = _number(_TYPE, kind) + _number(_TRACK, track) + more
        self.packet(_number(_TIMESTAMP, time) + _data(_EVENT, body) + _number(_FLAGS, _NEEDED))

    def end(self, track: int, time: int) -> None:
        self.event(time, _END, track, b"")
