"""Fixtures of the tests that need no process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from onecopy._system import anonymous
from onecopy._system.unlinked import UnlinkedFile

needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd")


@pytest.fixture(params=["file", pytest.param("memfd", marks=needs_memfd)])
def backing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of anonymous memory in turn, for what is made in the test."""
    chosen: type[anonymous.AnonymousFile] = UnlinkedFile
    if request.param == "memfd":
        from onecopy._system.memfd import Memfd

        chosen = Memfd
    monkeypatch.setattr(anonymous, "_chosen", chosen)
    return str(request.param)


@pytest.fixture
def zarr_ends() -> Iterator[None]:
    """zarr starts threads when it is first used, and keeps them until the interpreter ends."""
    import zarr

    with zarr.config.set({"threading.max_workers": 2}):
        yield
        zarr.core.sync.cleanup_resources()


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of progress of a test before this one is fresh: see `Log`."""
    from onecopy._progress import display

    monkeypatch.setattr(display.display, "log", display.Log())
