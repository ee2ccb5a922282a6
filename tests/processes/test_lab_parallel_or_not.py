"""`onecopy lab parallel-or-not`: what is joined before is never parallel."""

from __future__ import annotations

import pytest

from onecopy._lab.parallel_or_not import overlap, picture
from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("parallel-or-not").data
    ways = {each["way"]: each for each in data["ways"]}
    own, child = ways["start, join, own"]["loops"]
    assert child["stop"] <= own["start"]
    assert own["pid"] == data["parent"] != child["pid"]
    assert overlap(ways["both in the parent"]["loops"]) == 0
    # A lane per process: one, two and two, and the pools' one or two each.
    lanes = picture(data).lanes
    assert [len(lane.bars) for lane in lanes[:5]] == [2, 1, 1, 1, 1]
    assert all(0 <= bar.start <= bar.stop for lane in lanes for bar in lane.bars)
