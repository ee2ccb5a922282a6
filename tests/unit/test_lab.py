"""The lab without an experiment: pictures, tables, claims, what is refused."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._lab._frame import canvas, finding, page, running, svg, terminal
from onecopy._lab._frame.face import Bar, Claim, Curve, Lane, Lanes, Needs, Plot, Table
from onecopy._lab._frame.marks import marks
from onecopy._report.html import asset
from onecopy.cli import main

# Seconds and figures as experiments measure them: zero, or from microseconds on.
MOMENTS = st.integers(0, 10_000_000).map(lambda number: number / 1e6)
FIGURES = st.just(0.0) | st.floats(1e-6, 1e9)
MACHINE = {"python": "CPython 3", "system": "Linux", "cores": "2", "memory": "1 GB", "date": "now"}


class Made:
    """An experiment that was never run."""

    QUESTION = "Is <this> escaped?"
    ADVICE = "Escape <it>."

    def needs(self, size: str) -> Needs:
        return Needs(memory=1000, disk=2000)

    def run(self, size: str) -> dict[str, Any]:
        return {}

    def table(self, data: Any) -> Table:
        return Table(("what", "how many"), [("<b>", "1,000"), ("long " * 60, "2")], note="<i>")

    def picture(self, data: Any) -> list[Any]:
        bars = [Bar(0.0, 0.5), Bar(0.5, 1.0, "odd & new")]
        curve = Curve("c<", [(0.0, 1.0), (1.0, 10.0), (100.0, 1000.0)])
        return [Lanes([Lane("p<1>", bars)]), Plot([curve], "bytes", "s", True, True)]

    def claims(self, data: Any) -> list[Claim]:
        return [Claim("1 < 2.", True, True, "< 3"), Claim("2 < 1.", False, False, "< 4")]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> running.Run:
    """A run of `Made`."""
    for module in (terminal, page, running):
        monkeypatch.setattr(module, "experiment", lambda name: Made())
    return running.Run("made", "small", 1.5, {}, ["said <so>"], MACHINE)


@pytest.mark.parametrize("width", [80, 160])
def test_terminal(made: running.Run, width: int) -> None:
    text = io.StringIO()
    terminal.print_run(made, text, width)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in text.getvalue()
    assert lines[-5:] == [
        "holds       1 < 2. Expected: < 3.",
        "NOT SO HERE 2 < 1. Expected: < 4.",
        "",
        "1 of 2 claims hold here.",
        "What to do: Escape <it>. See docs/lab/made.md.",
    ]
    assert any(line.startswith("p<1>  █") for line in lines)


def test_page(made: running.Run) -> None:
    """Escaped throughout, and nothing that is fetched or run."""
    text = page.page([made])
    for raw in ("<this>", "<b>", "said <so>", "p<1>", "c<", "1 < 2", "<i>", "<it>", "< 3"):
        ours = ("<b>holds", "<b>not so here", "<b>1 of 2 claims hold here.")
        assert raw not in re.sub("|".join(ours), "", text)
    assert "<li><b>holds</b>1 &lt; 2. <span>Expected: &lt; 3.</span></li>" in text
    assert '<li class="not"><b>not so here</b>2 &lt; 1. <span>Expected: &lt; 4.</span></li>' in text
    assert "<b>1 of 2 claims hold here.</b> Escape &lt;it&gt;." in text
    assert "<code>docs/lab/made.md</code>" in text
    assert text.count("<svg") == 2
    assert not any(word in text for word in ("<script", "src=", "url(", "@import"))


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({}, "load unknown"),
        ({"load": "0.94"}, "load 0.9 before"),
        ({"load": "3.21"}, "load 3.2 before: a busy machine, so times are long"),
    ],
)
def test_the_load_is_beside_the_figures(made: running.Run, load: dict[str, str], says: str) -> None:
    run = replace(made, machine={**made.machine, **load})
    assert str(terminal.headline(run)).endswith(says)
    assert f"{says}</p>" in page.page([run])


def test_json(made: running.Run) -> None:
    (found,) = running.to_json([made])["experiments"]
    assert [claim["holds"] for claim in found["claims"]] == [True, False]
    assert found["said"] == ["said <so>"]


@pytest.mark.parametrize(
    ("memory", "disk", "said"),
    [
        (999, 5000, "made --size full needs 1 kB of memory, and 999 B is free"),
        (1001, 100, "made --size full needs 2 kB of disk in /"),
    ],
)
def test_too_little(
    made: running.Run, monkeypatch: pytest.MonkeyPatch, memory: int, disk: int, said: str
) -> None:
    monkeypatch.setattr(running, "available", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("", (), {"free": disk}))
    with pytest.raises(running.CannotRun) as error:
        running.run("made", "full")
    assert said in str(error.value)
    assert "--size small" in str(error.value)


@pytest.mark.parametrize("name", finding.names())
def test_face(name: str) -> None:
    """Every experiment has the face, and a page in the documentation."""
    found = finding.experiment(name)
    assert 0 < len(found.QUESTION) <= 60
    assert found.ADVICE.endswith(".")
    assert "  " not in found.ADVICE
    for size in ("small", "full"):
        needs = found.needs(size)
        assert needs.memory > 0
        assert needs.seconds > 0
    assert callable(found.run)
    assert callable(found.picture)
    assert (Path(__file__).parents[2] / "docs/lab" / f"{name}.md").is_file()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lab"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-2] if not line.startswith(" ")] == finding.names()
    assert {line[:19].rstrip() for line in lines[:-2] if len(line) > 32} <= {*finding.names(), ""}
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["adress-space"], "there is no experiment 'adress-space'; did you mean address-spaces"),
        (["qqq"], "there is no experiment 'qqq' ('onecopy lab' lists them)"),
        (["all", "--html", "/no/such/folder/x.html"], "there is no directory '/no/such/folder'"),
        (["all", "--json", "/"], "'/' is a directory"),
        (["all", "--size", "huge"], "huge"),
        (["--json", "x.json"], "need the name of an experiment"),
        (["versions", "--html", "x.html"], "versions has no page"),
    ],
)
def test_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """One line, before anything is run."""
    with pytest.raises(SystemExit) as ended:
        main(["lab", *arguments])
    out, error = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert error.startswith("onecopy: ")
    assert said in error
    assert error.count("\n") == 1


def test_all_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment that cannot be run costs no other; the exit status tells of it."""

    def run(name: str, size: str, heard: object) -> running.Run:
        if name == "logging":
            raise running.CannotRun("too little of everything")
        look = {"who": "it", "pid": 1, "id": 2, "contents": ["source"]}
        lists = {method: [look] * 4 for method in ("fork", "forkserver", "spawn")}
        data = {"lists": lists, "onecopy": {}}
        return running.Run("address-spaces", "small", 1.0, data, [], MACHINE)

    monkeypatch.setattr(running, "run", run)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "all"])
    out, error = capsys.readouterr()
    assert ended.value.code == 1
    assert out.count("address-spaces  small, 1 s") == len(finding.names()) - 1
    # A claim that does not hold is a result, and no failure.
    assert "NOT SO HERE" in out
    assert out.splitlines()[-1].endswith(" 3 of 8 claims hold, 1 s")
    assert error.splitlines() == [
        "onecopy: too little of everything",
        f"onecopy: 1 of {len(finding.names())} experiments could not run: logging",
    ]


