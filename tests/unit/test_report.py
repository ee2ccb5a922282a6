"""Reports of made-up runs: arithmetic, words, the terminal, the page. Files: `test_report_files.py`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table as Grid
from rich.text import Text

from onecopy._observe.failures import Failed
from onecopy._observe.spans import summed
from onecopy._report import html, notebook, saved, words, write
from onecopy._report.advice import advice, verdict
from onecopy._report.calls import calls
from onecopy._report.chrome import write_chrome
from onecopy._report.model import Run, empty_tables
from onecopy._report.screen import Screen
from onecopy._report.terminal import print_report
from tests.runs import crowded, made_up


def titles(run: Run) -> list[str]:
    return [each.title for each in advice(run)]


# Arithmetic and words.


@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 3))
def test_the_parts_add_up_to_the_whole(tasks: int, workers: int, seed: int) -> None:
    parts = made_up(tasks, workers, seed=seed).accounting()
    named = {field: value for field, value in parts._asdict().items() if field not in _WHOLE}
    assert sum(named.values()) == pytest.approx(parts.total)
    assert abs(parts.other) <= 1e-6 * max(parts.total, 1)


_WHOLE = ("workers", "wall")


def test_time_with_a_worker_that_died_is_lost_and_no_tail() -> None:
    run = made_up(40, 2)
    spans, totals = run.spans.copy(), run.totals.copy()
    totals["lost"][totals["worker"] == 1] = 1
    parts = replace(run, spans=spans, totals=totals).accounting()
    before = run.accounting()
    assert parts.lost > 0
    left = parts.lost + parts.tail + parts.waiting
    assert left == pytest.approx(before.tail + before.waiting)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 s"),
        (-8e-19, "0 s"),
        (3e-9, "3 ns"),
        (85.23e-6, "85.2 µs"),
        (0.01, "10 ms"),
        (0.9999, "1 s"),
        (12.34, "12.3 s"),
        (125, "2 min 5 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_seconds(value: float, said: str) -> None:
    assert words.seconds(value) == said


def test_a_healthy_run_gets_no_advice() -> None:
    assert titles(made_up(2000)) == []
    assert "91 %" in verdict(made_up(1000))


def test_no_task_at_all() -> None:
    assert verdict(made_up(0)).startswith("No task")
    assert titles(made_up(0)) == []


def kinds(run: Run) -> list[str]:
    return [each.kind for each in advice(run)]


def test_tasks_that_are_too_small() -> None:
    assert "small" in kinds(made_up(20_000, mean_ms=0.01))


def test_too_few_pieces_and_stragglers() -> None:
    assert kinds(made_up(5, mean_ms=500)) == ["few"]
    run = made_up(200, mean_ms=5)
    spans, totals, workers = run.spans.copy(), run.totals.copy(), run.workers.copy()
    last = int(np.argmax(spans["received"]))
    more = 2_000_000_000
    for name in ("finished", "encoded", "returned", "cpu"):
        spans[name][last] += more
    row = (totals["worker"] == spans["worker"][last]) & (totals["site"] == spans["site"][last])
    totals["compute"][row] += more
    totals["running"][row] += more
    workers["last"][workers["worker"] == spans["worker"][last]] += more
    slow = replace(run, spans=spans, totals=totals, workers=workers, ended=run.ended + more)
    found = advice(slow)[0]
    assert found.kind == "straggler"
    assert f"number {spans['task'][last]}" in found.evidence
    assert found.line.startswith("/home/me/pipeline.py:")


def chunked(took_ms: Sequence[float], counts: Sequence[int], workers: int = 2) -> Run:
    """A map with chunksize=, whose chunks have that many items and took that long, one after another
    by the worker that is free first."""
    run = made_up(len(took_ms), workers)
    spans, ends = run.spans.copy(), [run.began] * workers
    first = 0
    for at, (took, items) in enumerate(zip(took_ms, counts, strict=True)):
        worker = int(np.argmin(ends))
        begin, end = ends[worker], ends[worker] + int(took * 1e6)
        for name in ("submitted", "sent"):
            spans[name][at] = run.began
        for name in ("received", "decoded", "started"):
            spans[name][at] = begin
        for name in ("finished", "encoded", "returned"):
            spans[name][at] = end
        spans["worker"][at], spans["task"][at], spans["waited"][at] = worker + 1, 1, 0
        spans["start"][at], spans["stop"][at] = first, first + items
        spans["cpu"][at] = end - begin
        ends[worker] = end
        first += items
    spans["site"] = 0
    lives = run.workers.copy()
    for worker in range(workers):
        lives["born"][worker] = lives["ready"][worker] = run.began
        lives["last"][worker] = ends[worker]
    sites = (("map", "job.f", "job.py", 3, max(counts)), *run.sites[1:])
    return replace(
        run, spans=spans, totals=summed(spans), workers=lives, ended=max(ends), sites=sites
    )


def test_a_chunksize_is_blamed_for_what_leaving_it_out_saves() -> None:
    even = chunked([640, 160], [32, 8])
    [first, *_] = advice(even)
    assert first.kind == "chunks"
    assert first.saves == pytest.approx(0.24, abs=0.01)
    # The last item is a long one: chunks do not matter then, the order does.
    late = chunked([100] * 6 + [1000], [10] * 6 + [1])
    [first, *_] = advice(late)
    assert first.kind == "straggler"
    assert "item 60 took 1 s" in first.evidence
    assert "chunksize=1)" in first.change
    assert first.saves == pytest.approx(0.3, abs=0.01)


def test_lost_tasks() -> None:
    assert kinds(made_up(100, lost=2))[0] == "lost"


def test_more_workers_than_cpus() -> None:
    assert kinds(crowded()) == ["workers"]


def test_large_results() -> None:
    run = made_up(200)
    totals = run.totals.copy()
    totals["result_moved"] = totals["tasks"] * 2_000_000
    totals["encode"] = totals["compute"]
    assert "results" in kinds(replace(run, totals=totals))
    # Allocating an array for them takes as long as the copies that are saved.
    totals["result_moved"] = totals["tasks"] * 100_000_000
    assert "results" not in kinds(replace(run, totals=totals))


@pytest.mark.parametrize(
    "kind", ["slices", "same", "own", "objects", "pieces", "same frame", "frames", "tables"]
)
def test_large_arguments(kind: str) -> None:
    run = made_up(200)
    totals = run.totals.copy()
    totals["args_moved"] = totals["tasks"] * 10_000_000
    totals["decode"] = totals["compute"]
    large = ((0, kind, 2 * 10**9, 10**7),)
    assert kind in kinds(replace(run, totals=totals, large=large))


def test_copying_beside_the_workers_costs_what_it_takes_from_them() -> None:
    """Half of the copying is done while no worker waits: on two CPUs the main process takes a third
    of the time of two workers meanwhile; on eight it takes nothing."""
    run = made_up(200, 2, functions=("pipeline.fit",))
    totals = run.totals.copy()
    totals["args_moved"] = totals["tasks"] * 10_000_000
    totals["decode"] = totals["compute"]
    diary = np.zeros((run.ended - run.began) // 1_000_000, empty_tables()["diary"].dtype)
    diary["time"] = run.began + np.arange(len(diary)) * 1_000_000
    diary["packing"] = 500_000
    large = ((0, "slices", 2 * 10**9, 10**7),)

    def saved(cpus: int) -> float:
        changed = replace(run, totals=totals, diary=diary, large=large, cpus=cpus)
        [found] = [each for each in advice(changed) if each.kind == "slices"]
        return found.saves

    [call] = calls(replace(run, totals=totals, diary=diary, large=large))
    whole = float(diary["packing"].sum()) / 1e9
    beside = whole - call.idle["packing"] / 2
    assert beside > 0.4 * whole
    assert saved(2) - saved(8) == pytest.approx(beside / 3, rel=0.1)


@pytest.mark.parametrize("kind", ["iterable", "callbacks", "handlers"])
def test_what_the_owner_does_while_workers_wait(kind: str) -> None:
    run = made_up(200, 2)
    spans, workers, diary = run.spans.copy(), run.workers.copy(), empty_tables()["diary"]
    # The second half of the tasks comes a second later, and meanwhile the owner did this.
    late, second = spans["received"] > np.median(spans["received"]), 1_000_000_000
    for name in ("sent", "received", "decoded", "started", "finished", "encoded", "returned"):
        spans[name][late] += second
    for worker in (1, 2):
        mine = np.flatnonzero(late & (spans["worker"] == worker))
        first = mine[np.argmin(spans["received"][mine])]
        spans["waited"][first] += second
    workers["last"] += second
    begin = int(spans["received"][late].min()) - second
    diary = np.zeros(run.ended // 1_000_000 - run.began // 1_000_000 + 1200, diary.dtype)
    diary["time"] = run.began + np.arange(len(diary)) * 1_000_000
    doing = (diary["time"] >= begin) & (diary["time"] < begin + second)
    diary[kind][doing] = 1_000_000
    totals = summed(spans)
    changed = replace(
        run, spans=spans, workers=workers, totals=totals, diary=diary, ended=run.ended + second
    )
    parts = changed.accounting()
    assert getattr(parts, kind) == pytest.approx(2.0, rel=0.05)
    assert abs(parts.other) < 1e-6
    assert kinds(changed)[:1] == [kind]


def test_failures_come_first() -> None:
    failed = tuple(Failed(0, "ValueError", f"bad {i}", i, 1) for i in (3, 13, 23))
    run = replace(made_up(100), failures=failed)
    assert verdict(run).startswith("3 of 100 tasks failed: ValueError('bad 3') and 2 more. ")
    [first] = advice(run)
    assert first.kind == "failed"
    assert "bad 3 (task 3), bad 13 (task 13)" in first.evidence
    assert "future.exception()" in first.change
    mapped = replace(run, sites=(("map", "pipeline.fit", "job.py", 3, 0), *run.sites[1:]))
    [first] = advice(mapped)
    totals = mapped.totals.copy()
    totals["items"] *= 2
    chunks = replace(mapped, totals=totals)
    assert verdict(chunks).startswith("3 of 200 items failed: ")
    assert titles(chunks)[0] == "3 of 200 items failed"
    assert 'map(fit, ..., errors="return")' in first.change
    kept = replace(chunks, failures=tuple(each._replace(kept=True) for each in failed))
    [first] = advice(kept)
    assert "errors=." in first.change
    assert "return" not in first.change


def test_memory_that_grows_and_is_copied() -> None:
    run = made_up(2000)
    memory = run.memory.copy()
    mine = memory["worker"] == 2
    memory["uss"][mine] = np.linspace(50e6, 900e6, mine.sum()).astype("u8")
    assert "A worker's own memory grows" in titles(replace(run, memory=memory))
    copied = replace(run, facts={"inherited_bytes_copied": 1e9})
    assert "Forked workers copy what they inherited" in titles(copied)


# The terminal.


def printed(run: Run, width: int) -> list[str]:
    out = io.StringIO()
    print_report(run, out, width)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("workers", [1, 4, 64])
@pytest.mark.parametrize("tasks", [0, 1, 500])
def test_it_fits(tasks: int, workers: int, width: int) -> None:
    names = ("a" * 200, "<lambda> [bold] ü")
    lines = printed(made_up(tasks, workers, functions=names, lost=min(tasks, 2)), width)
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines), "no colour where there is no terminal"
    assert sum(line.startswith("worker ") for line in lines) == min(workers, 16)


def test_lanes_show_what_was_done() -> None:
    lines = printed(made_up(400, 2, mean_ms=20), 80)
    lane = next(line for line in lines if line.startswith("worker 1"))
    assert lane.count("█") > 50
    assert any("█ in your function, on a CPU" in line for line in lines)


def initialized(share: float) -> Run:
    """A run whose workers have spent this share of their start in an initializer."""
    run = made_up(60, 3)
    lives = run.workers.copy()
    lives["initializing"] = lives["ready"] - share * (lives["ready"] - lives["born"])
    return replace(run, workers=lives)


def test_the_initializer_is_told_apart_from_the_start() -> None:
    before = made_up(60, 3).accounting()
    assert before.initializing == 0
    parts = initialized(0.75).accounting()
    assert parts.initializing == pytest.approx(0.75 * before.startup, rel=0.05)
    assert parts.startup + parts.initializing == pytest.approx(before.startup)
    assert parts.other == pytest.approx(before.other)
    lines = printed(initialized(0.75), 80)
    assert any("≡ in your initializer" in line for line in lines)
    lane = next(line for line in lines if line.startswith("worker 1"))
    assert lane.count("≡") > lane.count("░") > 0
    out = io.StringIO()
    write_chrome(initialized(0.75), out)
    names = [each["name"] for each in json.loads(out.getvalue())["traceEvents"]]
    assert names.count("start-up") == names.count("initializer") == 3
    _, lanes = html._lanes(initialized(0.75))
    assert [mark["kind"] for mark in lanes[0]["marks"]] == ["startup", "initializing"]


# The page.


class Texts(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(run: Run) -> str:
    out = io.StringIO()
    html.write_html(run, out)
    return out.getvalue()


def test_hostile_names_stay_text() -> None:
    hostile = "</script><script>alert(1)</script><img src=x>&\"'"
    text = page(made_up(30, functions=(hostile, "ok"), lost=1))
    parsed = Texts()
    parsed.feed(text)
    assert "img" not in parsed.tags
    assert parsed.tags.count("script") == 8, "the data, twice, the scripts, and the details"
    assert hostile in parsed.text
    assert parsed.loads == [], "nothing is fetched"
    assert "Content-Security-Policy" in text


def test_it_can_be_read_without_scripts() -> None:
    run = made_up(50, lost=2)
    parsed = Texts()
    parsed.feed(page(run))
    said = " ".join(parsed.text.split())
    for text in (verdict(run), *(each.change for each in advice(run)), "start-up", "pipeline.fit"):
        assert text in said


def test_in_a_notebook() -> None:
    shown = notebook.summary(made_up(50, functions=("<b>x</b>",)))
    assert "<b>x</b>" not in shown
    assert "in your function, on a CPU" in shown
    assert "<script" not in shown


def test_no_text_of_the_program_controls_a_terminal_or_a_page(tmp_path: Path) -> None:
    bad = "a\x1b[2J\x1b]0;t\x07\0\r\udcff\u202e</script><b>"
    run = made_up(100)
    hostile = replace(
        run,
        functions=tuple(bad + name for name in run.functions),
        sites=tuple((way, bad, f"{bad}.py", 3, 0) for way, *_ in run.sites),
        failures=(Failed(0, bad, bad, 3, 1),),
        imports=((bad, 3, 10**9),),
        machine={bad: bad},
    )
    shown = io.StringIO()
    print_report(hostile, shown)
    assert "\\x1b[2J" in shown.getvalue()
    written = {"terminal": shown.getvalue()}
    for suffix in (".html", ".json", ".pftrace", ".onecopy"):
        write.report(hostile, tmp_path / f"r{suffix}")
    written["page"] = (tmp_path / "r.html").read_text("utf-8")
    written["trace"] = (tmp_path / "r.json").read_text("utf-8")
    for place, text in written.items():
        assert not set(text) & set("\x1b\x07\0\r\u202e"), place
    assert "</script><b>" not in written["page"]
    assert saved.load(tmp_path / "r.onecopy").functions == hostile.functions


def test_a_screen_obeys_styles_and_no_text() -> None:
    text = io.StringIO()
    screen = Screen(text, width=40)
    grid = Grid()
    grid.add_column("a\x1b[2J", width=30)
    grid.add_row(Text("b\x1b]0;t\x07c", style="bold"))
    screen.print(grid, "\x1b[31md")
    assert "\x1b" not in text.getvalue()
    for each in ("a\\x1b[2J", "b\\x1b]0;t", "\\x1b[31md"):
        assert each in text.getvalue()


def test_memory_that_is_read_after_the_last_task_is_drawn() -> None:
    run = made_up(200, 2)
    table = run.memory.copy()
    later = np.concatenate([table[:1], table[:1]])
    later["time"] = run.ended + np.array([1, 2]) * 1_000_000_000
    later["pss"] = 9_000_000_000, 20_000_000
    found = html._memory(replace(run, memory=np.concatenate([table, later])))
    end = round((run.ended - run.began) / 1e9, 4)
    [first] = [each for each in found["processes"] if 9_000_000_000 in each["pss"]]
    assert first["pss"][-2:] == [9_000_000_000] * 2
    assert found["times"] == sorted(found["times"])
    assert found["times"][-1] == end
    assert found["times"][-2] < end, "it has a width"


def test_what_is_saved_by_sharing_is_told_where_something_is_shared() -> None:
    run = made_up(20)
    for shared, told in ((0, False), (64 << 20, True)):
        facts = {**run.facts, "saved_bytes": 50_000_000, "segment_bytes": shared}
        text = io.StringIO()
        print_report(replace(run, facts=facts), text, 80)
        assert ("saved by one copy" in text.getvalue()) is told
        assert ("shared data saved" in verdict(replace(run, facts=facts))) is told


def test_a_report_in_a_notebook_is_one_output_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: shown.append(text))
    print_report(made_up(20))
    [text] = shown
    plain = Text.from_ansi(text).plain
    assert "slowest tasks" in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_a_summary_states_the_gain() -> None:
    run = crowded()
    assert f"Gain: {advice(run)[0].gain}." in notebook.summary(run)


def test_a_column_without_text_is_left_out() -> None:
    """The doctor knows no lines of calls, for example."""
    rows = [("", ("one", "", ("5", 5.0), "x")), ("", ("two", "", ("", 0.0), "y"))]
    page = html.data_table(("name", "called at", "number", "side"), rows, (0, 1, 3), sorts=True)
    assert "called at" not in page
    assert page.count("<th") == 3
    assert page.count("<td") == 6
    assert '<th class="left">side</th>' in page
    assert '<td class="left">y</td>' in page
    assert "<th>called at</th>" in html.data_table(("name", "called at"), [])
