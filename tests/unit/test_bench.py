"""The benchmarks' bookkeeping: every figure is registered, the arithmetic is right, tables fit.

Nothing is measured here and no process is started; what is fast is for ``make bench``.
"""

from __future__ import annotations

import io
import json
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import pytest

from bench import chart, main_job, ratios, record, records, runner, table
from bench.face import FULL_RECORDS, Bar, Contender, Figure, Sample, Sense, Size, plain
from bench.figures import NAMES, figure

SIZE = Size(FULL_RECORDS, Path("nowhere"))


def _figure(bars: list[Bar], samples: dict[str, list[float]], *, sized: bool = False) -> Figure:
    def opened(values: list[float]) -> AbstractContextManager[Sample]:
        left = iter(values)
        return plain(lambda: next(left))

    contenders = [
        Contender(name, lambda values=values: opened(values), warm=0, rounds=len(values))  # type: ignore[misc]
        for name, values in samples.items()
    ]
    return Figure("made_up", "a figure", lambda _: contenders, lambda _: bars, sized=sized)


def test_every_file_is_registered_once() -> None:
    folder = Path(chart.__file__).parent / "figures"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert sorted(NAMES) == sorted(files)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_whole(name: str) -> None:
    found = figure(name)
    names = [contender.name for contender in found.contenders(SIZE)]
    assert found.name == name
    assert found.what
    assert len(set(names)) == len(names)
    bars = found.bars(SIZE)
    assert bars
    for bar in bars:
        assert set(bar.ours) | set(bar.theirs) <= set(names)
        assert bool(bar.theirs) == (bar.sense is not Sense.VALUE)


def test_a_ratio_is_the_median_of_pairs() -> None:
    found = ratios.compare(Sense.AT_MOST, [1.0, 2.0, 9.0], [2.0, 8.0, 9.0])
    assert found == ratios.Spread(0.5, 0.25, 1.0)
    found = ratios.compare(Sense.AT_LEAST, [1.0, 2.0, 9.0], [2.0, 8.0, 9.0])
    assert found == ratios.Spread(2.0, 1.0, 4.0)
    assert ratios.compare(Sense.OVER, [5.0, 7.0], [4.0, 4.0]) == ratios.Spread(2.0, 1.0, 3.0)
    assert ratios.compare(Sense.VALUE, [3.0, 1.0], []) == ratios.Spread(2.0, 1.0, 3.0)


def test_one_with_fewer_rounds_is_paired_with_every_sample() -> None:
    found = ratios.compare(Sense.AT_LEAST, [1.0, 2.0, 100.0], [4.0])
    assert found == ratios.Spread(2.0, 0.04, 4.0)


def test_the_worst_of_ours_meets_the_best_of_theirs() -> None:
    samples = {"a": [1.0], "b": [2.0], "fast peer": [8.0], "slow peer": [80.0]}
    bar = Bar("rate", Sense.AT_LEAST, 4, ("a", "b"), ("slow peer", "fast peer"))
    verdict = ratios.judge(bar, samples)
    assert (verdict.ours, verdict.theirs, verdict.met) == ("b", "fast peer", True)
    assert verdict.measured == ratios.Spread(4.0, 4.0, 4.0)
    bar = Bar("time", Sense.AT_MOST, 0.2, ("a", "b"), ("fast peer",))
    assert ratios.judge(bar, samples).met is False


def test_a_bar_whose_peer_did_not_run_is_not_met_and_not_missed() -> None:
    bar = Bar("time", Sense.AT_MOST, 0.2, ("a",), ("gone",))
    assert ratios.judge(bar, {"a": [1.0]}).met is None


def test_rounds_are_interleaved_and_a_failure_costs_its_contender_alone() -> None:
    made = _figure([], {"a": [1.0, 2.0], "short": [5.0], "b": [3.0, 4.0]})
    said: list[str] = []
    outcome = runner.run(made, SIZE, 2, said.append)
    assert outcome.samples == {"a": [1.0, 2.0], "short": [5.0], "b": [3.0, 4.0]}
    assert [line.split(", ")[1] for line in said] == ["a", "short", "b", "a", "b"]
    broken = Contender("broken", lambda: plain(lambda: 1 / 0), warm=0)
    hungry = Contender("hungry", lambda: plain(lambda: 1.0), warm=0, needs=1 << 60)
    figure_ = Figure("x", "x", lambda _: [broken, hungry], lambda _: [])
    outcome = runner.run(figure_, SIZE, 2, said.append)
    assert not outcome.samples
    assert "ZeroDivisionError" in outcome.notes[1]
    assert "hungry was left out" in outcome.notes[0]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0123, "s", "12.3 ms"),
        (1.5, "s", "1.5 s"),
        (0.0000042, "s", "4.2 µs"),
        (4.8e9, "B", "4.8 GB"),
        (12, "B", "12 B"),
        (17, "", "17"),
    ],
)
def test_numbers_are_for_people(value: float, unit: str, shown: str) -> None:
    assert table.number(value, unit) == shown


def _outcome() -> runner.Outcome:
    samples = {
        "onecopy, with a name that is longer than most": [0.0123456] * 3,
        "peer": [12345.678, 0.0001, 1.0],
    }
    ours, theirs = samples
    bars = [
        Bar("a bar whose text is long enough to be wrapped twice or so, " * 2, sense, 1 / 3, (ours,), (theirs,))
        for sense in (Sense.AT_MOST, Sense.AT_LEAST, Sense.OVER)
    ]  # fmt: skip
    bars.append(Bar("not run", Sense.AT_MOST, 1, (ours,), ("gone",)))
    outcome = runner.run(_figure(bars, samples, sized=True), SIZE, 3, lambda _: None)
    outcome.notes.append("a note " * 30)
    return outcome


@pytest.mark.parametrize("full", [True, False])
def test_tables_fit_80_columns(full: bool) -> None:
    console = table.console(file=io.StringIO(), force_terminal=False)
    console.print(table.one(_outcome(), full=full))
    console.print(table.summary([_outcome()], full=full))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text  # nothing was cut off
    assert ("(met)" in text) is not full


def test_the_record_is_json_with_every_sample() -> None:
    content = record.document(record.machine(), SIZE, [_outcome()])
    again = json.loads(json.dumps(content))
    assert again["figures"]["made_up"]["samples"]["peer"] == [12345.678, 0.0001, 1.0]
    assert again["figures"]["made_up"]["verdicts"][-1]["met"] is None
    assert {"cpu", "kernel", "python", "packages", "date"} <= set(again["machine"])


def test_the_file_is_cut_without_gaps() -> None:
    for cut in (records.ranges(1_000_003, 1000), records.slices(1_000_003, 8)):
        assert cut[0][0] == 0
        assert cut[-1][1] == 1_000_003
        assert all(one[1] == other[0] for one, other in pairwise(cut))


def test_the_file_is_what_it_says(tmp_path: Path) -> None:
    import numpy as np

    size = Size(1000, tmp_path)
    records.make(size)
    records.warm(size)
    data = np.load(records.path(size), mmap_mode="r")
    assert data.dtype == records.DTYPE
    assert data.nbytes == records.nbytes(size)
    assert float(np.nansum(data["val"])) == records.expected(size)
    main_job.THREADS.check(size, f"{records.expected(size)!r}\n")
    with pytest.raises(ValueError, match="two threads found"):
        main_job.THREADS.check(size, "1.0\n")
