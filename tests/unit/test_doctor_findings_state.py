"""Findings about the state of processes, from records that were made up: globals, pages, output, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecopy._doctor.inside import kinds
from tests.doctor.made import MS, SECOND, Made

MODULE = """\
import time
LIMIT, BEGAN, model, cache = 0, time.time(), None, {}
def load():
    return 5
def work(number):
    return LIMIT + BEGAN + model.price + helper(number)
def helper(number):
    if number not in cache:
        cache[number] = unknown + number
    return cache[number]
if __name__ == "__main__":
    LIMIT = 50
    model = load()
    unknown = 3
"""


@pytest.mark.parametrize(
    ("here", "there", "error", "level"),
    [
        ("LIMIT\tint\t50", "LIMIT\tint\t0", "", "wrong"),
        ("LIMIT\tint\t50", "LIMIT\tint\t50", "", ""),
        ("model\tModel\t", "model\tNoneType\t", "AttributeError\t", "crash"),
        ("unknown\tint\t3", "", "NameError\tunknown", "crash"),
        ("unknown\tint\t3", "", "NameError\tother", ""),
        ("unknown\tint\t3", "", "", ""),
        # Another each time the module runs; a cache; a name that no worker reads.
        ("BEGAN\tfloat\t1.5", "BEGAN\tfloat\t2.5", "", ""),
        ("cache\tdict\t7", "cache\tdict\t0", "", ""),
        ("other\tlist\t7", "other\tlist\t0", "", ""),
    ],
)
def test_globals_that_workers_do_not_have(
    tmp_path: Path, here: str, there: str, error: str, level: str
) -> None:
    file = tmp_path / "prog.py"
    file.write_text(MODULE)
    made = Made()
    # At the start, not by what the main process has later.
    made.main.note(kinds.MAIN, MS, 0, 0, 0, made.main.name(f"{file}\n{here}"))
    made.main.note(kinds.MAIN, SECOND, 0, 0, 0, made.main.name(f"{file}\n{here}0"))
    worker = made.process(20, begin=2 * MS, end=0, way=kinds.FRESH, method="spawn")
    worker.note(kinds.MAIN, 4 * MS, 1, 0, 0, worker.name(f"{file}\n{there}"))
    if error:
        worker.count(f"error\t{error}", 3)
    found = made.findings()
    levels = [each.level for each in found.values() if each.id == "not-inherited"]
    assert levels == ([level] if level else [])
    if level:
        assert found["not-inherited"].where.file == str(file)


@pytest.mark.parametrize(("faults", "is_found"), [(30_000, True), (5_000, False)])
def test_pages_that_the_collector_copies(faults: int, is_found: bool) -> None:
    made = Made(wall=2.0)
    for pid in (20, 21):
        child = made.process(pid, begin=10 * MS, end=1900 * MS)
        child.born(10 * MS, kinds.FORKED, 1, 200_000_000)
        child.count("collected faults", faults)
        made.look(pid, 1800 * MS, faults=60_000)
        made.roll(pid, 1800 * MS, dirty=190_000_000, anonymous=205_000_000, faults=60_000)
    found = made.findings()
    assert ("gc-copies" in found) == is_found
    assert ("copy-on-write" in found) != is_found, "one cause, one finding"


def test_output_that_is_written_twice() -> None:
    made = Made()
    child = made.process(20, begin=MS, end=0)
    assert "output-doubled" not in made.findings()
    child.note(kinds.REPEATED, SECOND, 40, 0, 0, child.name("prog.py:9 <module>"))
    found = made.findings()["output-doubled"]
    assert (found.level, str(found.where)) == ("wrong", "prog.py:9")


@pytest.mark.parametrize(
    ("writers", "turns", "is_found"), [(2, 1, True), (1, 1, False), (2, 0, False)]
)
def test_log_files_that_several_processes_rename(writers: int, turns: int, is_found: bool) -> None:
    made = Made()
    for number in range(writers):
        worker = made.process(20 + number, begin=MS, end=SECOND)
        worker.count("rotating\t/tmp/app.log", 100)
    for _ in range(turns):
        worker.note(kinds.ROTATED, 2 * MS, 0, 0, 0, worker.name("/tmp/app.log"))
    found = made.findings()
    assert ("logs-rotated" in found) == is_found
    if is_found:
        assert found["logs-rotated"].figures["records"] == 200
