"""The program's own names in advice: certain ones, and general words for all others."""

from __future__ import annotations

import io
import linecache
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from onecopy._report import saved
from onecopy._report.advice import advice
from onecopy._report.program import NONE, Words, words_of
from tests.runs import crowded, made_up

FILE = "<program of a test>"


@pytest.fixture(autouse=True)
def no_source() -> Iterator[None]:
    yield
    linecache.cache.pop(FILE, None)


def words(source: str, method: str, line: int = 1, function: str = "main.f") -> Words:
    linecache.cache[FILE] = (len(source), None, source.splitlines(True), FILE)
    return words_of((method, function, FILE, line, 0))


@pytest.mark.parametrize(
    ("source", "method", "pool", "items"),
    [
        ("p.map(f, paths)", "map", "p", "paths"),
        ("self.pool.map(f, self.paths)", "map", "self.pool", "self.paths"),
        ("p.options(timeout=3).map(f, paths)", "map", "p", "paths"),
        ("r = p.imap_unordered(f, paths)", "imap", "p", "paths"),
        ("for a in paths: p.submit(f, a)", "submit", "p", "paths"),
        ("[p.submit(f, a) for a in paths]", "submit", "p", "paths"),
        ("for a in paths: p.apply(f, (a,))", "apply", "p", "paths"),
        ("for a in paths: p.submit(f, a, 3)", "submit", "p", ""),
        ("for a in paths: p.submit(f, other)", "submit", "p", ""),
        ("p.map(f, range(10))", "map", "p", ""),
        ("p.map(f, pool.paths)", "map", "p", ""),
        ("p.map_blocks(f, data)", "map", "p", ""),
        ("make().map(f, paths)", "map", "", "paths"),
        ("p.map(g, q.map(f, paths))", "map", "q", "paths"),
        ("p.map(f, q.map(f, paths))", "map", "", ""),
        ("map(f, paths)", "map", "", ""),
        ("p.map(f, paths)", "submit", "", ""),
        ("p.map(f, paths", "map", "", ""),
    ],
)
def test_pool_and_items(source: str, method: str, pool: str, items: str) -> None:
    found = words(source, method)
    assert (found.pool, found.items) == (pool, items)


@pytest.mark.parametrize(
    ("source", "method", "sliced"),
    [
        ("p.map(f, [data[i::4] for i in range(4)])", "map", "data"),
        ("p.map(f, [self.data[i:j] for i, j in cuts])", "map", "self.data"),
        ("p.map(f, (df.iloc[i:j] for i, j in cuts))", "map", "df"),
        ("p.submit(f, data[2:, 1], 3)", "submit", "data"),
        ("p.submit(f, part=data[2:])", "submit", "data"),
        ("p.map(f, np.array_split(data, 8))", "map", "data"),
        ("p.map_blocks(f, data)", "map", "data"),
        ("p.starmap(f, [(data[:3], data[3:])])", "starmap", "data"),
        ("p.starmap(f, [(data[:3], other[3:])])", "starmap", ""),
        ("p.submit(f, data[2:], make()[3:])", "submit", ""),
        ("p.map(f, [each[2:] for each in data])", "map", ""),
        ("for each in data: p.submit(f, each.x[2:])", "submit", ""),
        ("p.map(lambda i: data[i:], range(4))", "map", ""),
        ("p.map(f, map(lambda i: data[i:], range(4)))", "map", ""),
        ("p.map(f, [data[i] for i in range(4)])", "map", ""),
        ("p.map(f, parts)", "map", ""),
    ],
)
def test_what_is_sliced(source: str, method: str, sliced: str) -> None:
    assert words(source, method).sliced == sliced


