"""Progress: what may be asked for, the words, where a cursor stands, lines of a log, HTML."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

import onecopy as oc
from onecopy._engine.output_streams import STDOUT, Mouth
from onecopy._progress import display
from onecopy._progress.asked import bar_of
from onecopy._progress.bar import Progress
from onecopy._progress.cursor import Cursor
from onecopy._progress.notebook import html
from onecopy._progress.state import State, label_of
from onecopy._progress.tamed import tamed
from onecopy._progress.terminal import drawn

STATE = State("resize", "images", 40, 0, 100, 4.0, False, 0.0)


def test_what_may_be_asked_for() -> None:
    assert bar_of(None) is None
    assert bar_of(False) is None
    assert bar_of(None, "load") == oc.Bar("load")
    assert bar_of(False, True) is None
    assert bar_of(True) == oc.Bar()
    assert bar_of("load") == bar_of(oc.Bar(label="load")) == oc.Bar("load")


@pytest.mark.parametrize(
    "wrong", [lambda: bar_of(3.5), lambda: bar_of(("a", "b")), lambda: oc.Bar(1), lambda: oc.Bar(total=1.5)]  # type: ignore[arg-type]
)  # fmt: skip
def test_what_may_not(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"bar|Bar"):
        wrong()
    with pytest.raises(ValueError, match="at least 0"):
        oc.Bar(total=-1)


def test_words_of_a_bar() -> None:
    assert STATE.line() == "resize: 40 of 100 images, 0:06 left, 10 images/s"
    failed = STATE._replace(failed=3, done=100, ended=True)
    assert failed.line() == "resize: 100 of 100 images, 3 failed in 0:04, 25 images/s"
    slow = STATE._replace(done=1, total=None)
    assert slow.line() == "resize: 1 images, 0:04, 0.25 images/s"
    assert STATE._replace(done=0).line() == "resize: 0 of 100 images, 0:04"
    load = STATE._replace(unit="bytes", done=2_000_000, total=4_000_000)
    assert load.line() == "resize: 2 MB of 4 MB, 0:04 left, 500 kB/s"
    blocks = STATE._replace(unit="blocks", piece=1e6)
    assert blocks.rate() == "10 MB/s"


def test_a_label_is_what_people_call_it_and_nothing_that_a_terminal_obeys() -> None:
    assert label_of("__main__.f") == "f"
    assert label_of("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


@pytest.mark.parametrize(
    ("written", "column", "busy", "below"),
    [
        ("done\n", 0, False, 0),
        ("half", 4, True, 0),
        ("half\r", 0, True, 0),
        ("\x1b[31mred\x1b[0m", 3, True, 0),
        ("文字", 4, True, 0),
        ("one\ntwo\x1b[A", 3, True, 1),
        ("one\ntwo\x1b[A\n", 0, True, 0),
        ("one\ntwo\x1b[A\n\n", 0, False, 0),
        ("text\r\x1b[K", 0, False, 0),
        ("\x1b]0;title\x07ab\tc", 9, True, 0),
        ("abc\b", 2, True, 0),
        ("a\x1b[10Gb", 10, True, 0),
        ("\x1b[?25la\x1b[38:2::1:2:3mb", 2, True, 0),
    ],
)
def test_where_a_cursor_stands(written: str, column: int, busy: bool, below: int) -> None:
    cursor = Cursor()
    cursor.feed(written)
    assert (cursor.column, cursor.busy, cursor.below) == (column, busy, below)


@pytest.mark.parametrize(
    ("written", "style"),
    [
        ("plain", ""),
        ("\x1b[31mred", "\x1b[31m"),
        ("\x1b[31mred\x1b[0m", ""),
        ("\x1b[1m\x1b[31mred\n", "\x1b[1m\x1b[31m"),
        ("\x1b[1m\x1b[0;31mred\x1b[5;5H", "\x1b[0;31m"),
        ("\x1b[31mred\x1b[m\x1b[>4;1m", ""),
    ],
)
def test_colours_that_are_on_are_known(written: str, style: str) -> None:
    cursor = Cursor()
    cursor.feed(written)
    assert cursor.style == style


def test_an_unfinished_line_is_known() -> None:
    cursor = Cursor()
    cursor.feed("first\n\rbar 1")
    cursor.feed("\rbar 2")
    assert cursor.unfinished == "\rbar 2"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 160])
@pytest.mark.parametrize("label", ["f", "文字" * 20, "a" * 200])
def test_a_bar_fits(width: int, label: str) -> None:
    states = [
        STATE._replace(label=label, failed=2),
        STATE._replace(label="g", total=None),
        STATE._replace(label="h", done=0, total=0, ended=True),
    ]
    plain = io.StringIO()
    lines = drawn(states, plain, width)
    assert len(lines) == 3
    for line in lines:
        cursor = Cursor()
        cursor.feed(line)
        assert cursor.column < width
    assert cell_len(lines[2]) > 0


def test_a_narrow_terminal_keeps_what_matters() -> None:
    (line,) = drawn([STATE._replace(failed=2)], io.StringIO(), 60)
    assert "40 of 100 images" in line
    assert "2 failed" in line
    assert "left" in line


def test_a_terminal_that_cannot_show_a_bar_s_signs() -> None:
    ascii = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    (line,) = drawn([STATE._replace(label="größe")], ascii, 80)
    assert line.isascii()


def test_html_is_legible_and_escaped() -> None:
    shown = html(STATE._replace(label="<b>", failed=1))
    assert "<b>&lt;b&gt;</b>" in shown
    assert "width:40.0%" in shown
    assert "1 failed" in shown
    assert "width:100.0%" in html(STATE._replace(total=None, ended=True))


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(display, "monotonic", lambda: now)
    log = display.Log()
    ended = STATE._replace(ended=True, seconds=0.1)
    for _ in range(1000):  # many short calls
        now += 0.01
        log.ended(ended)
    log.ended(ended._replace(label="other"))
    assert capsys.readouterr().err.count("\n") == 3  # two of the one, one of the other
    began = now
    for _ in range(1300):
        now += 0.01
        log.advanced(STATE._replace(label="long"), began)
    log.ended(ended._replace(label="long", seconds=13))
    assert capsys.readouterr().err.count("\n") == 3  # after 5 and 10 seconds, and its end


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain\tä 漢\r\n", None),
        ("\x1b[1;31mred\x1b[0m", None),
        ("\r 10 % |##  |\x1b[K\x1b[A\b", None),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[?25l\x1bc\x1b[5;5H", "\\x1b[?25l\\x1bc\\x1b[5;5H"),
        ("half \x1b[", "half \\x1b["),
        ("\0\x9b2J", "\\x00\\x9b2J"),
    ],
)
def test_a_terminal_obeys_colours_and_bars_of_a_worker_and_nothing_else(
    printed: str, shown: str | None
) -> None:
    assert tamed(printed) == (printed if shown is None else shown)


def test_what_workers_print_is_unchanged_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    text = "\x1b[2Jx\n"
    for stream, written in ((io.StringIO(), text), (Terminal(), "\\x1b[2Jx\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        Mouth().say(STDOUT, text, 1)
        assert stream.getvalue() == written


class Slow:
    """A surface that takes its time to show the end of a bar."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.shown = (threading.Event() for _ in range(3))
        self.meanwhile: Callable[[], None] = lambda: None

    def begin(self, look: Any) -> None: ...

    def tick(self) -> None: ...

    def end(self, look: Any) -> None:
        self.begun.set()
        self.meanwhile()
        assert self.go_on.wait(60)
        self.shown.set()

    def unhook(self) -> None: ...


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    surface = Slow()
    monkeypatch.setattr("onecopy._progress.display._surface", lambda: surface)
    return surface


def test_a_call_is_over_when_its_bar_has_shown_the_end(slow: Slow) -> None:
    """Another thread, which has counted the last item, is about to show it."""
    bar = Progress(1, "f")
    bar.start()
    counts = threading.Thread(target=bar.finish)
    counts.start()
    assert slow.begun.wait(60)
    seen: list[bool] = []

    def call() -> None:
        bar.finish()
        seen.append(slow.shown.is_set())

    caller = threading.Thread(target=call)
    caller.start()
    caller.join(0.2)
    assert not seen
    slow.go_on.set()
    for thread in (counts, caller):
        thread.join()
    assert seen == [True]


def test_a_bar_may_be_ended_by_a_signal_s_handler_in_the_middle_of_its_end(slow: Slow) -> None:
    bar = Progress(1, "f")
    bar.start()
    slow.meanwhile = bar.finish
    slow.go_on.set()
    bar.finish()
    assert slow.shown.is_set()
