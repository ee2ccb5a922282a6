"""Experiments of the lab on copies, exchange and pools: what they certainly show on Linux."""

from __future__ import annotations

import io

import pytest

from onecopy._lab._frame import terminal
from tests import lab

pytestmark = pytest.mark.door


def test_chunk_size() -> None:
    data = lab.check("chunk-size").data
    for curves in data["curves"].values():
        assert [each["chunk"] for each in curves["uneven"]] == [1, 2, 3, 5, 10, None]
        # As many items as leave each of the four workers one chunk, then the pool's own choice.
        assert [each["chunk"] for each in curves["tiny"]][-2:] == [1000, None]


def test_cow_array() -> None:
    data = lab.check("cow-array").data
    children = data["fork"][2:-1]
    assert [each["process"] for each in children] == [f"child {number}" for number in (1, 2, 3, 4)]
    assert all(each["rss"] > data["bytes"] > 4 * each["uss"] for each in children)


def test_exchange() -> None:
    data = lab.check("exchange").data
    assert [(each["way"], each["hung"]) for each in data["joins"]] == [
        ("Queue", False),
        ("Queue", True),
        ("onecopy", False),
    ]
    sizes = {each["size"] for each in data["trips"]}
    assert len(data["trips"]) == len(sizes) * len({each["way"] for each in data["trips"]})


def test_fork_is_not_slow_because_of_cow() -> None:
    data = lab.check("fork-is-not-slow-because-of-cow").data
    for way in data["sums"]:
        # Only of an array that was inherited can there be copies.
        inherits = way["method"] == "fork" and not way["name"].startswith("onecopy")
        assert all((task["copied"] is not None) == inherits for task in way["tasks"])
    totals = {one["total"] for each in data["readings"] for one in each["readers"]}
    assert totals == {data["numbers"] * (data["numbers"] - 1) // 2}


def test_manager_list() -> None:
    data = lab.check("manager-list").data
    asks = {each["way"] for each in data["ways"] if each["one_by_one"]["calls"] > data["count"]}
    assert asks == {"Manager().list()"}
    shown = io.StringIO()
    terminal.print_run(lab.measured("manager-list"), shown, 80)
    assert " x[i] " in shown.getvalue()  # and is no markup


def test_pool_methods() -> None:
    data = lab.check("pool-methods").data
    for way, asked in data["asked"].items():
        assert all(
            call["results"] == [0, 1, 2, 3] or sorted(call["results"]) == [0, 1, 2, 3]
            for call in asked["calls"].values()
        )
        for each in data["dealt"][way]:
            assert [one["item"] for one in each["ran"]] == list(range(each["items"]))


def test_unrelated_global() -> None:
    data = lab.check("unrelated-global").data
    for way in data["ways"]:
        assert len(way["workers"]) == 2
        has_it = all(each["rss"] > data["list"] for each in way["workers"])
        assert has_it == (
            (way["remedy"], way["method"])
            in {
                ("nothing", "fork"),
                ("nothing", "forkserver"),
                ("nothing", "spawn"),
                ("list behind the guard", "fork"),
                ("list in its own module", "fork"),
            }
        )