def test_finding() -> None:
    assert "address-spaces" in finding.names()
    assert not [name for name in finding.names() if name.startswith(("-", "_"))]
    assert finding.experiment("address_spaces") is finding.experiment("address-spaces")
    with pytest.raises(finding.NoSuchExperiment, match="did you mean address-spaces"):
        finding.experiment("addresspace")


@given(
    st.lists(st.tuples(MOMENTS, MOMENTS, st.sampled_from("ab")), min_size=1, max_size=5),
    st.integers(1, 100),
)
def test_lane_cells(stretches: list[tuple[float, float, str]], cells: int) -> None:
    """A kind that is drawn in a cell has a bar there."""
    bars = [Bar(min(a, b), max(a, b), kind) for a, b, kind in stretches]
    end = max(bar.stop for bar in bars)
    drawn = terminal.lane_cells(bars, end, cells)
    assert len(drawn) == cells
    step = end / cells if end else 1.0
    for at, kind in enumerate(drawn):
        inside = [
            bar
            for bar in bars
            if bar.stop >= at * step * (1 - 1e-9) and bar.start <= (at + 1) * step * (1 + 1e-9)
        ]
        assert kind in {bar.kind for bar in inside} | {""}
    assert any(drawn)


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20), st.booleans())
def test_scale(values: list[float], log: bool) -> None:
    scale = canvas.Scale.over(values, log)
    for value in values:
        assert -1e-9 <= scale.at(value) <= 1 + 1e-9
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert 1 <= len(ticks) <= 20
    assert all(-1e-9 <= scale.at(tick) <= 1 + 1e-9 for tick in ticks)


def test_a_narrow_logarithmic_axis_has_round_figures() -> None:
    scale = canvas.Scale.over([0.128, 0.3403], log=True)
    assert [canvas.figure(tick) for tick in scale.ticks()] == ["0.1", "0.2", "0.5"]


@given(
    st.lists(st.tuples(FIGURES, FIGURES), max_size=30),
    st.booleans(),
    st.booleans(),
    st.integers(60, 200),
)
def test_plot(points: list[tuple[float, float]], log_x: bool, log_y: bool, width: int) -> None:
    """Fits its width, whatever the points are, on the terminal and on a page."""
    plot = Plot([Curve("one", points), Curve("two", [])], "bytes", "seconds", log_x, log_y)
    for row in canvas.rows(plot, width, ["o", "x"]):
        assert len(row.margin + row.cells) <= width
    drawn = svg.figure(plot)
    shown = [point for point in points if point[0] > 0 or not log_x if point[1] > 0 or not log_y]
    assert drawn.count("<circle") == len(shown)
    assert "nan" not in drawn


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1e-6, "0.000001"),
        (0.0002, "0.0002"),
        (0.25, "0.25"),
        (1000.0, "1,000"),
        (1e6, "1,000,000"),
        (-20_500, "-20,500"),
    ],
)
def test_figure(value: float, text: str) -> None:
    assert canvas.figure(value) == text


def test_marks() -> None:
    """Known kinds keep their own, others differ from each other and from them."""
    found = marks(["compute", "new", "receive", "other", "new"])
    assert list(found) == ["compute", "new", "receive", "other"]
    assert len({mark.glyph for mark in found.values()}) == 4
    assert found["compute"].glyph == "█"


def test_every_colour_is_one_of_the_page(made: running.Run) -> None:
    """A name that the stylesheet lacks draws nothing."""
    curves = [Curve(f"c{at}", [(1.0, 1.0)]) for at in range(8)]
    kinds = ("compute", "receive", "return", "start", "wait", "blocked", "lost")
    lanes = Lanes([Lane("p", [Bar(at, at + 1.0, kind) for at, kind in enumerate(kinds)])])
    drawn = svg.figure(Plot(curves, "x", "y")) + svg.figure(lanes) + page.page([made])
    sheet = asset("style.css")
    assert all(f"--{name}:" in sheet for name in re.findall(r"var\(--([a-z]+)\)", drawn))
    assert all(f".k-{name} " in sheet for name in re.findall(r'class="k-([a-z]+)"', drawn))
