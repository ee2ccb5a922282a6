"""The fault table's bookkeeping: what is seen gets the right mark, marks fit their tables.

Outcomes are made up; no pool is made and no process started. ``make bench-faults`` does that.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.faults import judge, peers, rows, show
from bench.faults.cell import answer, without_paths
from bench.faults.facts import Answer, Batch, Facts, rebuilt
from bench.faults.judge import Defect, Grade

KILLED = rows.fault("kill_running")
TOLD = Answer("error", 0.1, "WorkerDied", "WorkerDied: worker 7 was killed by SIGKILL")


def seen(**changes: object) -> Facts:
    """A cell in which all went well, but for what is said."""
    good = Facts(
        done=True,
        placed=True,
        others=Batch(40, 40),
        answer=TOLD,
        after=Batch(10, 10),
        ended=0.2,
        code=0,
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def marks(name: str, facts: Facts) -> list[str]:
    return [defect.mark for defect in judge.defects(rows.fault(name), facts)]


def test_names_are_told_apart() -> None:
    assert len(set(rows.NAMES)) == len(rows.NAMES)
    assert len({peer.title for peer in peers.PEERS}) == len(peers.PEERS)
    assert peers.NAMES[-1] == "onecopy"


def test_nothing_wrong_is_ok() -> None:
    assert marks("kill_running", seen()) == []
    assert judge.verdict(KILLED, [seen(), seen()]) == judge.OK


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answer": Answer("error", text="OSError: end of file")}, ["mute"]),
        ({"answer": Answer("value")}, ["late"]),
        ({"answer": Answer("missing")}, ["hangs"]),
        ({"others": Batch(40, 37, {"Broken": 3})}, ["3 lost"]),
        ({"others": Batch(40, 39, missing=1), "after": None}, ["all hang", "all hang"]),
        ({"after": Batch(10, 0, {"Broken": 10})}, ["pool lost"]),
        ({"after": Batch(10, 9, missing=1)}, ["all hang"]),
        ({"ended": None}, ["no end"]),
        ({"processes": 2, "shm": ["sem.a"], "files": ["x"]}, ["2 procs", "1 shm", "1 file"]),
        ({"ended": None, "answer": Answer("missing")}, ["no end", "hangs"]),
        (
            {"others": Batch(40, 20, {"Broken": 20}), "after": Batch(10, 0, {"Broken": 10})},
            ["pool lost", "20 lost"],
        ),
        ({"placed": False, "others": None, "answer": None, "after": None}, ["no start"]),
    ],
)
def test_each_thing_that_goes_wrong(changes: dict[str, object], expected: list[str]) -> None:
    assert marks("kill_running", seen(**changes)) == expected


def test_a_task_without_a_fault_is_asked_for_its_value() -> None:
    assert marks("lambda", seen(answer=Answer("value"))) == []
    assert marks("lambda", seen()) == ["refused"]
    assert marks("kill_idle", seen(answer=None)) == []


def test_an_error_has_to_say_all_of_it() -> None:
    place = 'File "tasks.py", line 77, in raise_special'
    assert marks("base_exception", seen(answer=Answer("error", text=f"{place}\nSpecial: no"))) == []
    assert marks("base_exception", seen(answer=Answer("error", text="Special: no"))) == ["mute"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kill_running", "The exit codes of the workers are {SIGKILL(-9)}"),
        ("kill_running", "Subprocess 7 completed unexpectedly with exitcode -9 (Killed)"),
        ("kill_running", "ProcessExpired: Abnormal termination {'exitcode': -9, 'pid': 7}"),
        ("exit_hard", "The exit codes of the workers are {EXIT(3)}"),
        ("exit_hard", "{'exitcode': 3, 'pid': 7}"),
        ("exit_hard", "worker 7 exited with code 3"),
        ("exit_soft", "SystemExit: 3"),
        ("segfault", "exitcode -11 (Segmentation fault)"),
    ],
)
def test_every_peers_way_to_name_a_cause_is_known(name: str, text: str) -> None:
    assert marks(name, seen(answer=Answer("error", text=text))) == []


def test_ends_by_signals() -> None:
    def ended(name: str, **changes: object) -> list[str]:
        return marks(name, seen(others=None, answer=None, after=None, **changes))

    assert ended("interrupt") == []
    assert ended("interrupt", ended=9.4, noise="Traceback") == ["slow 9 s", "noisy"]
    assert ended("interrupt", ended=None) == ["no end"]
    assert ended("owner", processes=1) == ["1 proc"]
    # What the killed owner's workers print is not asked.
    assert ended("owner", noise="Traceback") == []


def test_the_worst_round_counts_and_says_how_often() -> None:
    hangs = seen(answer=Answer("missing"))
    assert judge.verdict(KILLED, [seen(), hangs, hangs]) == Defect(Grade.HANGS, "hangs 2/3")
    lost = [seen(others=Batch(40, 40 - n, {"Broken": n})) for n in (9, 12)]
    assert judge.verdict(KILLED, lost) == Defect(Grade.LOST, "12 lost")


def test_a_fault_that_came_too_late_is_not_judged() -> None:
    sending = rows.fault("sending")
    late = seen(placed=False, answer=Answer("value"))
    assert judge.verdict(sending, [late, late]) is None
    assert judge.verdict(sending, [late, seen(answer=Answer("missing"))]) == Defect(
        Grade.HANGS, "hangs"
    )


def test_facts_go_through_json() -> None:
    facts = seen(others=Batch(40, 39, {"Broken": 1}))
    assert rebuilt(json.loads(json.dumps(asdict(facts)))) == facts
    assert rebuilt(asdict(Facts())) == Facts()


def test_an_answer_has_classes_numbers_notes_and_causes() -> None:
    from concurrent.futures import Future

    error = ValueError("first")
    error.add_note("noted")
    error.exitcode = -9  # type: ignore[attr-defined]
    error.__cause__ = KeyError("second")
    future: Future[None] = Future()
    assert answer(future).state == "missing"
    future.set_exception(error)
    found = answer(future)
    assert (found.state, found.error) == ("error", "ValueError")
    for part in ("ValueError, Exception: first", "'exitcode': -9", "noted", "second"):
        assert part in found.text


def test_no_directory_is_recorded() -> None:
    assert (
        without_paths('File "/home/me/lib/pool.py", line 1; a/b') == 'File "pool.py", line 1; a/b'
    )


def _cells(defect: Defect | str) -> dict[tuple[str, str], Defect | str]:
    return {(fault, peer): defect for fault in rows.NAMES for peer in peers.NAMES}


def test_the_widest_table_fits() -> None:
    file = io.StringIO()
    cells = _cells(Defect(Grade.POOL_LOST, "pool lost 2/3"))
    Console(file=file, width=show.WIDTH).print(show.terminal(rows.FAULTS, peers.PEERS, cells))
    text = file.getvalue()
    # A long mark may take two lines.
    assert text.count("pool lost") >= len(cells)
    assert text.count("2/3") == len(cells)
    for fault in rows.FAULTS:
        assert fault.title in text
    assert max(map(len, text.splitlines())) <= show.WIDTH


def test_the_legend_has_what_is_shown_and_no_more() -> None:
    text = show.markdown(rows.FAULTS, peers.PEERS, _cells("n/a"))
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- **n/a**: the pool does not offer it"
    ]
    text = show.markdown(rows.FAULTS, peers.PEERS, _cells(Defect(Grade.LOST, "3 lost 1/2")))
    assert "**n lost**" in text
    assert "**k/n**" in text
    assert "**pool lost**" not in text


def test_a_table_goes_between_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("without")
    assert not show.insert(path, "table")
    assert path.read_text() == "without"
    path.write_text(f"before\n{show.BEGIN}\nold\n{show.END}\nafter\n")
    assert show.insert(path, "table")
    assert path.read_text() == f"before\n{show.BEGIN}\ntable\n{show.END}\nafter\n"
