"""`onecopy lab process-states`: the kernel's letters, and who inherits orphans."""

from __future__ import annotations

import pytest

from onecopy._system import procfs
from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("process-states").data
    states = {name: [seen["state"] for seen in found] for name, found in data["moments"].items()}
    assert states["is stopped"] == ["R", "T", "R"]
    assert states["has ended"][:2] == ["Z", "-"]
    first, then = data["moments"]["child of an ended parent"]
    assert then["parent"] not in (0, first["parent"], data["pid"])
    # In order, and none of them is at work any more.
    for trace in data["traces"].values():
        assert [time for time, *_ in trace] == sorted(time for time, *_ in trace)
    assert procfs.status(data["pid"]) is None
