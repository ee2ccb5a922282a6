"""`onecopy lab module-state`: whose list a worker appends to."""

from __future__ import annotations

import pytest

from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("module-state").data
    for way in ("multiprocessing", "onecopy"):
        for found in data[way].values():
            assert len(found["looks"]) == 4
            # One worker of onecopy may have run both tasks.
            pids = len({look["pid"] for look in found["looks"]})
            assert pids == 3 or (way == "onecopy" and pids == 2)
            assert found["looks"][-1]["after"] == ["source", "parent"]
    assert data["multiprocessing"]["fork"]["bodies"] == 1
    assert data["multiprocessing"]["spawn"]["bodies"] == 3
    assert {found["bodies"] for found in data["onecopy"].values()} == {1}
