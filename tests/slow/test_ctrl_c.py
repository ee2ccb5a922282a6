"""Ctrl-C thousands of times: what stops a pool once in a thousand times is found."""

from __future__ import annotations

import pytest

from tests.processes.test_ctrl_c import WAYS, interrupt


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_500_times(way: str, method: str) -> None:
    interrupt(way, method, 500)
