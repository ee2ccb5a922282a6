"""`onecopy lab logging`: no record, one or two, and one with onecopy."""

from __future__ import annotations

import pytest

from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("logging").data
    times = {
        (each["pool"], each["method"], each["set_up"], each["logger"]): set(each["times"])
        for each in data["cells"]
    }
    assert len(times) == len(data["cells"]) == 24
    assert all(times[cell] == {1} for cell in times if cell[0] == "onecopy")
    for logger in ("main", "module"):
        assert times["multiprocessing", "fork", "nothing", logger] == {1}
        assert times["multiprocessing", "fork", "initializer", logger] == {2}
        for method in ("forkserver", "spawn"):
            assert times["multiprocessing", method, "nothing", logger] == {0}
            assert times["multiprocessing", method, "initializer", logger] == {1}
