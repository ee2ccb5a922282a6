"""The benchmarks' other suites: programs, published ones, kept runs, simulation; nothing is timed.

No pool is made and no process started here: ``make bench-programs`` and its neighbours do that.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import command, cpu, ratios, record, runs, simulate, simulate_hosts
from bench.face import FULL_RECORDS, Bar, Contender, Figure, Sense, Size, plain
from bench.parts import Parts
from bench.process import ROOT
from bench.programs import catalog, measure, outcome, ways
from bench.published import NAMES, figure
from bench.simulate_hosts import ClusterPrices

SIZE = Size(FULL_RECORDS, Path("nowhere"))
BENCH = Path(runs.__file__).parent


# Numbers of one run.


def test_parts_of_one_run_belong_together() -> None:
    numbers = iter([1.0, 2.0])
    parts = Parts(lambda: dict.fromkeys(("wall", "cpu"), next(numbers)))
    assert [parts.take(name) for name in ("wall", "cpu", "cpu", "wall")] == [1.0, 1.0, 2.0, 2.0]


def test_a_process_has_a_clock_of_its_own() -> None:
    before = cpu.seconds(os.getpid())
    used = time.process_time()
    while time.process_time() - used < 0.02:
        pass
    assert 0.02 <= cpu.seconds(os.getpid()) - before <= time.process_time()
    assert cpu.seconds(2**22 + 1) == 0.0  # beyond the greatest pid there is


# Published ones.


def test_every_published_file_is_registered_once() -> None:
    helpers = {"__init__", "__main__", "images", "peers", "prefixes"}
    files = {path.stem for path in (BENCH / "published").glob("*.py")} - helpers
    assert sorted(NAMES) == sorted(files)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_figure_is_whole(name: str) -> None:
    found = figure(name)
    names = [contender.name for contender in found.contenders(SIZE)]
    assert found.name == name
    assert len(set(names)) == len(names)
    for bar in found.bars(SIZE):
        assert bar.sense is Sense.AT_MOST
        assert bar.limit == 1.0
        assert set(bar.ours) | set(bar.theirs) <= set(names)
        # All that are installed, not only the best of them.
        assert len(bar.theirs) >= len(names) // len(found.bars(SIZE)) - 1


# Programs.


def test_every_program_is_registered_once() -> None:
    folder = BENCH / "programs" / "work"
    assert sorted(catalog.NAMES) == sorted(
        path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "files")
    )
    assert len(catalog.NAMES) >= 20
    for one in catalog.PROGRAMS:
        text = (folder / f"{one.name}.py").read_text()
        assert "\ndef main(way: Way) -> object:\n" in text
        assert ("way.joblib()" in text) is (one.ways is ways.JOBLIB)


def test_results_are_compared_but_for_the_order_of_additions() -> None:
    import numpy as np

    assert ways.digest(0.1 + 0.2) == ways.digest(0.3)
    assert ways.digest([1, (2.0, "a")]) == ways.digest([1, [2.0, "a"]])
    assert ways.digest(np.arange(3.0)) == ways.digest([0.0, 1.0, 2.0])
    assert ways.digest({"a": 1.001}) != ways.digest({"a": 1.002})


def _runs(name: str, ours: list[float], theirs: list[float], digests: str = "aa") -> measure.Runs:
    pair = {ways.OURS: ours, ways.FORK: theirs}
    found = {way: [digest] * len(ours) for way, digest in zip(pair, digests, strict=True)}
    return measure.Runs(catalog.program(name), pair, pair, found)


def test_the_mean_of_programs_is_geometric_and_the_slowest_is_named() -> None:
    known = [
        _runs("word_counts", [1.0, 1.0], [2.0, 2.0]),
        _runs("grid_search", [4.0, 6.0], [2.0, 3.0]),
    ]
    verdicts = {one.bar.text: one for one in outcome.verdicts(known)}
    mean = next(one for text, one in verdicts.items() if "2 programs' times, of fork's" in text)
    assert mean.measured == ratios.Spread(pytest.approx(1.0), 0.5, 2.0)  # type: ignore[arg-type]
    assert mean.met is False
    slowest = verdicts["the slowest of all pairs"]
    assert slowest.ours == "grid_search, onecopy / fork"
    assert slowest.met is False
    assert verdicts["programs with unequal results"].met is True
    # No program has run under forkserver or with loky.
    assert sum(one.met is None for one in verdicts.values()) == 3


def test_a_program_with_unequal_results_has_no_ratio() -> None:
    known = [_runs("word_counts", [1.0], [2.0], "ab")]
    assert not outcome.ratios(known)
    assert outcome.verdicts(known)[-1].met is False


# Kept runs.


def _machine(hour: int, cpu: str = "a cpu") -> dict[str, Any]:
    return {**record.machine(), "cpu": cpu, "date": f"2026-01-01T{hour:02}:00:00+00:00"}


def _keep(path: Path, hours: range, cpu: str = "a cpu") -> None:
    for hour in hours:
        verdict = {
            "bar": "a bar", "sense": Sense.AT_MOST.value, "limit": 0.5,
            "measured": hour / 10, "met": hour <= 5, "least": 0, "greatest": 1,
        }  # fmt: skip
        entry = runs.entry([verdict], "s", {"ours": 1.23456})
        runs.add(path, _machine(hour, cpu), {"made_up": entry})


PAGE = "before\n<!-- figures: made_up -->\nold\n<!-- figures: end -->\nafter\n"


def test_ranges_go_between_the_comments(tmp_path: Path) -> None:
    page, path = tmp_path / "page.md", tmp_path / "runs.jsonl"
    page.write_text(PAGE)
    _keep(path, range(2, 8))
    assert runs.publish(path, [page]) == [page]
    text = page.read_text()
    assert text.startswith("before\n<!-- figures: made_up -->\n")
    assert text.endswith("<!-- figures: end -->\nafter\n")
    assert "| a bar | 0.2 to 0.7 | ≤ 0.5 | 4 of 6 |" in text
    assert "a cpu" in text
    assert "over 6 runs" in text
    assert "old" not in text
    assert runs.publish(path, [page]) == [page]
    assert page.read_text() == text


def test_too_few_runs_are_not_published(tmp_path: Path) -> None:
    page, path = tmp_path / "page.md", tmp_path / "runs.jsonl"
    page.write_text(PAGE)
    for given in ("made_up", "other", "all"):
        with pytest.raises(runs.TooFewRunsError):
            runs.block([given], runs.read(path))
    _keep(path, range(10), cpu="another machine")
    _keep(path, range(1, 5))
    _keep(path, range(4, 5))  # at the same time as the last
    with pytest.raises(runs.TooFewRunsError, match="made_up: 4 recorded runs, 5 are needed"):
        runs.publish(path, [page])
    assert page.read_text() == PAGE


def test_all_are_those_with_enough_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    _keep(path, range(1, 6))
    runs.add(path, _machine(7, "a cpu"), {"once": runs.entry([], "s", {})})
    assert "over 5 runs" in runs.block(["all"], runs.read(path))


def test_every_comment_of_the_pages_can_be_written() -> None:
    from bench.figures import NAMES as OWN

    seen = 0
    for name in runs.PAGES:
        for hit in runs._BLOCK.finditer((ROOT / name).read_text()):
            seen += 1
            assert set(hit[2].split()) <= {*OWN, *NAMES, "programs", "all"}
    assert seen >= len(runs.PAGES)


def _suite(figures: dict[str, Figure]) -> command.Suite:
    return command.Suite("bench.made_up", "", list(figures), figures.__getitem__, "made_up.json")


def _figure(name: str, *, sized: bool) -> Figure:
    bars = [Bar("a bar", Sense.VALUE, 2.0, ("ours",))]
    contenders = [Contender("ours", lambda: plain(lambda: 1.0))]
    return Figure(name, name, lambda _: contenders, lambda _: bars, rounds=2, sized=sized)


def test_a_run_is_kept_if_it_is_asked_for(tmp_path: Path) -> None:
    suite = _suite({"small": _figure("small", sized=False), "large": _figure("large", sized=True)})
    out = ["--out", str(tmp_path)]
    assert command.main(out, suite) == 0
    assert not (tmp_path / runs.FILE).exists()
    assert command.main([*out, "--record"], suite) == 0
    assert command.main([*out, "--record", "--full"], suite) == 0
    small, full = runs.read(tmp_path / runs.FILE)
    assert list(small["figures"]) == ["small"]  # the other's bars are for the full size
    assert list(full["figures"]) == ["small", "large"]
    assert full["figures"]["large"]["bars"][0]["measured"] == 1.0
    with pytest.raises(SystemExit):
        command.main([*out, "--record", "--rounds", "1"], suite)


def test_the_command_refuses_to_publish_too_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(ROOT / name).read_text() for name in runs.PAGES]
    assert command.main(["--publish", "--out", str(tmp_path)], _suite({})) == 2
    assert "nothing was written" in capsys.readouterr().out
    assert [(ROOT / name).read_text() for name in runs.PAGES] == before


# The simulation.

FREE = simulate.Prices(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("job", [True, False])
def test_what_costs_nothing_keeps_all_workers_busy(job: bool) -> None:
    found = simulate.simulated(simulate.Place("", 10), FREE, 0.1, job=job)
    assert found.busy == pytest.approx(1.0)
    assert found.owner == 0.0


def test_an_owner_that_is_busy_is_the_limit() -> None:
    prices = simulate.Prices(0.001, 0.001, 0.0, 0.0, 0.0, 0.0)
    found = simulate.simulated(simulate.Place("", 50), prices, 0.01, job=False)
    assert found.owner > 0.95
    assert found.seconds == pytest.approx(50 * simulate.EACH * 0.002, rel=0.05)
    assert found.busy == pytest.approx(0.01 / 50 / 0.002, rel=0.05)


def test_a_message_takes_its_time() -> None:
    prices = simulate.Prices(0.0, 0.0, 0.0, 0.0, 0.0, 0.05)
    found = simulate.Simulation(1, prices, 1.0).tasks(3)
    # The first of them at least: how long they take is not known yet, so no other waits there.
    assert 3.1 <= found.seconds <= 3.3 + 1e-9


COSTS_NOTHING = ClusterPrices(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("each", [16, 1])
def test_hosts_are_busy_if_the_driver_s_work_costs_nothing(each: int) -> None:
    found = simulate_hosts.OneMap(10, each, COSTS_NOTHING, 0.1).run()
    assert found.busy > 0.98
    assert found.driver == 0.0
    assert found.chunk == pytest.approx(1 if each == 16 else 16)


def test_a_driver_is_the_limit_of_many_hosts() -> None:
    prices = ClusterPrices(0.001, 0.001, 0.0, 0.0)
    alone = simulate_hosts.OneMap(50, 16, prices, 0.1).run()
    cut = simulate_hosts.OneMap(50, 1, prices, 0.1).run()
    assert alone.driver > 0.95
    assert alone.busy < 0.15
    assert cut.busy > 4 * alone.busy


@pytest.mark.parametrize("hosts", [1, 4, 30])
def test_an_array_leaves_the_driver_once(hosts: int) -> None:
    size, rate = 10**9, 1e8
    made = simulate_hosts.Broadcast(hosts, size, rate, 0.0)
    seconds = made.run()
    assert made.out == size
    # No link carries it in less; and each doubles those that have a piece.
    assert size / rate <= seconds < 2.6 * size / rate
    assert seconds == simulate_hosts.Broadcast(hosts, size, rate, 0.0).run()


def test_transfers_share_a_link() -> None:
    clock = simulate_hosts.Clock()
    links = simulate_hosts.Links(clock, 100.0)
    ends: dict[str, float] = {}

    def ended(name: str) -> None:
        ends[name] = clock.now

    for name, source, target, size in (("a", 0, 1, 100), ("b", 0, 2, 300), ("c", 3, 4, 200)):
        links.send(source, target, size, partial(ended, name))
    clock.run()
    # Half of the link for 2 s each, then all of it for what is left of b.
    assert ends == pytest.approx({"a": 2.0, "b": 4.0, "c": 2.0})


def test_the_page_is_written_from_prices() -> None:
    known = {
        "machine": _machine(1),
        "prices": dict.fromkeys(FREE.__dict__, 1e-05),
        "cluster": dict.fromkeys(COSTS_NOTHING.__dict__, 1e-05),
    }
    hosts = simulate.of_hosts(known, [2])
    assert hosts.count("| 2 hosts") == 2
    assert "| 10 Gbit/s | 2 |" in hosts
    text = simulate.text(known, simulate.PLACES[:1])
    assert text == simulate.text(known, simulate.PLACES[:1])
    assert text.count("| 2 workers |") == 2
    assert "1,000 workers on one host" in text
    assert "at most 50,000 single tasks a second" in text
