"""`onecopy lab start-methods`: what a worker has of its parent's, and that the search for the
secret finds what is there, and only that."""

from __future__ import annotations

import os

import pytest

from onecopy._lab import _inherited
from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("start-methods").data
    first = {way: found[0] for way, found in data["workers"].items()}
    assert [way for way in first if first[way]["secret"]] == ["fork", "thread"]
    assert {first[way]["early"] for way in first} == {"set"}
    for way in ("spawn", "forkserver", "onecopy"):
        assert not first[way]["file"]
        assert not first[way]["handler"]
        assert first[way]["words"] == ["source"]
        assert first[way]["rss"] < data["held"]
    assert first["fork"]["descriptors"] > first["onecopy"]["descriptors"]
    assert first["thread"]["pid"] == data["parent"]["pid"]
    late = {way: found[1]["late"] for way, found in data["workers"].items()}
    assert (late["fork"], late["forkserver"], late["spawn"]) == ("set", "", "set")


def test_search() -> None:
    secret = os.urandom(_inherited.SECRET)
    assert _inherited.found(_inherited.wanted(secret, ""))
    gone = _inherited.wanted(os.urandom(_inherited.SECRET), "")
    # What it is told of it is not enough to find it.
    assert not _inherited.found(gone)