@pytest.mark.parametrize(
    ("source", "method", "whole"),
    [
        ("p.submit(f, data)", "submit", "data"),
        ("for i in range(4): p.submit(f, data, i)", "submit", "data"),
        ("p.submit(f, data, 3, -1, i + 1)", "submit", "data"),
        ("p.apply_async(f, (data, 3))", "apply", "data"),
        ("p.starmap(f, [(data, i) for i in range(4)])", "starmap", "data"),
        ("p.map(f, [data] * 4)", "map", "data"),
        ("p.map(f, xs, itertools.repeat(data))", "map", "data"),
        ("p.map(f, [{'all': data, 'at': i} for i in range(4)])", "map", "data"),
        ("p.submit(f, data, number)", "submit", ""),
        ("p.submit(f, data, make())", "submit", ""),
        ("for data in many: p.submit(f, data)", "submit", ""),
        ("p.map(f, data)", "map", ""),
    ],
)
def test_what_every_task_gets(source: str, method: str, whole: str) -> None:
    assert words(source, method).whole == whole


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ("import onecopy as one", "one.share(x), one.empty, pool.Pool, 'oc.x'"),
        ("import onecopy", "onecopy.share(x), onecopy.empty, pool.Pool, 'oc.x'"),
        ("from onecopy import share as sh", "sh(x), oc.empty, pool.Pool, 'oc.x'"),
        ("import onecopy.joblib", "oc.share(x), oc.empty, pool.Pool, 'oc.x'"),
        ("def g(): import onecopy as one", "oc.share(x), oc.empty, pool.Pool, 'oc.x'"),
        ("from .onecopy import share as sh", "oc.share(x), oc.empty, pool.Pool, 'oc.x'"),
    ],
)
def test_names_of_the_library(imports: str, said: str) -> None:
    found = words(f"{imports}\npool.map(f, xs)", "map", 2)
    assert found.of_library("oc.share(x), oc.empty, pool.Pool, 'oc.x'") == said


def test_an_import_in_the_function_of_the_call() -> None:
    source = "def g():\n import onecopy as one\n with one.Pool() as p:\n  p.map(f, xs)\n"
    assert words(source, "map", 4).of_library("oc.share, pool.map") == "one.share, p.map"


def test_calls_of_several_lines_and_several_calls() -> None:
    source = "p.map(\n f,\n xs,\n)\nq.map(f, ys)\n"
    assert [words(source, "map", line).items for line in (1, 3, 5)] == ["xs", "xs", "ys"]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    for file in ("", str(tmp_path / "gone.py"), "<string>"):
        assert words_of(("map", "f", file, 3, 0)) == NONE


OWN = Words("workers", "stats.mean", "paths", "cells", "table", "one", {})


@pytest.mark.parametrize(
    ("kind", "general", "own"),
    [
        ("slices", "x = oc.share(x).", "cells = one.share(cells)."),
        ("pieces", "df = oc.share(df).", "cells = one.share(cells)."),
        ("same", "x = oc.share(x), and pass that to", "table = one.share(table), and pass that to"),
        ("same frame", "df = oc.share(df), and", "table = one.share(table), and"),
        ("own", "made by oc.empty", "Let stats.mean read or make its data"),
    ],
)
def test_advice_in_the_program_s_words(kind: str, general: str, own: str) -> None:
    run = made_up(200)
    totals = run.totals.copy()
    totals["args_moved"] = totals["tasks"] * 10_000_000
    totals["decode"] = totals["compute"]
    run = replace(run, totals=totals, large=((0, kind, 2 * 10**9, 10**7),))

    def change(words: tuple[Words, ...]) -> str:
        (found,) = (each for each in advice(replace(run, words=words)) if each.kind == kind)
        return found.change

    assert general in change(())
    assert own in change((OWN,) * len(run.sites))


def test_advice_on_the_pool_has_the_names_of_the_first_call() -> None:
    (found,) = advice(replace(crowded(), words=(NONE, OWN)))
    assert found.change.startswith("one.Pool(2), which is the default")


def test_words_are_saved_with_the_run() -> None:
    own = OWN._replace(imported={"share": "sh"}, pool="w\x1b")
    run = replace(made_up(20), words=(own, NONE))
    file = io.BytesIO()
    saved.save(run, file)
    read = saved.read(file, "file").words
    assert read == (own._replace(pool="w\\x1b"), NONE)
