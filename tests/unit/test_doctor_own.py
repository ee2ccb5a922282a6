"""Pools of onecopy's own in a program that the doctor watches: named, drawn, and no forks of it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onecopy._doctor import diagnosis, objects, own, recording, terminal
from onecopy._doctor.inside import kinds
from onecopy._doctor.recording import Recording
from onecopy._report import saved
from onecopy._report.model import Run, empty_tables
from onecopy.errors import BadFile
from tests.doctor.made import MS, SECOND, Made, Process


def run() -> Run:
    """One worker, of pid 21, that computes for a second."""
    tables = empty_tables()
    spans = np.zeros(1, tables["spans"].dtype)
    spans["worker"], spans["pid"] = 1, 21
    spans["received"], spans["decoded"], spans["started"] = 100 * MS, 110 * MS, 120 * MS
    spans["finished"], spans["encoded"], spans["returned"] = 1120 * MS, 1130 * MS, 1140 * MS
    totals = np.zeros(1, tables["totals"].dtype)
    totals["worker"], totals["tasks"] = 1, 1
    totals["compute"], totals["running"] = SECOND, SECOND
    lives = np.zeros(1, tables["workers"].dtype)
    lives["worker"], lives["pid"] = 1, 21
    lives["born"], lives["ready"], lives["last"] = MS, 90 * MS, 1130 * MS
    return Run(
        spans=spans,
        totals=totals,
        workers=lives,
        memory=tables["memory"],
        functions=("f",),
        sites=(("map", "f", "prog.py", 3, 0),),
        began=MS,
        ended=1150 * MS,
        clock=0.0,
        method="fork",
        wanted=1,
        cpus=2,
        owner_cpu=0.0,
        owner_pid=1,
    )


def recorded() -> Recording:
    """A program with that pool: its worker is a fork of the zygote, which is one of main."""
    made = Made(wall=1.2)
    for pid, at in ((1, 0), (20, 600 * MS)):
        for step in range(6):
            made.look(pid, at + step * 100 * MS, cpu=0.1 * step)
        made.look(pid, 1190 * MS, cpu=0.5)
    made.processes.append(Process(20, MS, 1, kinds.FORKED))
    made.processes.append(Process(21, 2 * MS, 20, kinds.FORKED))
    file = io.BytesIO()
    saved.save(run(), file)
    return replace(made.recording(), own=(file.getvalue(),))


def test_its_processes_have_their_names() -> None:
    found = diagnosis.of(recorded())
    names = [each.describe() for each in found.history.processes]
    assert names == [
        "the main process (pid 1)",
        "onecopy zygote (pid 20)",
        "onecopy worker 1 (pid 21)",
    ]
    assert found.findings == []
    # Without its run it is a child like any other, which computes when main does not.
    nameless = diagnosis.of(replace(recorded(), own=()))
    assert [each.id for each in nameless.findings] == ["alternating"]


def test_it_is_shown_with_its_lanes() -> None:
    text = io.StringIO()
    terminal.show(diagnosis.of(recorded()), text)
    lines = text.getvalue().splitlines()
    assert any("1 worker of onecopy computed 87 % of 1.15 s" in line for line in lines)
    [lane] = [line for line in lines if line.startswith("worker 1 ")]
    assert 55 < lane.count("█") < 62
    assert max(map(len, lines)) <= 80


def test_it_is_kept_in_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.doctor"
    with open(path, "wb") as file:
        recording.save(recorded(), file)
    again = recording.load(path)
    [kept] = own.runs(again)
    assert kept.tasks == 1
    assert '"method": "fork"' in objects.dump(diagnosis.of(again))


def test_a_damaged_one_is_an_error_of_ours() -> None:
    damaged = replace(recorded(), own=(b"PK nothing",))
    with pytest.raises(BadFile, match="a run of onecopy"):
        diagnosis.of(damaged)
