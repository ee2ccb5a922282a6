"""Reports of made-up runs in files: saved runs, and traces for viewers."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

import onecopy as oc
from onecopy._observe.columns import WORKER, dtype_of
from onecopy._report import saved, tracks, write
from onecopy._report.chrome import write_chrome
from onecopy._report.model import Run
from onecopy._report.perfetto import write_perfetto
from tests.runs import made_up

# Files.


def same(one: Run, other: Run) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Run)
    )


def test_a_saved_run_is_the_same_run(tmp_path: Path) -> None:
    run = made_up(300, lost=3)
    write.report(run, tmp_path / "run.onecopy")
    assert same(saved.load(tmp_path / "run.onecopy"), run)


def test_a_run_that_the_version_before_has_saved(tmp_path: Path) -> None:
    run = made_up(300, lost=3)
    path = tmp_path / "run.onecopy"
    write.report(run, path)
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as new, zipfile.ZipFile(path, "w") as old:
        for name in new.namelist():
            old.writestr(name, _before(name, new.read(name)))
    assert same(saved.load(path), run)


def _before(name: str, data: bytes) -> bytes:
    if name == "run.json":
        return data.replace(b'"version": 4', b'"version": 3')
    if name == "workers.npy":
        table = np.load(io.BytesIO(data))
        kept = tuple(column for column in WORKER if column[0] != "initializing")
        old = np.zeros(table.shape, dtype_of(kept))
        for column, _ in kept:
            old[column] = table[column]
        out = io.BytesIO()
        np.save(out, old)
        return out.getvalue()
    return data


@pytest.mark.parametrize("damage", ["empty", "foreign", "cut", "later", "columns", "pickled"])
def test_a_damaged_one_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.onecopy"
    write.report(made_up(10), path)
    data = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_text("no run")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, _damaged(damage, name, old.read(name)))
    with pytest.raises(oc.BadFile, match=re.escape(str(path))):
        saved.load(path)


def _damaged(damage: str, name: str, data: bytes) -> bytes:
    if damage == "later" and name == "run.json":
        return data.replace(b'"version": 4', b'"version": 99')
    if name == "spans.npy" and damage in ("columns", "pickled"):
        out = io.BytesIO()
        np.save(out, np.zeros(3) if damage == "columns" else np.array([object()]))
        return out.getvalue()
    return data


def test_files_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")

    def fail(*_: object) -> Any:
        raise OSError("no room")

    monkeypatch.setattr(tracks, "slices", fail)
    with pytest.raises(OSError, match="no room"):
        write.report(made_up(5), path)
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    assert path.read_text() == "before"
    with pytest.raises(ValueError, match=r"\.html .*\.pftrace .*\.json .*\.onecopy"):
        write.report(made_up(5), tmp_path / "run.xml")
    with pytest.raises(FileNotFoundError):
        write.report(made_up(5), tmp_path / "nowhere" / "run.html")


# Traces.


def trace(run: Run) -> Any:
    out = io.BytesIO()
    write_perfetto(run, out)
    read = Trace()
    read.ParseFromString(out.getvalue())
    return read


def test_perfetto_reads_it() -> None:
    run = made_up(60, 3, lost=1)
    packets = trace(run).packet
    names = {entry.iid: entry.name for p in packets for entry in p.interned_data.event_names}
    tracks_of = {
        p.track_descriptor.uuid: p.track_descriptor
        for p in packets
        if p.HasField("track_descriptor")
    }
    processes = {
        d.process.pid: d.process.process_name for d in tracks_of.values() if d.HasField("process")
    }
    assert processes == {4000: "main process", 4001: "worker 1", 4002: "worker 2", 4003: "worker 3"}
    events = [p for p in packets if p.HasField("track_event")]
    last: dict[int, int] = {}
    open_: dict[int, list[str]] = {}
    slices: list[str] = []
    flows: dict[int, list[str]] = {}
    counters = 0
    for packet in events:
        event = packet.track_event
        assert event.track_uuid in tracks_of
        assert packet.timestamp >= last.get(event.track_uuid, 0), "in order on each track"
        last[event.track_uuid] = packet.timestamp
        stack = open_.setdefault(event.track_uuid, [])
        if event.type == event.TYPE_SLICE_BEGIN:
            stack.append(names[event.name_iid])
            slices.append(names[event.name_iid])
        elif event.type == event.TYPE_SLICE_END:
            stack.pop()
        elif event.type == event.TYPE_COUNTER:
            counters += 1
            assert tracks_of[event.track_uuid].counter.unit == 3
        for flow in (*event.flow_ids, *event.terminating_flow_ids):
            flows.setdefault(flow, []).append(names[event.name_iid])
    assert not any(open_.values()), "every slice has its end"
    functions = [name for name in slices if name.startswith("pipeline.")]
    assert len(functions) == 60
    assert sum(name.endswith("(lost)") for name in functions) == 1
    assert slices.count("start-up") == 3
    assert counters == 2 * len(run.memory)
    assert len(flows) == 2 * 59
    assert all(len(ends) == 2 for ends in flows.values())


def test_chrome_s_format() -> None:
    run = made_up(60, 3)
    out = io.StringIO()
    write_chrome(run, out)
    events = json.loads(out.getvalue())["traceEvents"]
    assert all(type(each["pid"]) is int for each in events)
    tasks = [each for each in events if each.get("cat") == "task" and each["name"] != "start-up"]
    assert len(tasks) == 60
    parts = [each for each in events if each.get("cat") == "part"]
    for part in parts:
        assert any(
            task["pid"] == part["pid"]
            and task["ts"] - 1e-6 <= part["ts"]
            and part["ts"] + part["dur"] <= task["ts"] + task["dur"] + 1e-6
            for task in tasks
        )
    starts = {each["id"] for each in events if each["ph"] == "s"}
    assert starts == {each["id"] for each in events if each["ph"] == "f"}
    assert len(starts) == 120
    assert sum(each["ph"] == "C" for each in events) == len(run.memory)


def test_threads_have_a_track_each() -> None:
    run = made_up(20, 2)
    workers, spans = run.workers.copy(), run.spans.copy()
    workers["pid"] = spans["pid"] = run.owner_pid
    found = list(tracks.slices(replace(run, workers=workers, spans=spans, method="thread")))
    assert {(each.pid, each.tid) for each in found} == {(4000, 1), (4000, 2)}
