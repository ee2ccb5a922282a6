"""`onecopy lab address-spaces`: same address, separate memory."""

from __future__ import annotations

import pytest

from tests import lab

pytestmark = pytest.mark.door


def test_small() -> None:
    data = lab.check("address-spaces").data
    assert {each["contents"][0] for seen in data["lists"].values() for each in seen} == {"source"}
    for method, (first, begins, ends, last) in data["lists"].items():
        assert first["pid"] == last["pid"] != begins["pid"] == ends["pid"]
        assert first["contents"] == last["contents"] == ["source", "parent"]
        inherited = ["source", "parent"] if method == "fork" else ["source"]
        assert begins["contents"] == inherited
        assert ends["contents"] == [*inherited, "child"]
