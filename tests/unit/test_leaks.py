"""The leak watch catches every kind of leak that needs no child process.

Those that do are in `tests/processes/test_leaks.py`.
"""

from __future__ import annotations

import gc
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import leaks
from tests.leaks import Kind, Snapshot, explain, find, settle
from tests.this_run import this_run

CONFTEST = "from tests.conftest import no_leaks, pytest_runtest_makereport\n"


@pytest.fixture
def before() -> Snapshot:
    return Snapshot()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Threads of the test wait for it, and its end sets it."""
    event = threading.Event()
    yield event
    event.set()


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    """Run the inner tests, without the plugin that takes a second to load."""
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest")


def kinds(found: list[leaks.Leak]) -> list[Kind]:
    return [leak.kind for leak in found]


def test_nothing_left_behind_is_nothing_found(before: Snapshot) -> None:
    assert settle(before) == []


def test_thread(before: Snapshot, release: threading.Event) -> None:
    threading.Thread(target=release.wait, name="straggler", daemon=True).start()
    found = settle(before, patience=0)
    assert kinds(found) == [Kind.THREAD]
    assert "straggler" in explain(found)


def test_thread_that_ends_by_itself_is_waited_for(before: Snapshot) -> None:
    threading.Timer(0.05, lambda: None).start()
    assert kinds(find(before)) == [Kind.THREAD]
    assert settle(before) == []


def test_watchdog_of_a_test_tool_is_no_leak(before: Snapshot, release: threading.Event) -> None:
    threading.Thread(target=release.wait, name="pytest_timeout x").start()
    assert settle(before, patience=0) == []


def test_descriptor(before: Snapshot) -> None:
    read, write = os.pipe()
    try:
        found = settle(before, patience=0)
    finally:
        os.close(read)
        os.close(write)
    assert kinds(found) == [Kind.DESCRIPTOR, Kind.DESCRIPTOR]
    assert f"{read} -> pipe:" in explain(found)


def test_descriptor_number_used_for_another_file(tmp_path: Path) -> None:
    with open(tmp_path / "first", "w") as first:
        number = first.fileno()
        before = Snapshot()
    with open(tmp_path / "second", "w") as second:
        assert second.fileno() == number
        assert kinds(settle(before, patience=0)) == [Kind.DESCRIPTOR]


def test_descriptor_in_a_cycle_is_collected_first(before: Snapshot, tmp_path: Path) -> None:
    class Node:
        itself: Node

        def __init__(self) -> None:
            self.descriptor = os.open(tmp_path, os.O_RDONLY)
            self.itself = self

        def __del__(self) -> None:
            os.close(self.descriptor)

    gc.disable()
    try:
        Node()
        assert kinds(find(before)) == [Kind.DESCRIPTOR]
        assert settle(before, patience=0) == []
    finally:
        gc.enable()


def test_temporary_file(before: Snapshot) -> None:
    with tempfile.NamedTemporaryFile(prefix="any-name-") as file:
        found = settle(before, patience=0, allowed={Kind.DESCRIPTOR})
    assert kinds(found) == [Kind.FILE]
    assert Path(file.name).name in explain(found)


def test_temporary_file_of_another_run(before: Snapshot) -> None:
    usual = Path(this_run().folder).parent
    with tempfile.NamedTemporaryFile(dir=usual, prefix="onecopy-"):
        assert settle(before, patience=0, allowed={Kind.DESCRIPTOR}) == []


@pytest.mark.skipif(not leaks._SHM.is_dir(), reason="needs /dev/shm")
@pytest.mark.parametrize("name", ["psm_0a1b2c3d", "sem.mp-abcdefgh", "sem.loky-77-abc"])
def test_entry_in_dev_shm_of_another_program(before: Snapshot, name: str) -> None:
    (entry := leaks._SHM / f"{name}-{secrets.token_hex(4)}").touch()
    try:
        assert settle(before, patience=0) == []
    finally:
        entry.unlink()


def test_shared_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = [SimpleNamespace(id=1, used=10)]
    library = SimpleNamespace(segments=lambda: list(standing))
    monkeypatch.setitem(sys.modules, "onecopy", library)
    before = Snapshot()
    standing[0] = SimpleNamespace(id=1, used=99)  # the same one, fuller
    assert settle(before, patience=0) == []
    standing.append(SimpleNamespace(id=2, used=0))
    assert kinds(settle(before, patience=0)) == [Kind.SEGMENT]


def test_no_segments_before_the_library_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onecopy", raising=False)
    assert Snapshot().segments == frozenset()


def test_allowed_kinds_are_not_looked_at(before: Snapshot, release: threading.Event) -> None:
    threading.Thread(target=release.wait).start()
    assert settle(before, patience=0, allowed={Kind.THREAD}) == []


def test_fixture_is_on_by_default_and_names_what_was_left(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import os
        from tests import leaks

        kept = []

        def test_leaks(monkeypatch):
            leaks.settle.__kwdefaults__["patience"] = 0.0
            kept.extend(os.pipe())

        def test_next_one_is_judged_by_itself():
            leaks.settle.__kwdefaults__["patience"] = 5.0
            while kept:
                os.close(kept.pop())

        def test_failed_already():
            kept.extend(os.pipe())
            assert False

        def test_clears_up_after_it():
            while kept:
                os.close(kept.pop())
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*descriptor: * -> pipe:*"])


def test_what_a_fixture_returned_is_given_back_before_the_watch_looks(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def open_file(tmp_path):
            import os
            class Holder:
                def __init__(self): self.fd = os.open(tmp_path, os.O_RDONLY)
                def __del__(self): os.close(self.fd)
            return Holder()

        def test_uses_it(open_file):
            assert open_file.fd
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_marker_needs_a_reason_and_lifts_two_kinds_only(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        CONFTEST + "def pytest_configure(config):\n"
        "    config.addinivalue_line('markers', 'leaks(reason): x')\n"
    )
    pytester.makepyfile(
        """
        import os, threading
        import pytest
        from tests import leaks

        kept = []
        go_on = threading.Event()
        leaks.settle.__kwdefaults__["patience"] = 0.0

        @pytest.mark.leaks()
        def test_without_a_reason():
            pass

        @pytest.mark.leaks("a resource tracker lives as long as the interpreter")
        def test_descriptor():
            kept.extend(os.pipe())

        @pytest.mark.leaks(reason="the same, said in words")
        def test_thread():
            threading.Thread(target=go_on.wait, name="straggler").start()

        def test_clears_up_after_them():
            leaks.settle.__kwdefaults__["patience"] = 5.0
            go_on.set()
            while kept:
                os.close(kept.pop())
        """
    )
    result = run(pytester)
    # Refused before it ran; passed; passed and then failed by its thread; passed.
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*needs the reason*", "*thread: straggler*"])
