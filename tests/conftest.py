"""Fixtures that every test has: the leak watch, the start methods, pools that close.

What counts as a leak, and how it is waited for, is in `leaks.py`. Fixtures
that only some tests share belong beside those tests.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import settings

from tests import hosts, leaks
from tests.this_run import this_run

if TYPE_CHECKING:
    import onecopy

PROCESS_METHODS = ("fork", "forkserver", "spawn")
METHODS = (*PROCESS_METHODS, "thread")

# No time limit on an example: speed is for the benchmarks to judge.
settings.register_profile("onecopy", deadline=None)
settings.load_profile("onecopy")

_FAILED = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Take a folder and a name of this run's own before any test makes something."""
    this_run()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options for testing doors; see `pytest_collection_modifyitems`."""
    parser.addoption("--doors", choices=("none", "some", "all"), default="some")
    parser.addoption("--start", choices=("fork", "others", "any"), default="any")
    parser.addoption("--cluster", choices=("loopback", "ray"), default="loopback")
    parser.addoption("--hosts", type=int, default=0, help="run the pool's tests on made-up hosts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave each test of a door one of its start methods, picked by the test's name.

    With `--doors=all` they keep all of them, which takes three times as long; with
    `--doors=none` they are left out. `--start=fork` leaves the tests that run under fork, and
    those that have no start method; `--start=others` leaves the others.
    """
    if config.getoption("--hosts", 0):
        chosen = [item for item in items if hosts.runs_on_hosts(item, _method_of(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
        return
    doors, start = config.getoption("--doors"), config.getoption("--start")
    found: dict[str, list[str]] = {}
    for item in items:
        found.setdefault(_name_of(item), []).append(_method_of(item))
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        methods = sorted(found[_name_of(item)])
        picked = methods[zlib.crc32(_name_of(item).encode()) % len(methods)]
        stays = (
            doors == "all"
            or item.get_closest_marker("door") is None
            or (doors == "some" and _method_of(item) == picked)
        )
        if start != "any":
            stays = stays and (start == "fork") == (_method_of(item) in ("fork", ""))
        (kept if stays else left_out).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def _name_of(item: pytest.Item) -> str:
    """The test with its parameters, but for the start method."""
    method = _method_of(item)
    return item.nodeid.replace(method, "*") if method else item.nodeid


def _method_of(item: pytest.Item) -> str:
    """The start method that a test runs under, when that is one of its parameters."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    found = parameters.get("method", parameters.get("process_method", ""))
    return str(found) if found in METHODS else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, for the leak watch."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    if item.config.getoption("--hosts", 0):
        hosts.skip_what_is_refused(report, call)
    return report


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind.

    First to be set up and so last to be torn down: what the test's other
    fixtures hold has been given back by then. A test that failed already, or that
    Ctrl-C has interrupted, is not looked at: its traceback holds on to what it had.
    """
    allowed = _allowed(request.node)
    before = leaks.Snapshot()
    yield
    # The status is known before the end if Ctrl-C or an error in pytest ends the session.
    if request.node.stash.get(_FAILED, False) or request.session.exitstatus != pytest.ExitCode.OK:
        return
    # pytest keeps the values of fixtures that are already torn down: an array
    # that one of them returned would hold its segment.
    request.node.funcargs.clear()
    left = leaks.settle(before, allowed=allowed)
    if left:
        leaks.kill(left)
        pytest.fail(leaks.explain(left), pytrace=False)


def _allowed(node: pytest.Item) -> frozenset[leaks.Kind]:
    """The kinds that the test's own `leaks` marker lets it leave behind."""
    if node.config.getoption("--cluster", "loopback") == "ray":  # which keeps processes for later
        return frozenset({leaks.Kind.PROCESS, leaks.Kind.DESCRIPTOR})
    marker = node.get_closest_marker("leaks")
    if marker is None:
        return frozenset()
    reason = marker.kwargs.get("reason", *marker.args[:1])
    if not isinstance(reason, str) or not reason.strip():
        pytest.fail('@pytest.mark.leaks("reason") needs the reason', pytrace=False)
    return frozenset({leaks.Kind.PROCESS, leaks.Kind.DESCRIPTOR})


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Every start method in turn."""
    return hosts.CLUSTER if request.config.getoption("--hosts", 0) else str(request.param)


@pytest.fixture(params=PROCESS_METHODS)
def process_method(request: pytest.FixtureRequest) -> str:
    """Every start method whose workers are processes, in turn."""
    return hosts.CLUSTER if request.config.getoption("--hosts", 0) else str(request.param)


@pytest.fixture(params=["fork", "thread"])
def engine(request: pytest.FixtureRequest) -> str:
    """A start method of either engine, for what does not depend on how workers start."""
    return str(request.param)


class MakePool(Protocol):
    """The `make_pool` fixture."""

    def __call__(self, method: Any, workers: int = 2, **options: Any) -> onecopy.Pool:
        """Make a pool that the end of the test terminates and joins."""
        ...


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """Make pools that are gone when the test is."""
    # Imported late so that the tests of the purest modules, and of this file,
    # do not depend on the whole library.
    import onecopy

    pools: list[onecopy.Pool] = []

    def make(method: Any, workers: int = 2, **options: Any) -> onecopy.Pool:
        if method == hosts.CLUSTER:
            pool = onecopy.Pool(cluster=onecopy.loopback(workers), **options)
        else:
            pool = onecopy.Pool(workers, method=method, **options)
        pools.append(pool)
        return pool

    yield make
    while pools:
        pool = pools.pop()
        pool.terminate()
        pool.join()
