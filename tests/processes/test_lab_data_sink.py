"""`onecopy lab data-sink`: equal sums, and where the bytes went."""

from __future__ import annotations

import pytest

from onecopy._lab.data_sink import RECORD_BYTES, plan, together
from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("data-sink").data
    size = data["records"] * RECORD_BYTES
    assert [
        (each["way"], each["method"], each["source"], each["workers"]) for each in data["runs"]
    ] == plan("small")
    assert {each["result"] for each in data["runs"]} == {data["expected"]}
    for each in data["runs"]:
        assert (each["through_pipes"] >= size) == (each["way"] == "pickled")
        assert each["peak"] > 0
        assert len(each["lanes"]) == each["workers"]
        for lane in each["lanes"]:
            assert lane["packed"] <= lane["began"] <= lane["ended"] <= lane["got"]


def test_full_plan() -> None:
    """The published sizes, under every start method."""
    runs = plan("full")
    assert len(runs) == len(set(runs)) == 12 + 24
    assert {workers for *_, workers in runs} == {1, 4, 8}


def test_together() -> None:
    apart = [{"began": 0.0, "ended": 1.0}, {"began": 2.0, "ended": 3.0}]
    half = [{"began": 0.0, "ended": 2.0}, {"began": 1.0, "ended": 2.0}]
    assert (together(apart), together(half)) == (0.0, 0.5)
